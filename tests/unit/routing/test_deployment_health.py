from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.config.models import HealthConfig
from atp_engine.core.types import AttemptOutcome
from atp_engine.routing.health import FAILURES_TO_OPEN, MAX_COOLDOWN_S, MAX_DEPLOYMENTS, HealthBook, Lease
from tests.support.routing_facts import Dice

FAILURES = [
    AttemptOutcome.TIMEOUT,
    AttemptOutcome.UNREACHABLE,
    AttemptOutcome.OVERLOADED,
    AttemptOutcome.BAD_REPLY,
    AttemptOutcome.TRUNCATED,
]
HARMLESS = [AttemptOutcome.REJECTED, AttemptOutcome.CONTEXT_TOO_LONG, AttemptOutcome.CONTENT_BLOCKED]


@pytest.fixture
def book() -> HealthBook:
    return HealthBook(Dice(0.0))


def taken(book: HealthBook, now: float, key: str = "a") -> Lease:
    lease = book.acquire(key, now)
    assert lease is not None
    return lease


def call(
    book: HealthBook, outcome: AttemptOutcome, now: float, key: str = "a", retry_after_s: float | None = None
) -> None:
    book.record(taken(book, now, key), outcome, 100.0, 500.0, now, retry_after_s)


def open_circuit(book: HealthBook, now: float = 0.0, key: str = "a") -> None:
    for _ in range(FAILURES_TO_OPEN):
        call(book, AttemptOutcome.OVERLOADED, now, key)


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_circuit_opens_after_four_failures_in_a_row(book: HealthBook, outcome: AttemptOutcome) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        call(book, outcome, 0.0)
    assert book.is_callable("a", 0.0)
    call(book, outcome, 0.0)
    assert not book.is_callable("a", 0.0)
    assert book.of("a").circuit(0.0) == "open"
    assert book.of("a").block(1.2) == "circuit open, 4 s left"
    assert book.acquire("a", 0.0) is None


@pytest.mark.parametrize("outcome", [*HARMLESS, AttemptOutcome.OK])
def test_an_answer_of_any_kind_ends_a_row_of_failures(book: HealthBook, outcome: AttemptOutcome) -> None:
    for _ in range(10):
        for _ in range(FAILURES_TO_OPEN - 1):
            call(book, AttemptOutcome.TIMEOUT, 0.0)
        for _ in range(5):
            call(book, outcome, 0.0)
    assert book.is_callable("a", 0.0)


def test_a_circuit_opens_when_half_of_twenty_calls_failed_though_never_in_a_row(book: HealthBook) -> None:
    made = 0
    while book.is_callable("a", 0.0):
        call(book, AttemptOutcome.TRUNCATED if made % 2 == 0 else AttemptOutcome.OK, 0.0)
        made += 1
        assert made < 100
    assert made == 21
    assert book.of("a").grade(0.0) == "failing"


def test_a_refused_credential_opens_at_once(book: HealthBook) -> None:
    call(book, AttemptOutcome.AUTH_FAILED, 0.0)
    assert book.of("a").circuit(0.0) == "open"


def test_after_the_cooldown_exactly_one_probe_may_pass(book: HealthBook) -> None:
    open_circuit(book)
    assert book.of("a").circuit(5.0) == "half_open"
    probe = taken(book, 5.0)
    assert book.acquire("a", 5.0) is None
    assert book.of("a").block(5.0) == "circuit half-open, a probe is under way"
    book.record(probe, AttemptOutcome.OK, 10.0, 20.0, 5.1)
    assert book.of("a").circuit(5.1) == "closed"
    assert book.is_callable("a", 5.1)


def test_a_cancelled_probe_lets_the_next_call_probe(book: HealthBook) -> None:
    open_circuit(book)
    book.record(taken(book, 5.0), AttemptOutcome.CANCELLED, None, 1.0, 5.0)
    assert book.of("a").circuit(5.0) == "half_open"
    assert book.acquire("a", 5.0) is not None


def test_an_old_call_neither_takes_nor_ends_a_probe_and_does_not_close_the_circuit(book: HealthBook) -> None:
    old, older = taken(book, 0.0), taken(book, 0.0)
    open_circuit(book)
    book.record(old, AttemptOutcome.OK, 1.0, 1.0, 1.0)
    assert book.of("a").circuit(1.0) == "open"
    taken(book, 5.0)
    book.record(older, AttemptOutcome.CANCELLED, None, 1.0, 5.0)
    assert book.acquire("a", 5.0) is None


