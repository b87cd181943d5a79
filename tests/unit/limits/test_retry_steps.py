"""What follows a failed attempt: by the error's class, never by a raw status."""

from __future__ import annotations

import pytest

from atp_engine.core.errors import (
    BadUpstreamReply,
    ContentBlocked,
    ContextTooLong,
    StreamBroken,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from atp_engine.limits.retry import MAX_WAIT_S, NextStep, RetryBudgets, Step, backoff_s, next_step


def step(error: UpstreamError, *, tries: int = 1, has_other: bool = True, may_retry: bool = True) -> NextStep:
    return next_step(error, tries_here=tries, has_other=has_other, may_retry=may_retry, chance=0.5)


@pytest.mark.parametrize("error", [UpstreamRejected("no"), ContentBlocked("no")])
def test_a_refusal_of_the_request_stands(error: UpstreamError) -> None:
    assert step(error).step is Step.STOP


def test_a_silent_deployment_is_never_asked_twice() -> None:
    error = UpstreamTimeout("late", limit="ttft")
    assert step(error).step is Step.NEXT
    assert step(error, has_other=False).step is Step.STOP


def test_what_the_transport_sent_twice_is_not_asked_again() -> None:
    error = UpstreamUnreachable("reset")
    assert step(error).step is Step.HERE
    error.was_resent = True
    assert step(error).step is Step.NEXT
    assert step(error, has_other=False).step is Step.STOP


def test_a_prompt_that_does_not_fit_goes_to_a_larger_context_at_once() -> None:
    assert step(ContextTooLong("too long")).step is Step.LARGER


def test_our_own_credential_problem_moves_on() -> None:
    assert step(UpstreamAuthFailed("refused")).step is Step.NEXT


@pytest.mark.parametrize("error", [UpstreamOverloaded("500"), UpstreamUnreachable("reset")])
def test_a_failing_server_is_tried_once_more_and_then_left(error: UpstreamError) -> None:
    first = step(error)
    assert first.step is Step.HERE
    assert first.wait_s <= 0.25
    assert step(error, tries=2).step is Step.NEXT
    assert step(error, tries=2, has_other=False).step is Step.STOP


def test_an_outage_is_not_multiplied_when_the_budget_is_used_up() -> None:
    assert step(UpstreamOverloaded("500"), may_retry=False).step is Step.NEXT


def test_a_rate_limit_fails_over_and_is_waited_for_only_where_there_is_nothing_else() -> None:
    error = UpstreamRateLimited("429", retry_after_s=2.0)
    assert step(error).step is Step.NEXT
    assert step(error, has_other=False) == NextStep(Step.HERE, 2.0)
    late = UpstreamRateLimited("429", retry_after_s=MAX_WAIT_S + 1)
    assert step(late, has_other=False).step is Step.STOP


def test_an_overloaded_server_that_asks_for_patience_is_left_for_another() -> None:
    error = UpstreamOverloaded("503", retry_after_s=5.0)
    assert step(error).step is Step.NEXT
    assert step(error, has_other=False) == NextStep(Step.HERE, 5.0)


@pytest.mark.parametrize("error", [BadUpstreamReply("html"), StreamBroken("cut")])
def test_a_broken_answer_fails_over_or_is_tried_once_more(error: UpstreamError) -> None:
    assert step(error).step is Step.NEXT
    assert step(error, has_other=False).step is Step.HERE
    assert step(error, tries=2, has_other=False).step is Step.STOP


def test_back_off_doubles_under_full_jitter_and_is_capped() -> None:
    assert [backoff_s(n, 1.0) for n in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
    assert backoff_s(3, 0.0) == 0.0
    assert backoff_s(10_000, 1.0) == 4.0


def test_retries_stay_within_a_fifth_of_recent_calls_above_a_floor() -> None:
    budgets = RetryBudgets()
    for _ in range(3):
        assert budgets.has_room("a")
        budgets.called("a")
        budgets.retried("a")
    assert not budgets.has_room("a")
    for _ in range(40):
        budgets.called("a")
    assert budgets.has_room("a")
    assert budgets.has_room("never-seen")


def test_budgets_of_endless_names_stay_bounded() -> None:
    budgets = RetryBudgets()
    for number in range(5_000):
        budgets.called(f"d{number}")
    assert len(budgets._counts) <= 1024
