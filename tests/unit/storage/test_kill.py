"""kill -9 at any moment loses no acknowledged record, doubles none and corrupts nothing."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRepository
from atp_engine.system import SystemClock

WRITER = Path(__file__).resolve().parents[2] / "support" / "doomed_writer.py"


async def run_and_kill(path: Path, first: int, lines: int) -> set[int]:
    """Starts the writer, kills it after about `lines` acknowledgements; the ids it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WRITER), str(path), str(first), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    output = b""
    async with asyncio.timeout(30):
        while output.count(b"\n") < lines:
            piece = await process.stdout.read(4096)
            assert piece, "the writer ended by itself"
            output += piece
        process.kill()
        output += await process.stdout.read()
        await process.wait()
    whole = output[: output.rfind(b"\n") + 1]
    return {int(line) for line in whole.split()}


async def check_after_kill(path: Path, acknowledged: set[int]) -> float:
    """Reopens the file as the engine does; returns how long that took."""
    started = time.perf_counter()
    database = Database.open(path, SystemClock(), summarise_every=200)
    requests = RequestRepository(database)
    took = time.perf_counter() - started
    try:
        assert database.quarantined is None
        stored = await database.read(
            lambda connection: [row[0] for row in connection.execute("SELECT id FROM requests WHERE id LIKE 'req%'")]
        )
        assert len(stored) == len(set(stored))
        missing = acknowledged - {int(name[4:], 16) for name in stored}
        assert not missing
        lines = await database.read(
            lambda connection: connection.execute(
                "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM attempts), "
                "(SELECT count(*) FROM attempt_rows), (SELECT count(*) FROM request_rows)"
            ).fetchone()
        )
        assert len(set(lines)) == 1  # each request has its ledger line and its kind, and no line is alone
        assert (await requests.totals(0.0)).requests == lines[0]
    finally:
        await database.aclose()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return took


async def kill_often(path: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    acknowledged: set[int] = set()
    for kill in range(kills):
        acknowledged |= await run_and_kill(path, kill * 1_000_000, rng.randint(1, 600))
        assert await check_after_kill(path, acknowledged) < 2.0


async def test_three_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill_often(tmp_path / "atp.db", kills=3, seed=7443)


@pytest.mark.long
async def test_two_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill_often(tmp_path / "atp.db", kills=200, seed=int(time.time()))
