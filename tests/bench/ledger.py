"""A million requests on disk: how long the questions of the faces take, and how large the file is.

    python -m tests.bench.ledger [--rows 1000000] [--times 20] [--folder DIR]

Prints one JSON object: bytes per row, and p50 and p95 in ms of each question; ends with 1 when a p95 is 100 ms or
more. The rows spread over thirty days, 40 000 sessions, 20 models and 12 keys; one in ten failed over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from atp_engine.core.filter import parse
from atp_engine.core.types import AttemptOutcome, AttemptRecord, RequestState, TokenUsage
from atp_engine.services.statistics import Statistics
from atp_engine.storage.database import Database
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.requests import RequestRecord, RequestRepository
from atp_engine.system import SystemClock
from tests.support.records import a_view, an_attempt

MOST_P95_MS = 100.0
DAYS = 30
SESSIONS = 40_000
_AT_ONCE = 4_000


def _record(number: int, at: float) -> RequestRecord:
    is_bad = number % 50 == 0
    model = f"model-{number % 20}"
    view = a_view(
        f"req_{number:012x}",
        started_at=at,
        session_id=f"s-{number * 7_919 % SESSIONS}",
        model=model,
        served=f"deployment-{number % 20}",
        state=RequestState.FAILED if is_bad else RequestState.OK,
        http_status=502 if is_bad else 200,
        error_code="upstream_timeout" if is_bad else "",
        error_message="The provider did not answer in time." if is_bad else "",
        duration_ms=500.0 + number % 3_000,
        ttft_ms=100.0 + number % 700,
    )
    usage = TokenUsage(900 + number % 200, 30 + number % 400, 100)
    last = an_attempt(1, deployment=view.served, model=model, usage=usage, cost_nusd=1_000_000 + number % 90_000)
    attempts: tuple[AttemptRecord, ...] = (last,)
    if number % 10 == 0:
        first = an_attempt(1, outcome=AttemptOutcome.OVERLOADED, usage=TokenUsage(), cost_nusd=0, http_status=529)
        attempts = (first, an_attempt(2, deployment=view.served, model=model, usage=usage, cost_nusd=1_000_000))
    return RequestRecord(view, f"key_{number % 12}", 1, None, attempts, (), 1 + number // SESSIONS)


async def _fill(repository: RequestRepository, rows: int, now: float) -> None:
    for number in range(rows):
        repository.add(_record(number, now - DAYS * 86_400.0 * (1 - number / rows)))
        if number % _AT_ONCE == _AT_ONCE - 1:
            await repository.settled()
    await repository.settled()


def _questions(
    database: Database, repository: RequestRepository, rows: int, now: float
) -> dict[str, Callable[[], Awaitable[Any]]]:
    ledger = LedgerRepository(database)
    middle = f"req_{rows // 2:012x}"

    def filtered(query: str) -> Callable[[], Awaitable[Any]]:
        found = parse(query)
        return lambda: repository.page("", 50, "", found, now)

    def window(name: str, group: str) -> Callable[[], Awaitable[Any]]:
        return lambda: Statistics(database, SystemClock()).window(name, group)

    return {
        "latest page": lambda: repository.page("", 50),
        "page in the middle": lambda: repository.page(middle, 50),
        "page of a session": lambda: repository.page("", 50, "s-777"),
        "filter by status": filtered("status:502"),
        "filter by model": filtered("model:model-7"),
        "one request": lambda: repository.get(middle),
        "totals of today": lambda: repository.today(now),
        "totals of thirty days": lambda: repository.totals(now - DAYS * 86_400.0),
        "ledger page": lambda: ledger.page(rows * 500, 1_000, 0, now + 1),
        "days by deployment": lambda: ledger.sums("day", "deployment", now - DAYS * 86_400.0, now),
        "days by key": lambda: ledger.sums("day", "key", now - DAYS * 86_400.0, now),
        "hours by route": lambda: ledger.sums("hour", "route", now - DAYS * 86_400.0, now),
        "metrics 5m by model": window("5m", "model"),
        "metrics 1h by model": window("1h", "model"),
        "metrics 24h by model": window("24h", "model"),
    }


async def _measure(folder: Path, rows: int, times: int) -> dict[str, Any]:
    clock = SystemClock()
    database = Database.open(folder / "atp.db", clock, wait_s=60.0)
    repository = RequestRepository(database)
    now = clock.now()
    began = time.monotonic()
    await _fill(repository, rows, now)
    fill_s = time.monotonic() - began
    found: dict[str, Any] = {}
    for name, ask in _questions(database, repository, rows, now).items():
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            await ask()
            taken.append((time.perf_counter() - start) * 1_000.0)
        p95 = statistics.quantiles(taken, n=20)[-1]
        found[name] = {"p50_ms": round(statistics.median(taken), 2), "p95_ms": round(p95, 2)}
    began = time.monotonic()
    compared, wrong = await LedgerRepository(database).differences()
    verify_s = time.monotonic() - began
    await database.aclose()
    size = database.path.stat().st_size
    return {
        "rows": rows,
        "fill_s": round(fill_s, 1),
        "file_bytes": size,
        "bytes_per_request": round(size / rows, 1),
        "tables": _tables(database.path),
        "verify": {"s": round(verify_s, 1), "sums": compared, "differences": len(wrong)},
        "questions": found,
    }


def _tables(path: Path) -> dict[str, int]:
    """Bytes of each table and index, where SQLite can tell."""
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8"))
    except sqlite3.OperationalError:
        return {}
    finally:
        connection.close()


def main() -> int:
    """Measures and prints; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = asyncio.run(_measure(Path(folder), arguments.rows, arguments.times))
    print(json.dumps(result, indent=2))
    slow = [name for name, figures in result["questions"].items() if figures["p95_ms"] >= MOST_P95_MS]
    if slow:
        print(f"slower than {MOST_P95_MS:g} ms: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
