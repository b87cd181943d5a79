"""Sums of the ledger: whole at any moment, and compared with the lines that they are of."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from atp_engine.core.ledger_views import LedgerLine
from atp_engine.core.types import AttemptOutcome, PriceState, TokenUsage
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.requests import RequestRecord, RequestRepository
from tests.support.records import a_view, an_attempt

DAY = 86_400
START = 20_000 * DAY


def _record(number: int) -> RequestRecord:
    view = a_view(f"req_{number:08d}", started_at=START + number * 600.0, session_id=f"s-{number % 3}")
    failed = an_attempt(outcome=AttemptOutcome.OVERLOADED, usage=TokenUsage(), cost_nusd=0)
    unpriced = an_attempt(2, deployment="slow", cost_nusd=0, price_state=PriceState.UNKNOWN)
    attempts = (failed, unpriced) if number % 5 == 0 else (an_attempt(),)
    return RequestRecord(view, f"key_{number % 2}", 1, None, attempts, (), 1)


async def _fill(database: Database, requests: RequestRepository, count: int) -> LedgerRepository:
    for number in range(count):
        requests.add(_record(number))
        if number % 50 == 49:
            await requests.settled()
    await requests.settled()
    return LedgerRepository(database)


async def test_sums_are_whole_whether_or_not_the_writer_has_taken_the_lines_in(
    database: Database, requests: RequestRepository
) -> None:
    ledger = await _fill(database, requests, 203)
    days = await ledger.sums("day", "key", START, START + 3 * DAY)
    assert [(one.starts_at - START, one.name) for one in days] == [
        (0, "key_0"), (0, "key_1"), (DAY, "key_0"), (DAY, "key_1"),
    ]  # fmt: skip
    assert sum(one.attempts for one in days) == 203 + 41
    assert sum(one.unknown for one in days) == 41
    assert sum(one.failed for one in days) == 41
    assert sum(one.cost_nusd for one in days) == (203 - 41) * 1_000
    for step, by in (("hour", "session"), ("minute", "deployment"), ("hour", "route"), ("day", "project")):
        found = await ledger.sums(step, by, START, START + 3 * DAY)
        assert sum(one.attempts for one in found) == 203 + 41, (step, by)
    second_day = await ledger.sums("day", "deployment", START + 1, START + 3 * DAY)
    assert {one.starts_at for one in second_day} == {START + DAY}


async def test_a_sum_or_a_line_that_was_altered_is_reported(database: Database, requests: RequestRepository) -> None:
    ledger = await _fill(database, requests, 203)
    compared, found = await ledger.differences()
    assert compared > 0 and found == ()
    with closing(sqlite3.connect(database.path)) as other:
        other.execute("UPDATE attempts SET cost_nusd = cost_nusd + 7 WHERE line = 2001")
        other.commit()
    _, found = await ledger.differences()
    assert len(found) == 14, "it is in every sum"
    assert found[0].figures == {"cost_nusd": (1_000, 1_007)}


async def test_lines_are_read_page_by_page_without_a_gap(database: Database, requests: RequestRepository) -> None:
    ledger = await _fill(database, requests, 203)
    lines: list[LedgerLine] = []
    after = 0
    while True:
        page = await ledger.page(after, 50, START + 600, START + DAY)
        lines += page.lines
        if page.next_after is None:
            break
        after = page.next_after
    assert [line.request_id for line in lines] == sorted(line.request_id for line in lines)
    assert len({line.request_id for line in lines}) == 143
    unpriced = [line for line in lines if line.price_state == "unknown"]
    assert unpriced and all(line.cost_nusd is None for line in unpriced)
    await database.commit(Write())


async def test_old_sums_go_in_pieces_and_are_not_missed(database: Database, requests: RequestRepository) -> None:
    ledger = await _fill(database, requests, 400)
    await requests.settled()
    days = await ledger.sums("day", "session", START, START + 4 * DAY)
    took: list[bool] = []
    ends = {("minute", "key"): START + DAY + 5.0, ("hour", "session"): START + 2.0 * DAY}
    for _ in range(2):
        assert ledger.prune_soon(ends, took.append)
        await requests.settled()
    assert took == [True, False]
    assert await ledger.kept_since("minute", "key") == START + DAY, "whole days"
    assert await ledger.kept_since("hour", "session") == START + 2 * DAY
    assert await ledger.kept_since("day", "session") == 0
    assert {one.starts_at for one in await ledger.sums("hour", "session", START, START + 4 * DAY)} >= {START + 2 * DAY}
    assert min(one.starts_at for one in await ledger.sums("minute", "key", START, START + 4 * DAY)) == START + DAY
    assert await ledger.sums("day", "session", START, START + 4 * DAY) == days
    compared, found = await ledger.differences()
    assert compared > 0 and found == ()
    with closing(sqlite3.connect(database.path)) as other:
        other.execute(
            "UPDATE rollups SET attempts = 9 WHERE step = 'minute' AND by = 'key' AND starts_at = ?", (START + DAY,)
        )
        other.commit()
    assert [one.figures for one in (await ledger.differences())[1]] == [{"attempts": (9, 1)}]
