"""Bodies come back as they were put, within caps of bytes, age and rate, and nothing in the file can run."""

from __future__ import annotations

import asyncio
import os
import pickle
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from atp_engine.core.errors import StorageError
from atp_engine.storage.bodies import BodyStore
from atp_engine.system import SystemClock
from tests.support.files import names_in
from tests.support.manual_clock import ManualClock
from tests.support.until import until

MIB = 1024 * 1024


def open_store(directory: Path, **changes: Any) -> BodyStore:
    """A store with room for 64 MiB and no limit that a test would meet."""
    settings: dict[str, Any] = {"max_bytes": 64 * MIB, "ttl_s": 3_600.0, "bodies_per_s": 10_000.0} | changes
    return BodyStore(directory, settings.pop("clock", SystemClock()), **settings)


@pytest.fixture
async def bodies(tmp_path: Path) -> AsyncIterator[BodyStore]:
    """An open store."""
    store = open_store(tmp_path / "bodies")
    yield store
    await store.aclose()


def change(directory: Path, sql: str, *parameters: object) -> None:
    """What somebody with access to the file might do to it."""
    connection = sqlite3.connect(directory / "cache.db")
    assert connection.execute(sql, parameters).rowcount > 0
    connection.commit()
    connection.close()


async def gone(store: BodyStore, request_id: str) -> None:
    """Waits until a body is not kept any more."""
    async with asyncio.timeout(5):
        while (await store.get(request_id))[0] is not None:  # noqa: ASYNC110 - culling is another thread's
            await asyncio.sleep(0.005)


async def test_bodies_come_back_as_they_were_put(bodies: BodyStore) -> None:
    large = os.urandom(300_000)
    assert bodies.put("req_1", "request", b'{"model":"a"}')
    assert bodies.put("req_1", "response", large)
    assert bodies.put("req_2", "request", b"")
    assert await bodies.get("req_1") == (b'{"model":"a"}', large)
    assert await bodies.get("req_2") == (b"", None)
    assert await bodies.get("req_3") == (None, None)
    assert bodies.state() == "ok"


async def test_bodies_outlive_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies")
    for number in range(300):
        store.put(f"req_{number}", "request", b"%d" % number)
    await store.aclose()
    store = open_store(tmp_path / "bodies")
    assert await store.get("req_299") == (b"299", None)
    await store.aclose()


async def test_the_directory_is_private_and_holds_no_other_files(tmp_path: Path, bodies: BodyStore) -> None:
    bodies.put("req_1", "response", os.urandom(MIB))
    await bodies.get("req_1")
    directory = tmp_path / "bodies"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    names = names_in(directory)
    assert set(names) <= {"cache.db", "cache.db-wal", "cache.db-shm"}
    assert {stat.S_IMODE((directory / name).stat().st_mode) for name in names} == {0o600}


async def test_bodies_are_compressed(tmp_path: Path, bodies: BodyStore) -> None:
    for number in range(50):
        bodies.put(f"req_{number}", "request", b'{"role": "user", "content": "hello"},' * 5_000)
    await bodies.get("req_1")
    assert sum((tmp_path / "bodies" / name).stat().st_size for name in names_in(tmp_path / "bodies")) < MIB


