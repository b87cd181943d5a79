"""Usage exports of vendors, read: tokens and dollars per UTC day and model. `commands/ledger` calls it.

A vendor is told by its columns. Several names of a column are tried, for vendors rename them; prompt tokens are
the sum of all columns that count a part of the prompt.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from atp_engine.core.ledger_views import LedgerLine
from atp_engine.core.pricing import usd_to_nusd

VENDORS = {"openai": "OpenAI", "anthropic": "Anthropic", "openrouter": "OpenRouter"}
_DATED = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d)$")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Names in a vendor's export: the first that is there counts; of `prompt` all do."""

    day: tuple[str, ...]
    model: tuple[str, ...]
    prompt: tuple[str, ...]
    output: tuple[str, ...]
    usd: tuple[str, ...]


_COLUMNS = {
    "anthropic": _Columns(
        ("usage_date_utc",),
        ("model_version", "model"),
        (
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_read",
        ),
        ("usage_output_tokens",),
        ("cost_usd",),
    ),
    "openrouter": _Columns(
        ("created_at",),
        ("model_permaslug", "model"),
        ("tokens_prompt",),
        ("tokens_completion",),
        ("cost_total", "cost"),
    ),
    "openai": _Columns(
        ("start_time_iso", "start_time", "date"),
        ("model",),
        ("input_tokens",),  # input_cached_tokens is a part of it
        ("output_tokens",),
        ("amount_value", "cost_usd"),
    ),
}


@dataclass(slots=True)
class Usage:
    """A day's tokens and nano-dollars of one model; `nusd` is None when not all of it is known."""

    prompt: int = 0
    output: int = 0
    nusd: int | None = 0

    def add(self, prompt: int, output: int, nusd: int | None) -> None:
        """Adds a part; an unknown part makes the money unknown."""
        self.prompt += prompt
        self.output += output
        self.nusd = None if self.nusd is None or nusd is None else self.nusd + nusd

    def add_line(self, line: LedgerLine) -> None:
        """Adds a line of the ledger."""
        self.add(
            line.input_tokens + line.cache_read_tokens + line.cache_write_tokens, line.output_tokens, line.cost_nusd
        )


def same_model(model: str) -> str:
    """A model's name without its snapshot's date."""
    return _DATED.sub("", model)


def read_export(file: Path) -> tuple[str, dict[tuple[date, str], Usage]]:
    """The vendor and what its export says. Raises OSError, ValueError with a plain line."""
    found: dict[tuple[date, str], Usage] = {}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, strict=True)
        names = table.fieldnames or ()
        vendor, columns = _vendor(names)
        day, model, output = (_first(names, choice) for choice in (columns.day, columns.model, columns.output))
        prompts = [name for name in columns.prompt if name in names]
        usd = next((name for name in columns.usd if name in names), "")
        try:
            for row in table:
                place = (_day(row[day]), same_model(row[model] or ""))
                prompt = sum(_count(row[name]) for name in prompts)
                nusd = usd_to_nusd(row[usd] or 0) if usd else None
                found.setdefault(place, Usage()).add(prompt, _count(row[output]), nusd)
        except (ValueError, TypeError, OverflowError, csv.Error) as error:
            raise ValueError(f"line {table.line_num}: {error}") from error
    return vendor, found


def _vendor(names: object) -> tuple[str, _Columns]:
    known = set(names) if isinstance(names, (list, tuple)) else set()
    for vendor, columns in _COLUMNS.items():
        if all(known & set(choice) for choice in (columns.day, columns.model, columns.prompt, columns.output)):
            return vendor, columns
    raise ValueError("its columns are not those of a usage export of OpenAI, Anthropic or OpenRouter")


def _first(names: object, choice: tuple[str, ...]) -> str:
    return next(name for name in choice if isinstance(names, (list, tuple)) and name in names)


def _count(text: str | None) -> int:
    number = float(text or 0)
    if not 0 <= number < 2**53:
        raise ValueError(f"{text!r} is no count of tokens")
    return int(number)


def _day(text: str | None) -> date:
    text = (text or "").strip()
    if text.isdigit() and len(text) > 8:
        return datetime.fromtimestamp(int(text), UTC).date()
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
