"""How long an upstream may take to its first content: rescued where another is left, patient where none is."""

from __future__ import annotations

import msgspec
import pytest

from atp_engine.core.types import RequestFacts
from atp_engine.routing.table import Timeouts
from atp_engine.services.first_content import first_content_limit_s
from tests.support.routing_facts import facts

GENERAL = Timeouts(connect_s=5.0, ttft_s=15.0, idle_s=20.0, total_s=600.0, is_ttft_set=False)


def limit(
    timeouts: Timeouts = GENERAL,
    *,
    is_stream: bool = True,
    wants_reasoning: bool = False,
    has_other: bool = True,
    p95_s: float = 0.0,
) -> float:
    asked: RequestFacts = msgspec.structs.replace(facts(), is_stream=is_stream, wants_reasoning=wants_reasoning)
    return first_content_limit_s(timeouts, asked, has_other, p95_s)


def test_a_stream_is_rescued_while_another_deployment_is_left() -> None:
    assert limit() == 15.0
    assert limit(has_other=False) == 0.0


def test_a_whole_answer_has_no_limit_to_its_first_byte_unless_somebody_set_one() -> None:
    assert limit(is_stream=False) == 0.0
    assert limit(msgspec.structs.replace(GENERAL, is_ttft_set=True), is_stream=False) == 15.0


@pytest.mark.parametrize(("p95_s", "expected"), [(1.0, 15.0), (5.0, 15.0), (8.0, 24.0)])
def test_a_slow_deployment_gets_three_times_its_own_usual_time(p95_s: float, expected: float) -> None:
    assert limit(p95_s=p95_s) == expected


def test_a_request_that_reasons_gets_two_minutes() -> None:
    assert limit(wants_reasoning=True) == 120.0
    assert limit(wants_reasoning=True, p95_s=50.0) == 150.0


def test_a_limit_that_somebody_set_binds_as_it_stands() -> None:
    own = msgspec.structs.replace(GENERAL, is_ttft_set=True, ttft_s=3.0)
    assert limit(own, wants_reasoning=True, has_other=False, p95_s=9.0) == 3.0


def test_zero_turns_it_off() -> None:
    assert limit(msgspec.structs.replace(GENERAL, ttft_s=0.0)) == 0.0
