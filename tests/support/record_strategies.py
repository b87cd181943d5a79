"""Arbitrary request records for properties."""

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
