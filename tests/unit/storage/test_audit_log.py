"""The audit log keeps what happened in order, and shows what was changed, removed or put in."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from atp_engine.storage.audit import AuditEntry, AuditLog
from atp_engine.storage.database import Database
from atp_engine.system import SystemClock
from tests.support.until import until


def entry(number: int) -> AuditEntry:
    """A distinct entry."""
    return AuditEntry(at=1_790_000_000.0 + number, actor="admin token", action="key.created", target=f"key_{number}")


@pytest.fixture
def audit(database: Database) -> AuditLog:
    """An empty log."""
    return AuditLog(database)


async def tamper(path: Path, sql: str) -> int:
    """The first broken row that a restarted engine finds after ten entries and a change to the file."""
    database = Database.open(path, SystemClock())
    audit = AuditLog(database)
    for number in range(10):
        await audit.add(entry(number))
    assert await audit.first_broken() == 0
    await database.aclose()
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()
    database = Database.open(path, SystemClock())
    try:
        return await AuditLog(database).first_broken()
    finally:
        await database.aclose()


async def test_entries_come_back_newest_first(audit: AuditLog) -> None:
    for number in range(5):
        await audit.add(entry(number))
    assert await audit.recent(3) == (entry(4), entry(3), entry(2))


async def test_entries_of_both_ways_share_one_chain(audit: AuditLog, database: Database) -> None:
    await asyncio.gather(*(audit.add(entry(number)) for number in range(40)))
    for number in range(40, 60):
        assert audit.note(entry(number))
    await until(lambda: database.queue_depth == 0)
    assert len(await audit.recent(100)) == 60
    assert await audit.first_broken() == 0


async def test_text_from_outside_is_made_safe_and_cut(audit: AuditLog) -> None:
    await audit.add(AuditEntry(1.0, "x\x1b]52;c;AAAA\x07y", "auth.refused", "lone \ud800", "z" * 5_000))
    (found,) = await audit.recent(1)
    assert (found.actor, found.target, len(found.detail)) == ("xy", "lone ", 1_024)
    assert await audit.first_broken() == 0


async def test_an_empty_log_is_whole(audit: AuditLog) -> None:
    assert await audit.first_broken() == 0


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("DELETE FROM audit WHERE number = 4", 4),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number > 7", 8),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET actor = 'somebody else' WHERE number = 6", 6),
        ("UPDATE audit SET at = at + 1 WHERE number = 10", 10),
        ("UPDATE audit SET chain = x'00' WHERE number = 2", 2),
        ("INSERT INTO audit SELECT 11, at, actor, action, target, detail, chain FROM audit WHERE number = 10", 11),
        ("DELETE FROM audit WHERE number = 3; UPDATE audit SET number = number - 1 WHERE number > 3", 3),
    ],
)
async def test_a_change_behind_its_back_shows(tmp_path: Path, change: str, broken: int) -> None:
    assert await tamper(tmp_path / "atp.db", change) == broken
