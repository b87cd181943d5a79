"""Commits: acknowledged means committed, a bad row fails alone, trouble is bounded, visible and passes."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atp_engine.core.errors import StorageError
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.tables import DECISIONS
from atp_engine.system import SystemClock
from tests.support.files import names_in
from tests.support.records import a_record, ids
from tests.support.until import until


def count_of(path: Path, table: str = "requests") -> int:
    """What another process would see committed."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    finally:
        connection.close()
    return int(count)


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Database]:
    """A database whose commits are given up after half a second, with room for 50 writes."""
    database = Database.open(tmp_path / "atp.db", SystemClock(), capacity=50, wait_s=0.5)
    yield database
    await database.aclose()


class Locker:
    """Another process's lock on the file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        """Lets go."""
        self._connection.execute("ROLLBACK")
        self._connection.close()


async def test_an_awaited_commit_is_visible_to_others_at_once(database: Database, requests: RequestRepository) -> None:
    for number, name in enumerate(ids(5), 1):
        await requests.add_durably(a_record(name))
        assert count_of(database.path) == number


async def test_telemetry_is_committed_within_a_moment_without_being_awaited(
    database: Database, requests: RequestRepository
) -> None:
    for name in ids(300):
        assert requests.add(a_record(name))
    assert database.queue_depth > 0
    await until(lambda: count_of(database.path) == 300)
    await until(lambda: database.queue_depth == 0)
    assert (database.lag_ms(), database.dropped, database.state()) == (0.0, 0, "ok")


async def test_the_lag_tells_the_age_of_the_oldest_uncommitted_record(
    impatient: Database,
) -> None:
    lock = Locker(impatient.path)
    RequestRepository(impatient).add(a_record("req_1"))
    await until(lambda: impatient.lag_ms() > 100)
    assert impatient.lag_ms() < 5_000
    lock.release()
    await until(lambda: impatient.lag_ms() == 0.0)


async def test_concurrent_commits_share_transactions(database: Database, requests: RequestRepository) -> None:
    commits = 0

    def count(connection: sqlite3.Connection) -> None:
        nonlocal commits
        connection.set_trace_callback(trace)

    def trace(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await database.commit(Write(action=count))
    await asyncio.gather(*(requests.add_durably(a_record(name)) for name in ids(500)))
    await database.commit(Write(action=lambda connection: connection.set_trace_callback(None)))
    assert commits < 50


async def test_one_bad_row_in_a_batch_fails_alone(database: Database, requests: RequestRepository) -> None:
    good = [requests.add_durably(a_record(name)) for name in ids(20)]
    bad = [requests.add_durably(a_record(f"bad_{n}", started_at=None)) for n in range(3)]
    odd = [requests.add_durably(a_record(f"odd_{n}", output_tokens=object())) for n in range(3)]
    requests.add(a_record("bad_telemetry", started_at=None))
    results = await asyncio.gather(*good[:10], *bad, *odd, *good[10:], return_exceptions=True)
    refused = [result for result in results if result is not None]
    assert len(refused) == 6
    assert all(isinstance(error, StorageError) and "refused the record" in error.public_message for error in refused)
    assert count_of(database.path) == 20
    await until(lambda: database.dropped == 1)
    assert database.state() == "ok"


async def test_a_bad_row_takes_its_whole_record_with_it_and_nothing_else(
    database: Database, requests: RequestRepository
) -> None:
    record = a_record("req_1", started_at=None)
    with pytest.raises(StorageError):
        await requests.add_durably(record)
    assert (count_of(database.path), count_of(database.path, "attempts")) == (0, 0)


async def test_a_failing_action_is_undone_alone(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO decisions VALUES ('half', '{}')")
        raise ValueError("no")

    def whole(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO decisions VALUES ('two', '{}')")

    results = await asyncio.gather(
        database.commit(Write(((DECISIONS, ("one", "{}")),))),
        database.commit(Write(action=half)),
        database.commit(Write(action=whole)),
        database.commit(Write(((DECISIONS, ("three", "too", "many")),))),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StorageError, type(None), StorageError]
    assert count_of(database.path, "decisions") == 2


async def test_a_cancelled_wait_does_not_undo_the_write_nor_disturb_others(
    database: Database, requests: RequestRepository
) -> None:
    tasks = [asyncio.create_task(requests.add_durably(a_record(name))) for name in ids(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 25
    await until(lambda: count_of(database.path) == 50)


async def test_a_full_queue_drops_and_counts_instead_of_waiting(impatient: Database) -> None:
    lock = Locker(impatient.path)
    requests = RequestRepository(impatient)
    requests.add(a_record("req_first"))
    await until(lambda: impatient.state() != "ok")  # the first is in the writer's hands now
    kept = [requests.add(a_record(name)) for name in ids(80)]
    assert kept.count(False) == 30
    assert impatient.dropped == 30
    assert impatient.queue_depth == 51
    lock.release()
    await until(lambda: impatient.queue_depth == 0)
    assert count_of(impatient.path) == 51


async def test_a_locked_database_is_told_within_bounds_and_nothing_is_lost(impatient: Database) -> None:
    lock = Locker(impatient.path)
    requests = RequestRepository(impatient)
    started = time.monotonic()
    with pytest.raises(StorageError, match="another process has locked it"):
        await requests.add_durably(a_record("req_1"))
    assert time.monotonic() - started < 3.0
    assert impatient.state().startswith("degraded: ")
    await until(lambda: impatient.lag_ms() > 600)
    started = time.monotonic()
    with pytest.raises(StorageError):  # a long outage fails at once, so answers go on
        await requests.add_durably(a_record("req_2"))
    assert time.monotonic() - started < 0.1
    assert (await requests.page()).requests == ()  # reading goes on
    lock.release()
    await until(lambda: impatient.state() == "ok")
    await requests.add_durably(a_record("req_3"))
    assert [view.id for view in (await requests.page()).requests] == ["req_3", "req_2", "req_1"]


async def test_a_short_lock_only_delays(database: Database, requests: RequestRepository) -> None:
    lock = Locker(database.path)
    waiting = asyncio.create_task(requests.add_durably(a_record("req_1")))
    await until(lambda: database.state() != "ok")
    lock.release()
    await waiting
    await until(lambda: database.state() == "ok")


async def test_what_nobody_may_keep_is_not_written_after_its_failure(impatient: Database) -> None:
    lock = Locker(impatient.path)
    with pytest.raises(StorageError):
        await impatient.commit(Write(((DECISIONS, ("key", "{}")),)))
    with pytest.raises(StorageError):
        await impatient.commit(Write(((DECISIONS, ("key", "{}")),)))
    lock.release()
    await until(lambda: impatient.state() == "ok")
    await impatient.commit(Write(((DECISIONS, ("other", "{}")),)))
    assert count_of(impatient.path, "decisions") == 1


async def test_a_full_disk_is_told_and_what_was_kept_is_written_when_there_is_room(impatient: Database) -> None:
    requests = RequestRepository(impatient)
    await requests.add_durably(a_record("req_0"))
    held: list[sqlite3.Connection] = []

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        held.append(connection)

    await impatient.commit(Write(action=fill))
    many = [requests.add_durably(a_record(name, error_message="x" * 3_000)) for name in ids(30)]
    results = await asyncio.gather(*many, return_exceptions=True)
    assert all(isinstance(result, StorageError) for result in results)
    assert "the disk is full" in impatient.state()
    assert (await requests.get("req_0")) is not None
    held[0].execute("PRAGMA max_page_count=1000000")
    await until(lambda: impatient.state() == "ok")
    assert count_of(impatient.path) == 31


async def test_closing_commits_everything_and_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    database = Database.open(path, SystemClock())
    requests = RequestRepository(database)
    waiting = [asyncio.create_task(requests.add_durably(a_record(name))) for name in ids(50)]
    await asyncio.sleep(0)
    for name in ids(5_000, start=1_000):
        requests.add(a_record(name))
    await database.aclose()
    await asyncio.gather(*waiting)
    assert names_in(tmp_path) == ["atp.db", "atp.db.lock"]
    assert count_of(path) == 5_050


async def test_a_closed_database_refuses_in_plain_words(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock())
    requests = RequestRepository(database)
    await database.aclose()
    await database.aclose()
    assert not requests.add(a_record("req_1"))
    assert database.dropped == 1
    with pytest.raises(StorageError, match="closed"):
        await requests.add_durably(a_record("req_1"))
    with pytest.raises(StorageError, match="closed"):
        await requests.page()


async def test_closing_under_a_lock_ends_in_bounded_time(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock(), wait_s=0.5)
    lock = Locker(database.path)
    requests = RequestRepository(database)
    waiting = asyncio.create_task(requests.add_durably(a_record("req_1")))
    await until(lambda: database.state() != "ok")
    async with asyncio.timeout(8):
        await database.aclose()
    with pytest.raises(StorageError):
        await waiting
    lock.release()


async def test_a_bug_that_ends_the_writer_shows_and_waits_stay_bounded(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock(), wait_s=0.2)

    def fail() -> None:
        raise RuntimeError("a bug")

    database.submit(Write(on_commit=fail))
    await until(lambda: "ended by a bug" in database.state())
    requests = RequestRepository(database)
    for _ in range(2):
        with pytest.raises(StorageError, match="ended by a bug"):
            await requests.add_durably(a_record("req_1"))
    assert (await requests.page()).requests == ()
    await database.aclose()


async def test_synced_writes_are_forced_and_the_next_are_not(database: Database) -> None:
    seen: list[int] = []

    def look(connection: sqlite3.Connection) -> None:
        seen.extend(connection.execute("PRAGMA synchronous").fetchone())

    await database.commit(Write(action=look, is_synced=True))
    await database.commit(Write(action=look))
    assert seen == [2, 1]


async def test_reading_errors_are_told_as_storage_errors_and_do_not_wear_readers_out(database: Database) -> None:
    for _ in range(5):
        with pytest.raises(StorageError, match="cannot be read"):
            await database.read(lambda connection: connection.execute("SELECT * FROM nothing"))
        with pytest.raises(StorageError, match="cannot be read"):
            await database.read(lambda connection: connection.execute("DELETE FROM requests"))
        with pytest.raises(ZeroDivisionError):
            await database.read(lambda connection: 1 // 0)
    assert await database.read(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


async def test_reads_run_beside_each_other_and_see_one_snapshot(
    database: Database, requests: RequestRepository
) -> None:
    await requests.add_durably(a_record("req_1"))

    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        (before,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        asyncio.run_coroutine_threadsafe(requests.add_durably(a_record("req_2")), loop).result(5)
        (after,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        return before, after

    loop = asyncio.get_running_loop()
    assert await database.read(twice) == (1, 1)
