"""Turns of `/v1/responses` as rows: read back at once, in chains, swept by age and size."""

from __future__ import annotations

import msgspec

from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.responses import ResponseRepository, StoredResponse


def turn(name: str, previous: str = "", at: float = 100.0, size: int = 4) -> StoredResponse:
    """One turn of a conversation."""
    return StoredResponse(name, "key", "d", "p", "openai_chat", previous, at, b"[]", b"x" * size)


async def test_a_turn_is_there_at_once_and_still_there_once_it_is_committed(database: Database) -> None:
    rows = ResponseRepository(database)
    assert rows.add(turn("resp_1"))
    assert await rows.get("resp_1", 0.0) == turn("resp_1")
    await database.commit(Write())
    assert await rows.get("resp_1", 0.0) == turn("resp_1")
    assert await ResponseRepository(database).get("resp_1", 0.0) == turn("resp_1")
    assert await rows.get("resp_1", 101.0) is None
    assert await rows.get("resp_2", 0.0) is None


async def test_a_chain_is_whole_or_nothing(database: Database) -> None:
    rows = ResponseRepository(database)
    turns = [turn("a"), turn("b", "a"), turn("c", "b")]
    for one in turns:
        rows.add(one)
    assert await rows.chain("c", 0.0) == turns
    assert await rows.chain("c", 0.0, longest=2) == []
    rows.add(turn("loop", "loop"))
    assert await rows.chain("loop", 0.0) == []
    await rows.remove("a")
    assert await rows.chain("c", 0.0) == []
    assert await rows.chain("nothing", 0.0) == []


async def test_the_oldest_go_when_they_are_too_old_or_too_much(database: Database) -> None:
    rows = ResponseRepository(database)
    for place in range(300):
        rows.add(turn(f"r{place}", at=float(place), size=998))
    rows.sweep(before=10.0, most_bytes=150_000)
    await database.commit(Write())
    left = await database.read(
        lambda connection: connection.execute("SELECT min(created_at) FROM responses").fetchone()
    )
    assert left[0] == 210.0
    assert await rows.get("r299", 0.0) is not None
    changed = msgspec.structs.replace(turn("r299"), body=b"new")
    rows.add(changed)
    await database.commit(Write())
    assert await rows.get("r299", 0.0) == changed
