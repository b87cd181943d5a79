"""Opening: private files, one engine at a time, damage set aside and told, plain words when it cannot be."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from atp_engine.core.errors import StorageError
from atp_engine.storage.database import Database
from atp_engine.storage.migrations import APPLICATION_ID
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.tables import ALL
from atp_engine.system import SystemClock
from tests.support.files import names_in
from tests.support.manual_clock import ManualClock
from tests.support.records import a_record, ids


async def make(path: Path, count: int = 200) -> None:
    """A sound database with some requests in it."""
    database = Database.open(path, SystemClock())
    requests = RequestRepository(database)
    for name in ids(count):
        requests.add(a_record(name))
    await database.aclose()


async def test_the_file_its_log_and_its_directory_are_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / "atp.db"
    database = Database.open(path, SystemClock())
    await RequestRepository(database).add_durably(a_record("req_1"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await database.aclose()
    assert set(modes) == {"atp.db", "atp.db-wal", "atp.db-shm", "atp.db.lock"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    await make(path)
    path.chmod(0o644)
    database = Database.open(path, SystemClock())
    await database.aclose()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_connection_distrusts_the_file(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock())
    found = database.read_now(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "trusted_schema",
                "cell_size_check",
                "mmap_size",
                "auto_vacuum",
                "journal_mode",
                "application_id",
            )
        ]
    )
    await database.aclose()
    assert found == [0, 1, 0, 2, "wal", APPLICATION_ID]


async def test_every_table_has_the_columns_that_repositories_fill(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "atp.db", SystemClock())
    for table in ALL:
        columns = database.read_now(
            lambda connection, name=table.name: [  # type: ignore[misc]
                row[1] for row in connection.execute(f"PRAGMA table_info({name})")
            ]
        )
        assert tuple(columns) == table.columns
    await database.aclose()


async def test_a_second_engine_is_told_and_may_open_after_the_first(tmp_path: Path) -> None:
    first = Database.open(tmp_path / "atp.db", SystemClock())
    with pytest.raises(StorageError, match=rf"another engine \(pid {os.getpid()}\) is using"):
        Database.open(tmp_path / "atp.db", SystemClock())
    await first.aclose()
    second = Database.open(tmp_path / "atp.db", SystemClock())
    await second.aclose()


@pytest.mark.parametrize("place", ["file/atp.db", "file/deeper/atp.db"])
def test_a_directory_that_cannot_be_is_one_plain_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError) as raised:
        Database.open(tmp_path / place, SystemClock())
    assert "\n" not in raised.value.public_message
    assert "Traceback" not in raised.value.public_message


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "atp.db").mkdir()
    with pytest.raises(StorageError, match="is not a file"):
        Database.open(tmp_path / "atp.db", SystemClock())


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        Database.open(path, SystemClock())
    assert path.read_bytes() == before


async def test_a_newer_schema_is_refused_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    await make(path)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations(migration_set, name, applied_at) "
            "VALUES ('atp_console', 'm9999_future', 'x')"
        )
    connection.close()
    with pytest.raises(StorageError, match="newer version"):
        Database.open(path, SystemClock())
    assert names_in(tmp_path) == ["atp.db", "atp.db.lock"]


async def test_a_file_that_is_no_database_is_kept_aside_and_told(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    path.write_bytes(b"these are not the bytes you are looking for" * 100)
    before = path.read_bytes()
    database = Database.open(path, ManualClock(now=1_790_000_000.0))
    await RequestRepository(database).add_durably(a_record("req_1"))
    await database.aclose()
    assert database.quarantined == tmp_path / "atp.db.corrupt-20260921T141320Z"
    assert database.damage == "the file is not a database"
    assert database.quarantined.read_bytes() == before


async def test_a_damaged_page_is_found_at_start_and_the_file_kept_with_its_log_untouched(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    await make(tmp_path / "live" / "atp.db")
    database = Database.open(tmp_path / "live" / "atp.db", SystemClock())
    await RequestRepository(database).add_durably(a_record("req_in_the_log"))
    path = tmp_path / "atp.db"
    log = tmp_path / "atp.db-wal"
    shutil.copy(database.path, path)  # as a dead process leaves them: file and log, no shared memory
    shutil.copy(f"{database.path}-wal", log)
    await database.aclose()
    with path.open("r+b") as file:
        for page in range(3, 12):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    before = (path.read_bytes(), log.read_bytes())
    fresh = Database.open(path, SystemClock())
    await RequestRepository(fresh).add_durably(a_record("req_1"))
    await fresh.aclose()
    assert fresh.quarantined is not None
    assert fresh.damage
    kept = fresh.quarantined
    assert (kept.read_bytes(), kept.with_name(kept.name + "-wal").read_bytes()) == before


async def test_two_damaged_files_of_the_same_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    kept = set()
    for content in (b"first" * 50, b"second" * 50):
        path.write_bytes(content)
        database = Database.open(path, ManualClock())
        await database.aclose()
        assert database.quarantined is not None
        kept.add(database.quarantined.read_bytes())
    assert kept == {b"first" * 50, b"second" * 50}


async def test_an_emptied_file_beside_a_full_log_is_damage_not_a_fresh_start(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    path.write_bytes(b"")
    (tmp_path / "atp.db-wal").write_bytes(b"x" * 5000)
    database = Database.open(path, SystemClock())
    await database.aclose()
    assert database.quarantined is not None


async def test_a_cut_file_never_leaves_with_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    await make(path)
    whole = path.read_bytes()
    for size in (1, 15, 16, 99, 100, 512, 4096, 5000, 4096 * 5, len(whole) - 4096, len(whole) - 1):
        path.write_bytes(whole[:size])
        database = Database.open(path, ManualClock())
        requests = RequestRepository(database)
        await requests.add_durably(a_record("req_new"))
        assert await requests.get("req_new") is not None
        await database.aclose()
        for left in names_in(tmp_path):
            (tmp_path / left).unlink()


async def test_a_link_to_nowhere_or_odd_names_work(tmp_path: Path) -> None:
    path = tmp_path / "odd #name?x=1%20 é" / "atp?mode=memory.db"
    database = Database.open(path, SystemClock())
    requests = RequestRepository(database)
    await requests.add_durably(a_record("req_1"))
    assert await requests.get("req_1") is not None
    await database.aclose()
    assert path.stat().st_size > 0


async def test_damage_met_while_running_is_told_and_makes_the_next_start_look_closely(tmp_path: Path) -> None:
    path = tmp_path / "atp.db"
    await make(path)
    database = Database.open(path, SystemClock())
    requests = RequestRepository(database)
    with path.open("r+b") as file:
        for page in range(3, 25):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(StorageError, match="cannot be read"):
        await requests.page(limit=500)
    assert "atp.db.suspect" in names_in(tmp_path)
    await database.aclose()
    fresh = Database.open(path, SystemClock())
    await fresh.aclose()
    assert fresh.quarantined is not None
    assert "atp.db.suspect" not in names_in(tmp_path)
