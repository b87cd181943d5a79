"""`atp-console ledger`: is the ledger sound, what is in it, and does a vendor's usage export say the same.

Works over the running engine. `export` reads page by page, so its memory does not grow with the ledger; `reconcile`
compares a vendor's CSV per UTC day and model and ends with 1 when something differs.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import msgspec

from atp_console.commands.command import Place, Refused
from atp_console.commands.ledger_export import VENDORS, Usage, read_export, same_model
from atp_engine.client.endpoint import Endpoint
from atp_engine.client.engine_client import connect
from atp_engine.client.ledger_client import LedgerClient
from atp_engine.core.ledger_views import LedgerLine, Verdict
from atp_engine.core.text import safe_text

_FIELDS = LedgerLine.__struct_fields__
_PARQUET_ROWS = 50_000
_NANO = 1_000_000_000


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("verify", help="compare sums and window counters with the lines")
    export = acts.add_parser("export", help="the lines as CSV, JSON lines or Parquet")
    export.add_argument("--format", choices=("csv", "jsonl", "parquet"), default="csv")
    export.add_argument("--since", type=_day, metavar="DAY", help="first day, UTC, like 2026-11-01")
    export.add_argument("--until", type=_day, metavar="DAY", help="last day, UTC")
    export.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output")
    check = acts.add_parser("reconcile", help="compare with a vendor's usage export, per UTC day and model")
    check.add_argument("file", type=Path, metavar="FILE", help="CSV of OpenAI, Anthropic or OpenRouter")
    check.add_argument("--provider", default="", metavar="NAME", help="count lines of this provider only")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`; a ledger that does not agree is exit code 1."""
    if arguments.act == "export" and arguments.format == "parquet":
        _parquet()
        if arguments.output is None:
            raise Refused("a Parquet file needs a name: --output FILE", code=2)
    return asyncio.run(_run(place.endpoint(), arguments))


async def _run(endpoint: Endpoint, arguments: Namespace) -> int:
    engine = connect(endpoint)
    try:
        client = LedgerClient(engine)
        if arguments.act == "verify":
            verdict = await client.verify()
            print(_told(verdict))
            return 1 if verdict.differences else 0
        if arguments.act == "export":
            since = _at(arguments.since)
            until = _at(arguments.until + timedelta(days=1)) if arguments.until else 0.0
            count = await _export(_pages(client, since, until), arguments.format, arguments.output)
            print(f"{count} lines", file=sys.stderr)
            return 0
        return await _reconcile(client, arguments.file, arguments.provider)
    finally:
        await engine.aclose()


async def _pages(client: LedgerClient, since: float, until: float) -> AsyncIterator[tuple[LedgerLine, ...]]:
    after: int | None = 0
    while after is not None:
        page = await client.lines(after, since, until)
        yield page.lines
        after = page.next_after


async def _export(pages: AsyncIterator[tuple[LedgerLine, ...]], form: str, output: Path | None) -> int:
    if form == "parquet" and output is not None:
        return await _export_parquet(pages, output)
    count = 0
    with ExitStack() as stack:
        target: TextIO = sys.stdout
        if output is not None:
            target = stack.enter_context(_opened(output))
        table = csv.writer(target)
        if form == "csv":
            table.writerow(_FIELDS)
        async for lines in pages:
            count += len(lines)
            if form == "csv":
                table.writerows([_cells(line) for line in lines])
            else:
                target.writelines([msgspec.json.encode(line).decode() + "\n" for line in lines])
    return count


def _opened(output: Path) -> TextIO:
    try:
        return output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise Refused(f"cannot write {output}: {error.strerror}") from error


def _cells(line: LedgerLine) -> list[Any]:
    """Text that a spreadsheet would take for a formula gets an apostrophe."""
    return [
        f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
        for value in msgspec.structs.astuple(line)
    ]


def _parquet() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise Refused(
            "Parquet needs pyarrow: install atp-console with its extra (pip install 'atp-console[parquet]'), "
            "or use --format csv",
            code=2,
        ) from None


async def _export_parquet(pages: AsyncIterator[tuple[LedgerLine, ...]], output: Path) -> int:
    arrow, parquet = _parquet()
    kinds = {"float": arrow.float64(), "int": arrow.int64(), "int | None": arrow.int64(), "bool": arrow.bool_()}
    schema = arrow.schema([(name, kinds.get(LedgerLine.__annotations__[name], arrow.string())) for name in _FIELDS])
    count = 0
    waiting: list[LedgerLine] = []
    with parquet.ParquetWriter(str(output), schema) as writer:

        def write() -> None:
            rows = [msgspec.to_builtins(line) for line in waiting]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            waiting.clear()

        async for lines in pages:
            count += len(lines)
            waiting += lines
            if len(waiting) >= _PARQUET_ROWS:
                write()
        write()
    return count


async def _reconcile(client: LedgerClient, file: Path, provider: str) -> int:
    try:
        vendor, stated = read_export(file)
    except (OSError, ValueError) as error:
        raise Refused(f"{file} cannot be read: {error}", code=2) from error
    if not stated:
        raise Refused(f"{file} has no usage in it", code=2)
    days = sorted({day for day, _ in stated})
    since, until = _at(days[0]), _at(days[-1] + timedelta(days=1))
    ours: dict[tuple[date, str], Usage] = {}
    async for lines in _pages(client, since, until):
        for line in lines:
            if line.provider == (provider or line.provider):
                day = datetime.fromtimestamp(line.started_at, UTC).date()
                ours.setdefault((day, same_model(line.model)), Usage()).add_line(line)
    # with no provider named, models that the vendor does not list are other vendors'
    listed = {model for _, model in stated}
    places = sorted(stated.keys() | {place for place in ours if provider or place[1] in listed})
    rows = [_row(place, stated.get(place, Usage()), ours.get(place, Usage())) for place in places]
    print(f"{VENDORS[vendor]}, {days[0]} to {days[-1]}: vendor's figure / ours")
    print(_table([("DAY", "MODEL", "PROMPT", "OUTPUT", "USD", ""), *rows]))
    wrong = sum(1 for row in rows if row[-1])
    print(f"{len(rows)} days and models compared, {wrong} differ")
    return 1 if wrong else 0


def _row(place: tuple[date, str], theirs: Usage, ours: Usage) -> tuple[str, ...]:
    is_same = theirs.prompt == ours.prompt and theirs.output == ours.output
    money = "- / " if theirs.nusd is None else f"{theirs.nusd / _NANO:.6f} / "
    if theirs.nusd is not None and ours.nusd is not None:
        is_same = is_same and abs(theirs.nusd - ours.nusd) <= max(theirs.nusd // 1_000, 1_000_000)
    money += "unknown" if ours.nusd is None else f"{ours.nusd / _NANO:.6f}"
    return (
        str(place[0]),
        safe_text(place[1]),
        f"{theirs.prompt} / {ours.prompt}",
        f"{theirs.output} / {ours.output}",
        money,
        "" if is_same else "differs",
    )


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = list(rows)
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]).rstrip() for row in lines
    )


def _told(verdict: Verdict) -> str:
    lines = [f"{verdict.sums} sums and {verdict.windows} window counters compared with the ledger's lines"]
    for one in verdict.differences:
        figures = ", ".join(f"{name} {kept}, lines say {said}" for name, (kept, said) in one.figures.items())
        lines.append(f"differs: {safe_text(one.what)}: {figures}")
    return "\n".join([*lines, f"{len(verdict.differences)} differ" if verdict.differences else "all agree"])


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _at(day: date | None) -> float:
    return 0.0 if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
