"""Requests come back exactly as they went in, in the order of arrival, summed and placed in sessions."""

from __future__ import annotations

import asyncio
import math
import random
import sqlite3
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.filter import Filter, parse
from atp_engine.core.types import AttemptRecord, PriceState, RequestState, RouteDecision
from atp_engine.core.views import RequestPage, RequestView
from atp_engine.storage.database import Database
from atp_engine.storage.request_search import search
from atp_engine.storage.requests import RequestRecord, RequestRepository
from atp_engine.storage.summaries import day_start
from atp_engine.system import SystemClock
from tests.support import record_strategies, records
from tests.support.records import a_record, ids

NOW = 1_790_000_000.0


async def add_all(requests: RequestRepository, added: list[RequestRecord]) -> None:
    """Commits the records together, in this order."""
    async with asyncio.TaskGroup() as group:
        for record in added:
            group.create_task(requests.add_durably(record))


async def test_a_record_comes_back_with_its_decision_and_attempts(requests: RequestRepository) -> None:
    record = msgspec.structs.replace(
        a_record("req_1", error_message="it broke", ttft_ms=None),
        attempts=(records.an_attempt(1, message="overloaded", ttft_ms=None), records.an_attempt(2)),
        dropped_fields=("top_k", "seed"),
    )
    await requests.add_durably(record)
    assert await requests.get("req_1") == record


async def test_an_unknown_request_is_none(requests: RequestRepository) -> None:
    assert await requests.get("req_none") is None
    assert await requests.neighbours("req_none") is None


async def test_a_record_without_decision_or_attempts_comes_back(requests: RequestRepository) -> None:
    record = msgspec.structs.replace(a_record("req_1"), decision=None, attempts=())
    await requests.add_durably(record)
    assert await requests.get("req_1") == record


Drawn = tuple[RequestView, list[AttemptRecord], RouteDecision | None, list[str], str]

drawn_records = st.lists(
    st.tuples(
        record_strategies.views(),
        st.lists(record_strategies.attempts(), max_size=3),
        st.none() | record_strategies.decisions(),
        st.lists(st.text(max_size=20), max_size=3),
        st.text(max_size=10),
    ),
    min_size=1,
    max_size=8,
)