def test_failed_probes_double_the_cooldown_up_to_fifteen_seconds(book: HealthBook) -> None:
    open_circuit(book)
    now = 0.0
    waits = []
    for _ in range(6):
        waits.append(book.of("a").retry_in_s(now))
        now += waits[-1]
        call(book, AttemptOutcome.TIMEOUT, now)
    assert waits == [5.0, 10.0, 15.0, 15.0, 15.0, 15.0]


def test_cooldowns_are_those_of_the_config(book: HealthBook) -> None:
    book.apply(HealthConfig(cooldown_s=0.5, max_cooldown_s=0.75))
    open_circuit(book)
    assert book.of("a").retry_in_s(0.0) == 0.5
    call(book, AttemptOutcome.TIMEOUT, 0.5)
    assert book.of("a").retry_in_s(0.5) == 0.75


def test_jitter_shortens_a_cooldown_and_lengthens_a_vendors_wish() -> None:
    plain, wished = HealthBook(Dice(0.5)), HealthBook(Dice(0.5))
    open_circuit(plain)
    assert plain.of("a").retry_in_s(0.0) == pytest.approx(4.5)
    call(wished, AttemptOutcome.RATE_LIMITED, 0.0, retry_after_s=20.0)
    assert wished.of("a").retry_in_s(0.0) == pytest.approx(21.0)


def test_a_rate_limit_is_a_cooldown_and_not_a_failure(book: HealthBook) -> None:
    call(book, AttemptOutcome.RATE_LIMITED, 0.0, retry_after_s=14.0)
    health = book.of("a")
    assert health.circuit(0.0) == "closed"
    assert health.block(0.0) == "rate limited, 14 s left"
    assert health.failures_in_a_row == 0
    assert health.outcomes.count(0.0) == 0
    assert book.is_callable("a", 14.0)


@pytest.mark.parametrize("wish", [1e9, inf, float("nan"), -3.0, 0.0])
def test_absurd_wishes_stay_within_a_minute(book: HealthBook, wish: float) -> None:
    call(book, AttemptOutcome.RATE_LIMITED, 0.0, retry_after_s=wish)
    assert 0 < book.of("a").retry_in_s(0.0) <= MAX_COOLDOWN_S


def test_a_burst_of_rate_limits_counts_once(book: HealthBook) -> None:
    leases = [taken(book, 0.0) for _ in range(50)]
    for lease in leases:
        book.record(lease, AttemptOutcome.RATE_LIMITED, None, 5.0, 0.0)
    assert book.of("a").retry_in_s(0.0) == 1.0
    call(book, AttemptOutcome.RATE_LIMITED, 1.0)
    assert book.of("a").retry_in_s(1.0) == 2.0


def test_a_last_resort_passes_an_open_circuit_and_its_success_closes_it(book: HealthBook) -> None:
    open_circuit(book)
    lease = book.acquire("a", 1.0, is_last_resort=True)
    assert lease is not None
    assert book.acquire("a", 1.0, is_last_resort=True) is not None
    book.record(lease, AttemptOutcome.OK, 1.0, 1.0, 1.0)
    assert book.of("a").circuit(1.0) == "closed"


def test_a_drain_and_an_operator_refuse_even_a_last_resort(book: HealthBook) -> None:
    book.drain("drained")
    book.open("held")
    book.switch("off", "off")
    for key, reason in [
        ("drained", "draining"),
        ("held", "circuit held open by an operator"),
        ("off", "disabled by an operator"),
    ]:
        assert book.of(key).block(0.0) == reason
        assert book.acquire(key, 0.0, is_last_resort=True) is None


def test_a_rest_after_a_rate_limit_is_respected_even_by_a_last_resort(book: HealthBook) -> None:
    book.record(taken(book, 0.0), AttemptOutcome.RATE_LIMITED, None, 1.0, 0.0, 10.0)
    assert book.acquire("a", 1.0, is_last_resort=True) is None
    assert book.refusal(book.of("a"), 1.0, is_last_resort=True) == "rate limited, 9 s left"
    assert book.acquire("a", 10.0) is not None


def test_slots_are_given_until_the_limit_and_while_nobody_waits(book: HealthBook) -> None:
    book.of("a").limit = 2
    first, second = taken(book, 0.0), taken(book, 0.0)
    assert book.acquire("a", 0.0) is None
    assert book.of("a").block(0.0) == ""
    book.of("a").waiting = 1
    book.record(first, AttemptOutcome.OK, 1.0, 1.0, 0.0)
    assert book.acquire("a", 0.0) is None
    assert book.acquire("a", 0.0, is_granted=True) is not None
    book.record(second, AttemptOutcome.OK, 1.0, 1.0, 0.0)


