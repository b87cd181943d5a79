"""Request records for storage tests, made by hand; arbitrary ones are in `record_strategies`."""

from __future__ import annotations

from typing import Any

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