def test_whatever_is_stored_is_read_back_equal(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    made_so_far = 0
    examples = 60 if pytestconfig.getoption("--long") else 20

    @settings(max_examples=examples, deadline=None, database=None)
    @given(drawn=drawn_records)
    def check(drawn: list[Drawn]) -> None:
        nonlocal made_so_far
        made = [_record(name, drew) for name, drew in zip(ids(len(drawn), made_so_far), drawn, strict=True)]
        made_so_far += len(made)
        runner.run(_round_trip(requests, made))

    with asyncio.Runner() as runner:
        database = Database.open(tmp_path / "atp.db", SystemClock(), summarise_every=50)
        try:
            requests = RequestRepository(database)
            check()
        finally:
            runner.run(database.aclose())
        assert database.dropped == 0


def _record(name: str, drew: Drawn) -> RequestRecord:
    view, attempts, decision, dropped_fields, key_id = drew
    return RequestRecord(
        view=msgspec.structs.replace(view, id=name),
        key_id=key_id,
        config_version=7,
        decision=decision,
        attempts=tuple(msgspec.structs.replace(attempt, number=place) for place, attempt in enumerate(attempts, 1)),
        dropped_fields=tuple(dropped_fields),
        position=3,
    )


async def _round_trip(requests: RequestRepository, made: list[RequestRecord]) -> None:
    await add_all(requests, made)
    for record in made:
        assert await requests.get(record.view.id) == record
    listed = await requests.page(limit=len(made))
    assert list(listed.requests) == [record.view for record in reversed(made)]


async def test_text_that_utf8_cannot_hold_is_mended_not_lost(requests: RequestRepository) -> None:
    record = a_record("req_1", asked="mo\ud800del", error_message="\udfffbroken")
    decision = msgspec.structs.replace(records.DECISION, id="d\ud800", explanation="for mo\ud800del")
    dropped = msgspec.structs.replace(record, decision=decision, dropped_fields=("a\ud800",))
    await requests.add_durably(dropped)
    got = await requests.get("req_1")
    assert got is not None
    assert (got.view.asked, got.view.error_message, got.dropped_fields) == ("mo?del", "?broken", ("a?",))
    assert got.decision is not None
    assert got.decision.explanation == "for mo?del"


async def test_a_usage_beyond_64_bits_is_kept_as_the_largest_number(requests: RequestRepository) -> None:
    await requests.add_durably(a_record("req_1", output_tokens=10**30, cost_nusd=-(10**30)))
    got = await requests.get("req_1")
    assert got is not None
    assert (got.view.output_tokens, got.view.cost_nusd) == (2**63 - 1, -(2**63 - 1))


async def test_pages_run_from_the_newest_to_the_oldest_without_gaps(requests: RequestRepository) -> None:
    names = ids(25)
    await add_all(requests, [a_record(name) for name in names])
    seen: list[str] = []
    before = ""
    while True:
        page = await requests.page(before, limit=10)
        seen += [view.id for view in page.requests]
        before = page.next_before
        if not before:
            break
    assert seen == names[::-1]


async def test_a_page_that_ends_exactly_at_the_last_request_has_no_next(requests: RequestRepository) -> None:
    await add_all(requests, [a_record(name) for name in ids(10)])
    page = await requests.page(limit=10)
    assert (len(page.requests), page.next_before) == (10, "")


async def test_requests_that_finished_out_of_order_are_listed_by_arrival(requests: RequestRepository) -> None:
    names = ids(6)
    await add_all(requests, [a_record(names[place]) for place in (3, 0, 5, 1, 4, 2)])
    page = await requests.page(limit=10, session="s-1")
    assert [view.id for view in page.requests] == names[::-1]


async def test_a_filter_reads_on_until_the_page_is_full(requests: RequestRepository) -> None:
    names = ids(1200)
    await add_all(requests, [a_record(name, tries=2 if int(name[4:], 16) % 400 == 0 else 1) for name in names])
    first = await requests.page(limit=2, found=parse("tries>1"))
    assert [view.id for view in first.requests] == [names[800], names[400]]
    second = await requests.page(first.next_before, limit=2, found=parse("tries>1"))
    assert [view.id for view in second.requests] == [names[0]]
    assert second.next_before == ""


async def test_a_search_finds_what_looking_at_every_row_finds(database: Database, requests: RequestRepository) -> None:
    names = ids(4_400)
    rng = random.Random(5)
    late = names[2_000:]
    rng.shuffle(late)
    names[2_000:] = late
    states = (RequestState.OK, RequestState.OK, RequestState.FAILED, RequestState.REJECTED)
    for begin in range(0, 4_400, 440):
        for record in (
            a_record(
                name,
                started_at=NOW - 5_000.0 + int(name[4:], 16),
                state=states[number % 4],
                model=f"m{number // 700}",
                session_id=f"S-{number % 90}é" if number % 7 else f"S-{number % 90}",
                http_status=200 + number // 1_000,
                error_message="Kaput: too MANY" if number == 30 or number % 990 == 3 else "",
                ttft_ms=None if number % 3 else float(number),
                price_state=PriceState.KNOWN if number % 5 else PriceState.UNKNOWN,
                cost_nusd=number * 1_000_000,
            )
            for number, name in enumerate(names[begin : begin + 440], begin)
        ):
            requests.add(record)
        await requests.settled()
    rows: list[RequestView] = []
    before = ""
    while len(rows) < 4_400:
        page = await requests.page(before, 500)
        rows, before = [*rows, *page.requests], page.next_before
    for query in (
        "status:200", "model:m2", "-model:m2 state:error", "status:203|201 -(state:ok | ttft>1s)", "nothing-of-this",
        "ttft>2s", "ttft>=4.398s | status:200", "cost>$3.99", "cost:unknown ttft<100ms", "since:90s -since:80s",
        "session:s-88", '"too many"', "kaput", "~kap.*t", "error:upstream", "id:00012", "tokens>1k", "session:8é",
    ):  # fmt: skip
        found = parse(query)
        expected = [view.id for view in rows if found.matches(view, NOW)]
        for long_s in (60.0, 0.0) if query in ("model:m2", "kaput", "cost>$3.99") else (60.0,):
            seen: list[str] = []
            before = ""
            while True:
                page = await database.read(partial(_search, before, found, long_s))
                assert page.looked_back_to is None or page.next_before
                seen += [view.id for view in page.requests]
                before = page.next_before
                if not before:
                    break
            assert seen == expected, (query, long_s)


def _search(before: str, found: Filter, long_s: float, connection: sqlite3.Connection) -> RequestPage:
    return search(connection, before, 300, found, NOW, long_s)


async def test_a_session_is_found_on_both_sides_of_the_bulk_index(requests: RequestRepository) -> None:
    names = ids(350)  # the index is brought up to date after every 100 rows, the last ones stay behind it
    for start in range(0, 350, 70):
        chunk = names[start : start + 70]
        await add_all(requests, [a_record(name, session_id=f"s-{int(name[4:], 16) % 5}") for name in chunk])
    page = await requests.page(limit=100, session="s-2")
    assert [view.id for view in page.requests] == names[2::5][::-1]
    place = await requests.neighbours(names[172])
    assert place is not None
    assert (place.position, place.count) == (35, 70)
    assert (place.previous_id, place.next_id) == (names[167], names[177])
    first = await requests.neighbours(names[2])
    last = await requests.neighbours(names[347])
    assert first is not None
    assert last is not None
    assert (first.previous_id, last.next_id) == ("", "")


async def test_totals_are_exact_on_both_sides_of_the_bulk_sums(requests: RequestRepository) -> None:
    midnight = day_start(1_790_000_000.0)
    states = [RequestState.OK, RequestState.FAILED, RequestState.TRUNCATED, RequestState.CANCELLED]
    made = []
    for number, name in enumerate(ids(430)):
        price = PriceState.UNKNOWN if number % 3 == 0 else PriceState.KNOWN
        at = midnight + (number - 130) * 100  # the first 130 belong to yesterday
        made.append(a_record(name, started_at=at, state=states[number % 4], cost_nusd=number, price_state=price))
    for start in range(0, 430, 60):
        await add_all(requests, made[start : start + 60])
    today = [record.view for record in made[130:]]
    totals = await requests.today(midnight + 80_000)
    assert totals.requests == len(today)
    assert totals.errors == sum(view.state in (RequestState.FAILED, RequestState.TRUNCATED) for view in today)
    assert totals.unknown_cost == sum(view.price_state is PriceState.UNKNOWN for view in today)
    assert totals.cost_nusd == sum(view.cost_nusd for view in today)
    assert totals.prompt_tokens == sum(view.prompt_tokens for view in today)
    assert (await requests.totals(0.0)).requests == 430


async def test_sums_too_large_for_64_bits_do_not_stop_anything(requests: RequestRepository) -> None:
    await add_all(requests, [a_record(name, cost_nusd=2**63 - 1) for name in ids(250)])
    assert (await requests.today(1_790_000_000.0)).cost_nusd > 2**62
    await requests.add_durably(a_record("req_z"))
    assert await requests.get("req_z") is not None


async def test_an_infinite_start_does_not_stop_the_sums(requests: RequestRepository) -> None:
    await add_all(requests, [a_record(name, started_at=math.inf) for name in ids(120)])
    assert (await requests.totals(0.0)).requests == 120


async def test_a_second_request_with_the_same_id_is_refused_alone(requests: RequestRepository) -> None:
    await requests.add_durably(a_record("req_1"))
    results = await asyncio.gather(
        requests.add_durably(a_record("req_0")),
        requests.add_durably(a_record("req_1", asked="other")),
        requests.add_durably(a_record("req_2")),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["NoneType", "StorageError", "NoneType"]
    assert [view.id for view in (await requests.page()).requests] == ["req_2", "req_1", "req_0"]
    kept = await requests.get("req_1")
    assert kept is not None
    assert kept.view.asked == "main"


async def test_numbers_go_on_after_a_restart_and_recent_shows_the_newest(tmp_path: Path) -> None:
    names = ids(6)
    for name in names:
        database = Database.open(tmp_path / "atp.db", SystemClock())
        requests = RequestRepository(database)
        requests.add(a_record(name))
        await database.aclose()
    database = Database.open(tmp_path / "atp.db", SystemClock())
    try:
        recent = RequestRepository(database).recent(4)
        assert [view.id for view in recent] == names[:1:-1]
    finally:
        await database.aclose()


async def test_equal_decisions_and_kinds_are_stored_once(database: Database, requests: RequestRepository) -> None:
    for start in (0, 40, 80):
        await add_all(requests, [a_record(name) for name in ids(40, start)])
    counts = await database.read(
        lambda connection: connection.execute(
            "SELECT (SELECT count(*) FROM kinds), (SELECT count(*) FROM decisions), (SELECT count(*) FROM requests)"
        ).fetchone()
    )
    assert counts == (1, 1, 120)


async def test_a_decision_refused_with_its_request_comes_with_the_next(requests: RequestRepository) -> None:
    refused = a_record("req_1", started_at=None)
    results = await asyncio.gather(requests.add_durably(refused), return_exceptions=True)
    assert results[0] is not None
    await requests.add_durably(a_record("req_2"))
    got = await requests.get("req_2")
    assert got is not None
    assert got.decision == records.DECISION


async def test_people_can_read_requests_and_ledger_as_plain_tables(
    database: Database, requests: RequestRepository
) -> None:
    await requests.add_durably(msgspec.structs.replace(a_record("req_1"), attempts=(records.an_attempt(2),)))
    row = await database.read(
        lambda connection: connection.execute(
            "SELECT r.model, r.key_id, a.attempt, a.cost_nusd "
            "FROM request_rows r JOIN attempt_rows a ON a.request_id = r.id"
        ).fetchone()
    )
    assert row == ("gpt-mini", "key_1", 2, 1000)
