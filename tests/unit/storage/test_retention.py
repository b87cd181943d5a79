"""Old requests go in chunks, with their lines; sums stay, and are not compared with what is gone."""

from __future__ import annotations

from atp_engine.storage.database import Database
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.requests import RequestRecord, RequestRepository
from atp_engine.storage.retention import CHUNK, RetentionRepository
from tests.support.records import a_view, an_attempt

START = 20_000 * 86_400.0


async def test_the_oldest_go_first_and_what_is_young_or_not_summed_up_stays(
    database: Database, requests: RequestRepository
) -> None:
    for number in range(1_300):
        view = a_view(f"req_{number:08d}", started_at=START + number * 120.0, session_id=f"s-{number % 3}")
        requests.add(RequestRecord(view, "k", 1, None, (an_attempt(),), (), 1))
        if number % 100 == 99:
            await requests.settled()
    await requests.settled()
    ledger, retention = LedgerRepository(database), RetentionRepository(database)
    before = await ledger.sums("day", "key", START, START + 3 * 86_400)
    took: list[int] = []
    for _ in range(3):
        assert retention.delete_soon(START + 700 * 120.0, took.append)
        await requests.settled()
    assert took == [CHUNK, 200, 0]
    assert await retention.oldest_at() == START + 700 * 120.0
    assert await requests.get("req_00000699") is None
    assert await requests.get("req_00000700") is not None
    page = await requests.page("", 1_000, "s-1")
    assert len(page.requests) == 200
    assert (await ledger.page(0, 5_000, 0, START * 2)).lines[0].request_id == "req_00000700"
    assert await ledger.sums("day", "key", START, START + 3 * 86_400) == before
    compared, found = await ledger.differences()
    assert compared > 0 and found == ()
    assert retention.delete_soon(START * 2, took.append)
    await requests.settled()
    assert took[-1] > 0, "what the sums have taken in"
    for _ in range(3):
        retention.delete_soon(START * 2, took.append)
    await requests.settled()
    assert RequestRepository(database).number == 1_300, "numbers go on where they were"
    assert await ledger.sums("day", "key", START, START + 3 * 86_400) == before
