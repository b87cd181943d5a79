"""Request records for storage tests: plain ones by hand, arbitrary ones for properties."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from atp_engine.core.types import (
    AttemptOutcome,
    AttemptRecord,
    CandidateVerdict,
    PriceState,
    RequestState,
    RouteDecision,
    TokenUsage,
)
from atp_engine.core.views import RequestView
from atp_engine.storage.requests import RequestRecord

DECISION = RouteDecision(
    id="d1",
    route="main",
    strategy="ordered",
    config_version=3,
    explanation="fast is first in order",
    candidates=(
        CandidateVerdict("fast", "openai", "gpt-mini", 1, 0.75, "first in order"),
        CandidateVerdict("slow", "openai", "gpt-max", 0, None, "context 8k < 12k needed"),
    ),
)


def a_view(id: str, **changes: Any) -> RequestView:
    """A finished, ordinary request; `changes` replace fields."""
    fields: dict[str, Any] = {
        "id": id,
        "started_at": 1_790_000_000.0,
        "state": RequestState.OK,
        "session_id": "s-1",
        "client": "openai-py",
        "key_name": "first",
        "dialect": "openai_chat",
        "is_stream": True,
        "asked": "main",
        "route": "main",
        "served": "fast",
        "model": "gpt-mini",
        "provider": "openai",
        "tries": 1,
        "http_status": 200,
        "error_code": "",
        "error_message": "",
        "ttft_ms": 210.5,
        "duration_ms": 900.0,
        "tokens_per_s": 44.0,
        "prompt_tokens": 100,
        "cache_read_tokens": 10,
        "output_tokens": 30,
        "reasoning_tokens": 5,
        "is_usage_estimated": False,
        "cost_nusd": 1_000,
        "price_state": PriceState.KNOWN,
        "finish_reason": "stop",
        "has_body": True,
    }
    return RequestView(**(fields | changes))


def an_attempt(number: int = 1, **changes: Any) -> AttemptRecord:
    """A successful upstream call; `changes` replace fields."""
    fields: dict[str, Any] = {
        "number": number,
        "deployment": "fast",
        "provider": "openai",
        "model": "gpt-mini",
        "outcome": AttemptOutcome.OK,
        "started_ms": 0.5,
        "duration_ms": 890.0,
        "ttft_ms": 200.0,
        "http_status": 200,
        "message": "",
        "usage": TokenUsage(90, 30, 10),
        "cost_nusd": 1_000,
        "price_state": PriceState.KNOWN,
    }
    return AttemptRecord(**(fields | changes))


def a_record(id: str, **changes: Any) -> RequestRecord:
    """An ordinary record; `changes` replace fields of its view."""
    return RequestRecord(
        view=a_view(id, **changes),
        key_id="key_1",
        config_version=3,
        decision=DECISION,
        attempts=(an_attempt(),),
        dropped_fields=(),
        position=1,
    )


def ids(count: int, start: int = 0) -> list[str]:
    """Identifiers that sort as they were made."""
    return [f"req_{number:012x}" for number in range(start, start + count)]


_texts = st.text(max_size=40)
_counts = st.integers(min_value=0, max_value=2**63 - 1)
_floats = st.floats(allow_nan=False)
_finite = st.floats(allow_nan=False, allow_infinity=False)

_verdicts = st.builds(CandidateVerdict, _texts, _texts, _texts, st.integers(0, 99), st.none() | _finite, _texts)


def decisions() -> st.SearchStrategy[RouteDecision]:
    """Arbitrary decisions; equal ids mean equal content, as the router promises."""
    made = st.builds(
        RouteDecision, st.just(""), _texts, _texts, _counts, _texts, st.lists(_verdicts, max_size=4).map(tuple)
    )
    return made.map(lambda decision: RouteDecision(f"d{hash(decision)}", *_fields(decision)[1:]))


def _fields(decision: RouteDecision) -> tuple[Any, ...]:
    return tuple(getattr(decision, name) for name in RouteDecision.__struct_fields__)


def views() -> st.SearchStrategy[RequestView]:
    """Arbitrary views, without an id."""
    return st.builds(
        RequestView,
        id=st.just(""),
        started_at=_finite,
        state=st.sampled_from(RequestState),
        session_id=_texts,
        client=_texts,
        key_name=_texts,
        dialect=_texts,
        is_stream=st.booleans(),
        asked=_texts,
        route=_texts,
        served=_texts,
        model=_texts,
        provider=_texts,
        tries=_counts,
        http_status=_counts,
        error_code=_texts,
        error_message=_texts,
        ttft_ms=st.none() | _floats,
        duration_ms=st.none() | _floats,
        tokens_per_s=st.none() | _floats,
        prompt_tokens=_counts,
        cache_read_tokens=_counts,
        output_tokens=_counts,
        reasoning_tokens=_counts,
        is_usage_estimated=st.booleans(),
        cost_nusd=_counts,
        price_state=st.sampled_from(PriceState),
        finish_reason=_texts,
        has_body=st.booleans(),
    )


def attempts() -> st.SearchStrategy[AttemptRecord]:
    """Arbitrary attempts, without a number."""
    return st.builds(
        AttemptRecord,
        number=st.just(0),
        deployment=_texts,
        provider=_texts,
        model=_texts,
        outcome=st.sampled_from(AttemptOutcome),
        started_ms=_floats,
        duration_ms=_floats,
        ttft_ms=st.none() | _floats,
        http_status=_counts,
        message=_texts,
        usage=st.builds(TokenUsage, _counts, _counts, _counts, _counts, _counts, st.booleans()),
        cost_nusd=_counts,
        price_state=st.sampled_from(PriceState),
    )
