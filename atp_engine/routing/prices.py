"""What models cost: the prices that a config states, else list prices of well known models, with source and date.

Read by the routing table. A row is the vendor's pay-as-
you-go price for one model; what is not listed here is unknown, never zero. Left out on purpose: models
whose price depends on the time of day (DeepSeek) or changes on an announced date (Gemini 3.6 and
later), resellers, priority tiers. `cache_write` is the five-minute kind; Anthropic charges twice
the input price for what is kept an hour.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec

from atp_engine.config.models import ListedPriceConfig, PriceConfig
from atp_engine.core.pricing import Price, Rates, usd_to_nusd

CHECKED = "2026-11"
"""The month of the rows: taken from genai-prices 0.2.3 (MIT); nobody has compared each with its vendor's page."""


class _Row(NamedTuple):
    """`cache_read` and `cache_write` of 0 mean: charged like input."""

    model: str
    input: float
    output: float
    cache_read: float = 0
    cache_write: float = 0
    sure_up_to_tokens: int = 0


SOURCES = {
    "openai": "https://developers.openai.com/api/docs/pricing",
    "anthropic": "https://platform.claude.com/docs/en/about-claude/pricing",
    "google": "https://ai.google.dev/gemini-api/docs/pricing",
    "mistral": "https://mistral.ai/pricing",
    "groq": "https://console.groq.com/docs/models",
    "xai": "https://docs.x.ai/docs/models",
}
"""The page where each vendor states its prices: look there before you rely on a row."""