async def test_the_oldest_make_room_and_the_cap_holds(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies", max_bytes=4 * MIB)
    for number in range(200):
        assert store.put(f"req_{number:03}", "request", os.urandom(100_000))
    assert (await store.get("req_199"))[0] is not None
    assert (await store.get("req_000"))[0] is None
    kept = [number for number in range(200) if (await store.get(f"req_{number:03}"))[0] is not None]
    assert kept == list(range(kept[0], 200))
    assert 20 < len(kept) < 42
    await store.aclose()
    assert (tmp_path / "bodies" / "cache.db").stat().st_size <= 4 * MIB


async def test_a_cap_made_smaller_is_reached_with_the_next_body(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies")
    for number in range(300):
        store.put(f"req_{number:03}", "request", os.urandom(100_000))
    assert (await store.get("req_000"))[0] is not None
    store.configure(max_bytes=2 * MIB, ttl_s=3_600, bodies_per_s=10_000)
    store.put("req_next", "request", b"x")
    await store.aclose()
    store = open_store(tmp_path / "bodies", max_bytes=2 * MIB)
    store.put("req_last", "request", b"x")
    await gone(store, "req_270")
    assert (await store.get("req_next"))[0] == b"x"
    await store.aclose()


async def test_successes_make_room_for_errors_and_pinned_requests_stay(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies", max_bytes=4 * MIB)
    for number in range(12):
        store.put(f"bad_{number}", "request", os.urandom(100_000), is_error=True)
        store.put(f"good_{number}", "request", os.urandom(100_000))
    store.pin(("good_0", "later"))
    store.put("later", "request", b"pinned before it came")
    for number in range(100, 160):
        store.put(f"good_{number}", "request", os.urandom(100_000))
    kept = [name for name in ("good_0", "good_1", "good_11", "good_100", "good_159") if (await store.get(name))[0]]
    assert kept == ["good_0", "good_159"]
    assert all([(await store.get(f"bad_{number}"))[0] for number in range(12)])
    assert store.deleted[0] > 40 and store.deleted[1:] == (0, 0, 0)
    store.limit(MIB)
    store.put("bad_next", "request", os.urandom(10_000), is_error=True)
    await gone(store, "bad_5")
    await until(lambda: store.deleted[1] > 5)  # errors make room once there are no successes
    assert (await store.get("good_0"))[0] is not None and (await store.get("later"))[0] is not None
    await until(lambda: store.ceiling <= MIB)
    store.pin(("good_0",), is_pinned=False)
    store.put("bad_last", "request", os.urandom(700_000), is_error=True)
    await gone(store, "good_0")
    assert (await store.get("bad_last"))[0] is not None
    assert store.lost == 0
    await store.aclose()
    assert sum((tmp_path / "bodies" / name).stat().st_size for name in names_in(tmp_path / "bodies")) <= MIB


async def test_what_finds_no_room_beside_pinned_bodies_is_skipped_and_never_passes_the_cap(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies", max_bytes=2 * MIB)
    store.pin(tuple(f"req_{number}" for number in range(18)))
    for number in range(18):
        store.put(f"req_{number}", "request", os.urandom(100_000))
    for number in range(20, 30):
        store.put(f"req_{number}", "request", os.urandom(400_000))
    assert (await store.get("req_29"))[0] is None
    assert all([(await store.get(f"req_{number}"))[0] for number in range(17)])
    assert store.skipped >= 10 and store.lost == 0
    await store.aclose()
    assert (tmp_path / "bodies" / "cache.db").stat().st_size <= 2 * MIB


async def test_errors_and_pinned_requests_outlive_the_age_of_successes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies", ttl_s=0.05, error_ttl_s=3_600.0)
    store.pin(("kept",))
    for name, is_error in (("good", False), ("bad", True), ("kept", False)):
        store.put(name, "response", b"x", is_error=is_error)
        store.put(name, "request", b"x", is_error=is_error)
    await gone(store, "good")
    assert await store.get("bad") == await store.get("kept") == (b"x", b"x")
    store.pin(("kept",), is_pinned=False)
    await gone(store, "kept")
    await store.aclose()


async def test_a_body_over_its_time_is_gone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies", ttl_s=0.05)
    store.put("req_1", "request", b"short lived")
    await gone(store, "req_1")
    await store.aclose()


async def test_what_is_over_the_rate_is_skipped_and_counted_by_request(tmp_path: Path) -> None:
    clock = ManualClock()
    store = open_store(tmp_path / "bodies", clock=clock, bodies_per_s=5.0)
    taken = [
        (store.put(f"req_{number}", "request", b"q"), store.put(f"req_{number}", "response", b"r"))
        for number in range(8)
    ]
    assert taken == [(True, True)] * 5 + [(False, False)] * 3
    assert store.skipped == 6
    clock.advance(0.5)
    assert [store.put(f"req_1{number}", "request", b"q") for number in range(3)] == [True, True, False]
    clock.step_wall(86_400)
    assert not store.put("req_20", "request", b"q")
    await store.aclose()


async def test_a_queue_that_is_full_skips_instead_of_growing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies")
    body = bytes(MIB)
    taken = sum(store.put(f"req_{number}", "request", body) for number in range(300))
    assert taken < 300
    assert store.skipped == 300 - taken
    await store.aclose()
    assert store.lost == 0


async def test_a_pickled_value_planted_in_the_file_does_not_run(tmp_path: Path, bodies: BodyStore) -> None:
    bodies.put("req_1", "request", b"honest")
    bodies.put("req_1", "response", b"honest")
    await bodies.get("req_1")
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    change(tmp_path / "bodies", "UPDATE Cache SET mode = 4, value = ? WHERE key = 'req_1/request'", trap)
    assert await bodies.get("req_1") == (None, b"honest")
    assert "sprung" not in names_in(tmp_path)


async def test_a_pickled_key_planted_in_the_file_does_not_run_and_culling_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies", max_bytes=MIB)
    store.put("req_1", "request", b"honest")
    await store.get("req_1")
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    change(tmp_path / "bodies", "UPDATE Cache SET raw = 0, key = ? WHERE key = 'req_1/request'", trap)
    for number in range(60):
        store.put(f"req_{number:03}", "request", os.urandom(50_000))
    assert (await store.get("req_059"))[0] is not None
    assert (await store.get("req_000"))[0] is None
    await store.aclose()
    assert "sprung" not in names_in(tmp_path)


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
@pytest.mark.parametrize("where", ["../secret", "/etc/passwd", "secret", "ab/cd/secret"])
async def test_a_file_name_planted_in_the_file_is_neither_read_nor_deleted(
    tmp_path: Path, bodies: BodyStore, mode: int, where: str
) -> None:
    secret = (tmp_path / "bodies" / where).resolve()
    if where != "/etc/passwd":
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(zstandard.compress(b"secret"))
    bodies.put("req_1", "request", b"honest")
    await bodies.get("req_1")
    change(tmp_path / "bodies", "UPDATE Cache SET mode = ?, filename = ?, value = NULL", mode, where)
    assert await bodies.get("req_1") == (None, None)
    bodies.put("req_1", "request", b"again")  # replacing the row deletes the file it names, were it ours
    assert await bodies.get("req_1") == (b"again", None)
    assert secret.exists()


@pytest.mark.parametrize(
    "value",
    [
        b"not compressed",
        b"\x28\xb5\x2f\xfd",
        "text",
        7,
        zstandard.ZstdCompressor(write_content_size=False).compress(b"x"),
    ],
)
async def test_a_value_that_is_not_ours_is_none(tmp_path: Path, bodies: BodyStore, value: object) -> None:
    bodies.put("req_1", "request", b"honest")
    await bodies.get("req_1")
    change(tmp_path / "bodies", "UPDATE Cache SET value = ?", value)
    assert await bodies.get("req_1") == (None, None)
    assert bodies.state() == "ok"


async def test_a_body_that_would_inflate_without_end_is_not_inflated(tmp_path: Path, bodies: BodyStore) -> None:
    bodies.put("req_1", "request", b"honest")
    await bodies.get("req_1")
    bomb = zstandard.compress(bytes(200 * MIB))
    change(tmp_path / "bodies", "UPDATE Cache SET value = ?", bomb)
    assert await bodies.get("req_1") == (None, None)


async def test_a_damaged_store_is_set_aside_and_a_fresh_one_used(tmp_path: Path) -> None:
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies" / "cache.db").write_bytes(b"this is no database" * 1_000)
    store = open_store(tmp_path / "bodies")
    store.put("req_1", "request", b"honest")
    assert await store.get("req_1") == (b"honest", None)
    assert store.quarantined is not None
    assert (store.quarantined / "cache.db").read_bytes().startswith(b"this is no database")
    await store.aclose()


@pytest.mark.parametrize("key", ["disk_directory", "disk__directory", "get", "sqlite_journal_mode"])
async def test_altered_settings_cannot_move_the_store(tmp_path: Path, key: str) -> None:
    store = open_store(tmp_path / "bodies")
    store.put("req_1", "request", b"honest")
    await store.aclose()
    change(tmp_path / "bodies", "INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, str(tmp_path / "elsewhere"))
    store = open_store(tmp_path / "bodies")
    store.put("req_2", "request", b"honest")
    assert await store.get("req_2") == (b"honest", None)
    assert store.state() == "ok"
    await store.aclose()
    assert "elsewhere" not in names_in(tmp_path)
    assert store.quarantined is not None


async def test_damage_met_while_running_costs_the_stored_bodies_only(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies")
    for number in range(100):
        store.put(f"req_{number}", "request", os.urandom(20_000))
    await store.get("req_1")
    connection = sqlite3.connect(tmp_path / "bodies" / "cache.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with (tmp_path / "bodies" / "cache.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 1_500_000)
    results = await asyncio.gather(*(store.get(f"req_{number}") for number in range(100)), return_exceptions=True)
    for number in range(100):
        store.put(f"again_{number}", "request", b"honest")
    assert any(isinstance(result, StorageError) for result in results) or store.lost
    store.put("req_new", "request", b"honest")
    assert await store.get("req_new") == (b"honest", None)
    assert store.state() == "ok"
    assert store.quarantined is not None
    await store.aclose()


async def test_a_store_that_cannot_be_opened_degrades_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    store = open_store(tmp_path / "file" / "bodies")
    await until(lambda: store.state() != "ok")
    assert store.put("req_1", "request", b"lost")
    assert await store.get("req_1") == (None, None)
    assert store.lost == 1
    assert "bodies are not kept" in store.state()
    await store.aclose()


async def test_a_closed_store_takes_and_gives_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bodies")
    await store.aclose()
    await store.aclose()
    assert not store.put("req_1", "request", b"late")
    with pytest.raises(StorageError, match="closed"):
        await store.get("req_1")
    assert not any(thread.name == "atp-bodies" for thread in threading.enumerate())


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self._path),))