def test_closing_by_hand_resets_everything(book: HealthBook) -> None:
    open_circuit(book)
    book.drain("a")
    book.open("a")
    assert book.of("a").retry_in_s(0.0) == inf
    book.close("a")
    assert book.is_callable("a", 0.0)
    assert book.of("a").grade(0.0) == "healthy"


def test_every_change_of_what_may_be_called_raises_the_version(book: HealthBook) -> None:
    versions = [book.version_at(0.0)]

    def seen(now: float) -> None:
        versions.append(book.version_at(now))
        assert versions[-1] > versions[-2]

    book.switch("a", "off")
    seen(0.0)
    book.switch("a", "")
    seen(0.0)
    open_circuit(book)
    seen(0.0)
    assert book.version_at(4.9) == versions[-1]
    seen(5.0)
    probe = taken(book, 5.0)
    seen(5.0)
    book.record(probe, AttemptOutcome.OK, 1.0, 1.0, 5.0)
    seen(5.0)
    for change in (book.drain, book.open, book.close):
        change("a")
        seen(5.0)


def test_a_steady_deployment_keeps_the_version(book: HealthBook) -> None:
    call(book, AttemptOutcome.OK, 0.0)
    before = book.version_at(0.0)
    for second in range(100):
        call(book, AttemptOutcome.OK, float(second))
    assert book.version_at(100.0) == before


def test_figures_follow_the_recent_past(book: HealthBook) -> None:
    for number in range(100):
        lease = taken(book, 1.0)
        book.record(lease, AttemptOutcome.OK, 100.0, 1000.0 if number < 90 else 5000.0, 1.0, tokens_per_s=50.0)
    health = book.of("a")
    assert health.latency.percentile(0.5, 1.0) == pytest.approx(1000, rel=0.05)
    assert health.latency.percentile(0.95, 1.0) == pytest.approx(5000, rel=0.05)
    assert health.ttft.percentile(0.95, 1.0) == pytest.approx(100, rel=0.05)
    assert health.pace == 50.0
    assert health.grade(1.0) == "healthy"
    assert health.latency.percentile(0.5, 1000.0) is None
    assert health.outcomes.share(1000.0) is None
    assert health.grade(1000.0) == "healthy"
    assert book.of("new").grade(0.0) == "unknown"


def test_state_survives_a_reload_for_the_deployments_that_stay(book: HealthBook) -> None:
    open_circuit(book, key="stays")
    open_circuit(book, key="goes")
    taken(book, 0.0, "busy")
    assert book.carry_over({"stays"}) == ("goes",)
    assert book.of("stays").circuit(0.0) == "open"
    assert book.get("busy") is not None


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
def test_names_of_deployments_do_not_grow_the_book(book: HealthBook, times: int) -> None:
    open_circuit(book, key="trouble")
    lease = taken(book, 0.0, "busy")
    for number in range(times * MAX_DEPLOYMENTS):
        book.of(f"made/{number}")
    assert len(book) == MAX_DEPLOYMENTS
    assert book.forgotten > 0
    assert book.of("trouble").circuit(0.0) == "open"
    book.record(lease, AttemptOutcome.OK, 1.0, 1.0, 0.0)
    assert book.of("busy").in_flight == 0


@given(
    st.lists(st.tuples(st.sampled_from(list(AttemptOutcome)), st.floats(0, 30), st.booleans()), min_size=1, max_size=80)
)
def test_whatever_happens_calls_are_counted_exactly_and_a_closed_time_comes(
    steps: list[tuple[AttemptOutcome, float, bool]],
) -> None:
    book = HealthBook(Dice(0.3))
    now = 0.0
    open_leases: list[Lease] = []
    for outcome, pause, is_kept in steps:
        now += pause
        lease = book.acquire("a", now)
        if lease is None:
            assert book.of("a").block(now)
        elif is_kept:
            open_leases.append(lease)
        else:
            book.record(lease, outcome, 1.0, 1.0, now)
            book.record(lease, outcome, 1.0, 1.0, now)
        assert book.of("a").in_flight == len(open_leases)
        assert book.of("a").retry_in_s(now) <= MAX_COOLDOWN_S
    for lease in open_leases:
        book.record(lease, AttemptOutcome.CANCELLED, None, 1.0, now)
    assert book.of("a").in_flight == 0
    assert book.is_callable("a", now + MAX_COOLDOWN_S)
