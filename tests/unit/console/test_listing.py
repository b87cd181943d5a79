"""The visible list stays what a fresh look at all rows would give, whatever happens to it."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_console.listing import SORT_ORDER, SORTS, Listing, row_of
from atp_console.state import ConsoleState
from atp_engine.client.follow import LinkLost
from atp_engine.core.events import EngineChanged, RequestChanged, SessionChanged
from atp_engine.core.filter import parse
from atp_engine.core.types import PriceState, RequestState
from tests.support.console import NOW, engine_view, request_view, session_view, snapshot_of

_STATES = list(RequestState)


def _ids(listing: Listing) -> list[str]:
    return [listing.at(index).id for index in range(len(listing))]


@given(
    st.integers(),
    st.sampled_from(["", "state:open", "tries>1 | state:ok", "-state:error", "since:100s"]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_upkeep_row_by_row_equals_a_rebuild(seed: int, query: str, is_errors_only: bool) -> None:
    dice = random.Random(seed)
    state = ConsoleState(request_cap=40)
    listing = state.listing
    listing.set_filter(parse(query), NOW)
    if is_errors_only:
        listing.toggle_errors(NOW)
    for step in range(120):
        number = dice.randrange(60)
        view = request_view(
            id=f"req_{number:03d}",
            started_at=NOW - 200 + number * dice.choice([1, 1, 1, 3]),
            state=dice.choice(_STATES),
            tries=dice.randrange(4),
        )
        state.apply((RequestChanged(step, view),), NOW)
        assert len(listing) == len(set(_ids(listing)))
    kept = _ids(listing)
    assert [listing.index_of(one) for one in kept] == list(range(len(kept)))
    listing.rebuild(NOW)
    assert _ids(listing) == kept
    assert state.request_count <= 40


@pytest.mark.parametrize("sort", SORT_ORDER)
@pytest.mark.parametrize("is_ascending", [False, True])
def test_any_order_is_found_again_by_identity(sort: str, is_ascending: bool) -> None:
    dice = random.Random(7)
    state = ConsoleState()
    for number in range(50):
        view = request_view(
            id=f"req_{number:03d}",
            started_at=NOW + number,
            ttft_ms=dice.choice([None, dice.random() * 900]),
            cost_nusd=dice.randrange(10**7),
            price_state=dice.choice(list(PriceState)),
            output_tokens=dice.randrange(900),
        )
        state.apply((RequestChanged(number, view),), NOW)
    listing = state.listing
    listing.set_sort(sort, NOW, is_ascending=is_ascending)
    ids = _ids(listing)
    assert [listing.index_of(one) for one in ids] == list(range(50))
    assert listing.index_of("req_none") is None
    if sort != "time":
        figures = [SORTS[sort](listing.at(index)) for index in range(50)]
        assert figures == sorted(figures, reverse=not is_ascending)
    state.apply((RequestChanged(99, request_view(id="req_new", started_at=NOW + 99)),), NOW)
    listing.refresh(NOW)
    assert len(listing) == 51


def test_a_frozen_list_keeps_even_the_figures() -> None:
    state = ConsoleState()
    view = request_view(id="req_1", state=RequestState.STREAMING, output_tokens=1)
    state.apply((RequestChanged(1, view),), NOW)
    listing = state.listing
    listing.freeze()
    state.apply((RequestChanged(2, msgspec.structs.replace(view, output_tokens=500)),), NOW)
    state.apply((RequestChanged(3, request_view(id="req_2")),), NOW)
    assert listing.at(0).output_tokens == 1
    assert (len(listing), listing.new_while_frozen, listing.live_count) == (1, 1, 2)
    listing.thaw(NOW)
    assert (len(listing), listing.is_frozen) == (2, False)


def test_what_leaves_by_the_passing_of_time_leaves_on_refresh() -> None:
    state = ConsoleState()
    state.apply((RequestChanged(1, request_view(id="req_1", started_at=NOW)),), NOW)
    state.listing.set_filter(parse("since:10m"), NOW)
    state.listing.refresh(NOW + 599)
    assert len(state.listing) == 1
    state.listing.refresh(NOW + 601)
    assert len(state.listing) == 0


def test_a_filter_switched_off_shows_all_and_is_kept() -> None:
    rows = {row.view.id: row for row in map(row_of, (request_view(id="a", tries=1), request_view(id="b", tries=2)))}
    listing = Listing(rows)
    listing.set_filter(parse("tries>1"), NOW)
    listing.toggle_filter(NOW)
    assert (len(listing), listing.is_narrowed, listing.filter.query) == (2, False, "tries>1")
    listing.toggle_filter(NOW)
    assert _ids(listing) == ["b"]


def test_outside_the_list_is_an_error() -> None:
    listing = Listing({})
    for index in (-1, 0, 5):
        with pytest.raises(IndexError):
            listing.at(index)


def test_a_snapshot_drops_open_requests_that_are_gone_and_keeps_finished_ones() -> None:
    state = ConsoleState()
    state.apply(
        snapshot_of(
            [request_view(id="open", state=RequestState.STREAMING), request_view(id="done", state=RequestState.OK)]
        ),
        NOW,
    )
    state.apply(LinkLost("gone", 0.1), NOW)
    assert state.link is not None
    state.apply(snapshot_of([request_view(id="new")]), NOW)
    assert state.is_connected
    assert {state.listing.at(index).id for index in range(len(state.listing))} == {"done", "new"}


def test_sessions_and_rates_are_bounded() -> None:
    state = ConsoleState()
    for number in range(1_200):
        state.apply((SessionChanged(number, session_view(id=f"s{number}", last_at=NOW + number)),), NOW)
        state.apply((EngineChanged(number, engine_view(requests_per_s=float(number))),), NOW)
    assert len(state.sessions) == 1_000
    assert "s0" not in state.sessions
    assert len(state.rates) == 120


def test_sessions_at_work_come_first() -> None:
    state = ConsoleState()
    for name, in_flight, started, last in (
        ("old-busy", 1, 1, 2),
        ("idle", 0, 3, 9),
        ("idler", 0, 4, 8),
        ("busy", 0, 2, 940),
    ):
        view = session_view(id=name, in_flight=in_flight, started_at=float(started), last_at=float(last))
        state.apply((SessionChanged(1, view),), NOW)
    assert [view.id for view in state.latest_sessions(now=999.0, busy_s=60.0)] == ["busy", "old-busy", "idle", "idler"]
    assert [view.id for view in state.latest_sessions(now=999.0, busy_s=0)] == ["old-busy", "busy", "idle", "idler"]


def test_marks_are_kept_by_identity_and_go_with_their_row() -> None:
    state = ConsoleState(request_cap=5)
    listing = state.listing

    def arrive(number: int) -> None:
        state.apply((RequestChanged(number, request_view(id=f"req_{number}", started_at=NOW + number)),), NOW)

    for number in range(5):
        arrive(number)
    listing.marked.toggle("req_1")
    listing.marked.toggle("req_3")
    listing.marked.is_only = True
    listing.rebuild(NOW)
    assert (_ids(listing), listing.is_narrowed) == (["req_3", "req_1"], True)
    listing.set_sort("ttft", NOW, is_ascending=True)
    assert set(_ids(listing)) == {"req_1", "req_3"}
    listing.set_sort("time", NOW)
    for number in range(5, 8):
        arrive(number)
    assert _ids(listing) == ["req_3"]
    assert listing.marked.ids == ("req_3",)
    arrive(8)
    listing.refresh(NOW)
    assert len(listing) == 5, "the last marked row is no more: all show again"


def test_matches_are_walked_through_in_both_directions_and_round_the_ends() -> None:
    views = [request_view(id=f"req_{number}", started_at=NOW + number, tries=1 + number % 3) for number in range(6)]
    listing = Listing({view.id: row_of(view) for view in views})
    listing.set_filter(parse("tries:2"), NOW)
    listing.toggle_filter(NOW)
    assert _ids(listing) == ["req_5", "req_4", "req_3", "req_2", "req_1", "req_0"]
    assert [listing.next_match(start, 1, NOW) for start in (0, 1, 3, 4)] == [1, 4, 4, 1]
    assert [listing.next_match(start, -1, NOW) for start in (5, 4, 1)] == [4, 1, 4]
    listing.set_filter(parse("tries>9"), NOW)
    listing.toggle_filter(NOW)
    assert listing.next_match(0, 1, NOW) is None
    assert Listing({}).next_match(0, 1, NOW) is None
