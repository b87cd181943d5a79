"""A million requests on disk: how long the questions of the faces take, and how large the file is.

    python -m tests.bench.ledger [--rows 1000000] [--times 20] [--folder DIR] [--keep FILE] [--scattered]

Prints one JSON object: bytes per row, and p50 and p95 in ms of each question, what counting the charts' steps and a new
window cost, and the comparison of all sums with the lines; ends with 1 when a p95 is 100 ms or more. The rows lie over
thirty days, 20 models and 12 keys; one in ten failed over. There are 40 000 sessions of 25 requests, eight at a time;
with --scattered each session's requests lie all over the thirty days, which is the worst for sums by session. --keep
fills FILE once and asks it again the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from atp_engine.core.filter import parse
from atp_engine.core.metrics_views import GROUPS
from atp_engine.core.types import AttemptOutcome, AttemptRecord, RequestState, TokenUsage
from atp_engine.services.statistics import Statistics
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.requests import RequestRecord, RequestRepository
from atp_engine.storage.traffic_steps import next_piece, storing
from atp_engine.storage.windows import WindowRepository
from atp_engine.system import SystemClock
from tests.support.manual_clock import ManualClock
from tests.support.records import a_view, an_attempt

MOST_P95_MS = 100.0
DAYS = 30
WINDOWS = ("5m", "1h", "24h", "7d")
SESSIONS = 40_000
_AT_ONCE = 4_000


def _record(number: int, at: float, is_scattered: bool = False) -> RequestRecord:
    session = number * 7_919 % SESSIONS if is_scattered else number // 200 * 8 + number % 8
    is_bad = number % 50 == 0
    model = f"model-{number % 20}"
    view = a_view(
        f"req_{number:012x}",
        started_at=at,
        session_id=f"s-{session}",
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


async def _fill(repository: RequestRepository, rows: int, now: float, is_scattered: bool = False) -> None:
    for number in range(rows):
        repository.add(_record(number, now - DAYS * 86_400.0 * (1 - number / rows), is_scattered))
        if number % _AT_ONCE == _AT_ONCE - 1:
            await repository.settled()
    await repository.settled()


def _questions(
    database: Database, repository: RequestRepository, rows: int, now: float
) -> dict[str, Callable[[], Awaitable[Any]]]:
    ledger, windows = LedgerRepository(database), WindowRepository(database)
    middle = f"req_{rows // 2:012x}"

    def filtered(query: str) -> Callable[[], Awaitable[Any]]:
        found = parse(query)
        return lambda: repository.page("", 50, "", found, now)

    def window(name: str, group: str) -> Callable[[], Awaitable[Any]]:
        return lambda: Statistics(database, ManualClock(now)).window(name, group)

    return {
        "latest page": lambda: repository.page("", 50),
        "page in the middle": lambda: repository.page(middle, 50),
        "page of a session": lambda: repository.page("", 50, "s-777"),
        "filter by status": filtered("status:502"),
        "filter by a status that is nowhere": filtered("status:418"),
        "filter by model": filtered("model:model-7"),
        "filter by session": filtered("session:s-777"),
        "filter by time, model and not ok": filtered("since:24h model:model-0 -state:ok"),
        "filter by latency": filtered("ttft>2s"),
        "filter by cost": filtered("cost>$1"),
        "filter by error": filtered("error:timeout"),
        "free text": filtered("timeout"),
        "free text that is nowhere": filtered("nothingofthis"),
        "expression that is nowhere": filtered("~no.*this"),
        "one request": lambda: repository.get(middle),
        "totals of today": lambda: repository.today(now),
        "totals of thirty days": lambda: repository.totals(now - DAYS * 86_400.0),
        "ledger page": lambda: ledger.page(rows * 500, 1_000, 0, now + 1),
        "days by deployment": lambda: ledger.sums("day", "deployment", now - DAYS * 86_400.0, now),
        "days by key": lambda: ledger.sums("day", "key", now - DAYS * 86_400.0, now),
        "hours by route": lambda: ledger.sums("hour", "route", now - DAYS * 86_400.0, now),
        **{f"metrics {name} by {group}": window(name, group) for name in WINDOWS for group in GROUPS},
        "new window over all rows": lambda: windows.sums(0, rows, 0.0, by_session=False),
        "new window over fifteen days": lambda: windows.sums(0, rows, now - 15 * 86_400.0, by_session=False),
        "new window of one session": lambda: windows.sums(0, rows, 0.0, by_session=True, sessions=("s-777",)),
    }


async def _measure(path: Path, is_new: bool, rows: int, times: int, is_scattered: bool) -> dict[str, Any]:
    clock = SystemClock()
    database = Database.open(path, clock, wait_s=60.0)
    repository = RequestRepository(database)
    fill_s = 0.0
    now = clock.now()
    if is_new:
        began = time.monotonic()
        await _fill(repository, rows, now, is_scattered)
        fill_s = time.monotonic() - began
    else:
        now = max([view.started_at for view in repository.recent(1)])
    counting = await _count_steps(database, now)
    found: dict[str, Any] = {}
    for name, ask in _questions(database, repository, rows, now).items():
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            await ask()
            taken.append((time.perf_counter() - start) * 1_000.0)
        p95 = statistics.quantiles(taken, n=20)[-1]
        found[name] = {"p50_ms": round(statistics.median(taken), 2), "p95_ms": round(p95, 2)}
    began, cpu = time.monotonic(), time.process_time()
    compared, wrong = await LedgerRepository(database).differences()
    verify = {"s": round(time.monotonic() - began, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    await database.aclose()
    size = database.path.stat().st_size
    tables = _tables(database.path)
    narrow = sum(tables.get(name, 0) for name in ("requests", "requests_by_id", "session_requests", "attempts"))
    return {
        "rows": rows,
        "fill_s": round(fill_s, 1),
        "file_bytes": size,
        "bytes_per_request": {"all": round(size / rows, 1), "with its lines and indexes": round(narrow / rows, 1)},
        "tables": tables,
        "steps_of_charts": counting,
        "verify": {**verify, "sums": compared, "differences": len(wrong), "peak_mb": _peak_mb()},
        "questions": found,
    }


async def _count_steps(database: Database, now: float) -> dict[str, float]:
    """What the sweep of an engine does in the background."""
    began, cpu, count = time.monotonic(), time.process_time(), 0
    while True:
        piece = await database.read(lambda connection: next_piece(connection, now))
        if piece is None:
            seconds = time.process_time() - cpu
            return {
                "s": round(time.monotonic() - began, 1),
                "requests": count,
                "cpu_us_per_request": round(seconds * 1e6 / count, 2) if count else 0.0,
            }
        count += piece.through - piece.after
        await database.commit(Write(action=storing(piece)))


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _tables(path: Path) -> dict[str, int]:
    """Bytes of each table and index, where SQLite can tell."""
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 12"))
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
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--scattered", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = arguments.keep or Path(folder) / "atp.db"
        result = asyncio.run(_measure(path, not path.exists(), arguments.rows, arguments.times, arguments.scattered))
    print(json.dumps(result, indent=2))
    slow = [name for name, figures in result["questions"].items() if figures["p95_ms"] >= MOST_P95_MS]
    if slow:
        print(f"slower than {MOST_P95_MS:g} ms: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
