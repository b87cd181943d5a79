"""Who may grow by how much: whatever happens between two looks, the directory stays below its cap."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.errors import StorageError
from atp_engine.storage.body_shelf import LOG_BYTES
from atp_engine.storage.database import Database
from atp_engine.storage.disk import MIB, Usage, measure, share
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.retention import RetentionRepository
from atp_engine.system import SystemClock
from tests.support.records import a_record, ids
from tests.support.until import until

GIB = 1024 * MIB
LARGEST = 256 * 1024


@given(
    cap=st.integers(128 * MIB, 64 * GIB),
    database=st.integers(0, 64 * GIB),
    empty=st.floats(0, 1),
    bodies=st.integers(0, GIB),
    others=st.integers(0, GIB),
    free=st.integers(0, 64 * GIB),
)
def test_all_shares_together_never_pass_the_cap(
    cap: int, database: int, empty: float, bodies: int, others: int, free: int
) -> None:
    usage = Usage(database, 0, bodies, 0, others, free)
    pages = (database, int(database * empty))
    shares = share(usage, cap, pages=pages, ceiling=bodies, most_bodies=GIB, largest=LARGEST, min_free=64 * MIB)
    assert 0 <= shares.bodies <= GIB
    logs = shares.database_log + LOG_BYTES
    if shares.database > MIB:
        assert shares.database + max(bodies, shares.bodies) + logs + others < cap
    if shares.is_short:
        assert bodies <= MIB, "nothing of the database is deleted while there are bodies"
    if free < 64 * MIB:
        assert shares.bodies <= bodies


def test_the_ledger_pushes_bodies_out_before_it_is_short_itself() -> None:
    cap, seen = 256 * MIB, []
    bodies = 200 * MIB
    for database in range(10 * MIB, 250 * MIB, 10 * MIB):
        usage = Usage(database, 0, bodies, 0, 0, 10 * GIB)
        shares = share(
            usage, cap, pages=(database, 0), ceiling=bodies, most_bodies=200 * MIB, largest=LARGEST, min_free=0
        )
        bodies = min(bodies, shares.bodies)
        seen.append((bodies // MIB, shares.is_short))
    assert [one for one, _ in seen] == sorted([one for one, _ in seen], reverse=True)
    assert seen[0][0] > 180 and seen[-1] == (0, True)
    assert all(left == 0 for left, is_short in seen if is_short)


async def test_a_bounded_database_waits_and_goes_on_when_relief_makes_room(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock(), wait_s=0.1, summarise_every=64)
    requests = RequestRepository(database)
    many = ids(400)
    for name in many[:200]:
        requests.add(a_record(name, error_message="x" * 2_000, started_at=1_000.0))
    await requests.settled()
    (pages,) = await database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    full = (pages + 20) * 4_096  # a chore may still be on its way
    database.limit(full, 4 * MIB, None)
    for name in many[200:]:
        requests.add(a_record(name, error_message="x" * 2_000, started_at=9_000.0))
    with pytest.raises(StorageError, match="the disk is full"):
        await requests.settled()
    assert f"{database.queue_depth} of 20000 writes wait" in database.state()
    gone: list[tuple[int, int]] = []
    retention = RetentionRepository(database)
    database.limit(full, 4 * MIB, retention.relief(5_000.0, lambda *counts: gone.append(counts)))
    await until(lambda: database.state() == "ok")
    await requests.settled()
    assert sum(count for _, count in gone) >= 64, "the oldest that are summed up"
    assert database.dropped == 0
    kept = await requests.page("", 1_000)
    newest = [view.id for view in kept.requests if view.started_at == 9_000.0]
    assert newest == many[:199:-1]
    assert 0 < database.page_bytes[0] <= full
    await database.aclose()


async def test_a_log_that_a_long_read_holds_stops_at_its_bound_and_goes_on_afterwards(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock(), wait_s=0.1)
    requests = RequestRepository(database)
    await requests.add_durably(a_record("req_0"))
    reader = sqlite3.connect(f"file:{tmp_path / 'atp.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM requests").fetchone() == (1,)
    database.limit(0, MIB, None)
    for name in ids(2_000, start=1):
        requests.add(a_record(name, error_message="x" * 1_500))
    with pytest.raises(StorageError, match="a long read"):
        for name in ids(200, start=5_000):
            await requests.add_durably(a_record(name))
            await asyncio.sleep(0)
    log = tmp_path / "atp.db-wal"
    assert log.stat().st_size < 8 * MIB
    reader.close()
    await until(lambda: database.state() == "ok")
    await requests.settled()
    assert database.dropped == 0
    await database.aclose()


def test_everything_in_the_directory_is_counted(tmp_path: Path) -> None:
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies.corrupt-1").mkdir()
    for name, size in {
        "atp.db": 10,
        "atp.db-wal": 20,
        "atp.db-shm": 1,
        "atp.db.lock": 2,
        "engine.log": 100,
        "engine.log.1": 200,
        "bodies/cache.db": 1_000,
        "bodies/cache.db-wal": 2_000,
        "bodies.corrupt-1/cache.db": 5_000,
    }.items():
        (tmp_path / name).write_bytes(bytes(size))
    usage = measure(tmp_path, tmp_path / "atp.db", tmp_path / "bodies")
    assert (usage.database, usage.database_log, usage.bodies, usage.bodies_log) == (10, 21, 1_000, 2_000)
    assert usage.others == 302 + 5_000 and usage.total == 8_333
    assert usage.free > 0