_CATALOGS: dict[str, tuple[_Row, ...]] = {
    "openai": (
        _Row("gpt-4o-2024-05-13", 5, 15),
        _Row("gpt-4o", 2.5, 10, 1.25),
        _Row("gpt-4o-mini", 0.15, 0.6, 0.075),
        _Row("gpt-4.1", 2, 8, 0.5),
        _Row("gpt-4.1-mini", 0.4, 1.6, 0.1),
        _Row("gpt-4.1-nano", 0.1, 0.4, 0.025),
        _Row("o3", 2, 8, 0.5),
        _Row("o3-mini", 1.1, 4.4, 0.55),
        _Row("o4-mini", 1.1, 4.4, 0.275),
        _Row("gpt-5", 1.25, 10, 0.125),
        _Row("gpt-5-mini", 0.25, 2, 0.025),
        _Row("gpt-5-nano", 0.05, 0.4, 0.005),
        _Row("gpt-5.1", 1.25, 10, 0.125),
        _Row("gpt-5.2", 1.75, 14, 0.175),
        _Row("gpt-5.3-codex", 1.75, 14, 0.175),
        _Row("gpt-5.4", 2.5, 15, 0.25, 0, 272_000),
        _Row("gpt-5.4-mini", 0.75, 4.5, 0.075),
        _Row("gpt-5.4-nano", 0.2, 1.25, 0.02),
        _Row("gpt-5.5", 5, 30, 0.5, 0, 272_000),
        _Row("gpt-5.6-luna", 0.2, 1.2, 0.02, 0.25, 272_000),
        _Row("gpt-5.6-sol", 4, 20, 0.4, 5, 272_000),
        _Row("gpt-5.6-terra", 2, 12, 0.2, 2.5, 272_000),
        _Row("gpt-6-astra", 10, 50, 1, 12.5, 272_000),
        _Row("gpt-6-luna", 0.1, 0.5, 0.01, 0.125, 272_000),
        _Row("gpt-6-sol", 2, 10, 0.2, 2.5, 272_000),
        _Row("gpt-6.1-sol", 2, 10, 0.1, 2.5, 272_000),
        _Row("gpt-6.1-terra", 1, 5, 0.05, 1.25, 272_000),
        _Row("text-embedding-3-small", 0.02, 0),
        _Row("text-embedding-3-large", 0.13, 0),
    ),
    "anthropic": (
        _Row("claude-haiku-4-5", 1, 5, 0.1, 1.25),
        _Row("claude-haiku-5-5", 0.1, 0.5, 0.01, 0.125, 100_000),
        _Row("claude-sonnet-4-5", 3, 15, 0.3, 3.75, 200_000),
        _Row("claude-sonnet-4-6", 3, 15, 0.3, 3.75),
        _Row("claude-sonnet-5", 2, 10, 0.2, 2.5),
        _Row("claude-sonnet-5-5", 2, 10, 0.1, 2.5),
        _Row("claude-opus-4-1", 15, 75, 1.5, 18.75),
        _Row("claude-opus-4-5", 5, 25, 0.5, 6.25),
        _Row("claude-opus-4-6", 5, 25, 0.5, 6.25),
        _Row("claude-opus-4-7", 5, 25, 0.5, 6.25),
        _Row("claude-opus-4-8", 5, 25, 0.5, 6.25),
        _Row("claude-opus-5", 5, 25, 0.5, 6.25),
        _Row("claude-opus-5-5", 4, 20, 0.2, 5),
        _Row("claude-fable-5", 10, 50, 1, 12.5),
        _Row("claude-fable-5-1", 10, 50, 0.25, 12.5),
        _Row("claude-fable-5-2", 8, 40, 0.2, 10),
    ),
    "google": (
        _Row("gemini-2.5-pro", 1.25, 10, 0.125, 0, 200_000),
        _Row("gemini-2.5-flash", 0.3, 2.5, 0.03),
        _Row("gemini-2.5-flash-lite", 0.1, 0.4, 0.01),
        _Row("gemini-3-flash-preview", 0.5, 3, 0.05),
        _Row("gemini-3.1-pro-preview", 2, 12, 0.2, 0, 200_000),
        _Row("gemini-3.1-flash-lite", 0.25, 1.5, 0.025),
        _Row("gemini-3.5-flash", 1.5, 9, 0.15),
        _Row("gemini-3.5-flash-lite", 0.3, 2.5, 0.03),
    ),
    "mistral": (
        _Row("mistral-large-2512", 0.5, 1.5, 0.05),
        _Row("mistral-large-4", 0.7, 2.1, 0.07),
        _Row("mistral-medium-3-5", 1.5, 7.5, 0.15),
        _Row("mistral-small-2603", 0.15, 0.6, 0.015),
        _Row("codestral-2508", 0.3, 0.9, 0.03),
        _Row("ministral-3b-2512", 0.1, 0.1, 0.01),
        _Row("ministral-8b-2512", 0.15, 0.15, 0.015),
        _Row("ministral-14b-2512", 0.2, 0.2, 0.02),
    ),
    "groq": (
        _Row("llama-3.1-8b-instant", 0.05, 0.08),
        _Row("llama-3.3-70b-versatile", 0.59, 0.79),
        _Row("openai/gpt-oss-120b", 0.15, 0.6, 0.075),
        _Row("openai/gpt-oss-20b", 0.075, 0.3, 0.0375),
    ),
    "xai": (
        _Row("grok-4.3", 1.25, 2.5, 0.2, 0, 199_999),
        _Row("grok-4.5", 2, 6, 0.3, 0, 199_999),
        _Row("grok-4.6", 2, 6, 0.5, 0, 199_999),
        _Row("grok-4.7", 2, 6, 0.5, 0, 199_999),
        _Row("grok-code-fast-1", 0.2, 1.5, 0.02),
    ),
}
_MILLION = 1_000_000
_TIERS = {
    "openai": {"flex": _MILLION // 2, "batch": _MILLION // 2},  # developers.openai.com/api/docs/guides/flex-processing
    "anthropic": {"batch": _MILLION // 2},  # platform.claude.com/docs/en/build-with-claude/batch-processing
}
"""Tiers with one factor for all models, as known in 2026-11; priority differs by model and contract."""
_DATED = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d)$")
"""A snapshot's date behind a model's name: `-20250929`, `@20250929`, `-2026-03-05`."""


def _price(catalog: str, row: _Row) -> Price:
    return Price(
        input_nusd=usd_to_nusd(row.input),
        output_nusd=usd_to_nusd(row.output),
        cache_read_nusd=usd_to_nusd(row.cache_read or row.input),
        cache_write_nusd=usd_to_nusd(row.cache_write or row.input),
        source=f"bundled {CHECKED}",
        sure_up_to_tokens=row.sure_up_to_tokens,
        cache_write_1h_nusd=usd_to_nusd(2 * row.input) if catalog == "anthropic" else None,
        tiers=_TIERS.get(catalog, {}),
    )


_PRICES: dict[tuple[str, str], Price] = {
    (catalog, row.model): _price(catalog, row) for catalog, rows in _CATALOGS.items() for row in rows
}


def list_price(catalog: str, model: str) -> Price | None:
    """The bundled price of a vendor's model, its dated snapshots included; None when unknown."""
    found = _PRICES.get((catalog, model))
    if found is None:
        found = _PRICES.get((catalog, _DATED.sub("", model)))
    return found


def price_of(stated: PriceConfig, source: str = "config", *, is_assumed: bool = False) -> Price:
    """The price that a config states."""

    def scaled(usd: float) -> int:
        return usd_to_nusd(usd * stated.factor)

    read = stated.input if stated.cache_read is None else stated.cache_read
    write = stated.input if stated.cache_write is None else stated.cache_write
    hour = stated.cache_write_1h
    above = None
    if stated.above_tokens:
        dearer = stated.input if stated.input_above is None else stated.input_above
        rise = dearer / stated.input if stated.input else 1.0
        above = Rates(
            above_tokens=stated.above_tokens,
            input_nusd=scaled(dearer),
            output_nusd=scaled(stated.output if stated.output_above is None else stated.output_above),
            cache_read_nusd=scaled(read * rise),
            cache_write_nusd=scaled(write * rise),
            cache_write_1h_nusd=None if hour is None else scaled(hour * rise),
        )
    return Price(
        input_nusd=scaled(stated.input),
        output_nusd=scaled(stated.output),
        cache_read_nusd=scaled(read),
        cache_write_nusd=scaled(write),
        source=source,
        cache_write_1h_nusd=None if hour is None else scaled(hour),
        reasoning_nusd=None if stated.reasoning is None else scaled(stated.reasoning),
        above=above,
        is_assumed=is_assumed,
        tiers={name: round(factor * _MILLION) for name, factor in stated.tiers.items()},
        nusd_per_hour=usd_to_nusd(stated.watts / 1_000 * stated.usd_per_kwh),
    )


def listed_price(stated: ListedPriceConfig, bundled: Price | None) -> Price | None:
    """A config's price in its days, the bundled one before and after."""
    price = msgspec.structs.replace(
        price_of(stated, stated.source or "config"),
        until_at=_begin(stated.until) if stated.until else 0.0,
        then=bundled,
    )
    if stated.since is None:
        return price
    before = bundled or Price(0, 0, 0, 0, is_unknown=True)
    return msgspec.structs.replace(before, until_at=_begin(stated.since), then=price)


def _begin(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
