"""What console tests share: rows with sensible values, and a source that replays a script."""

from __future__ import annotations

import msgspec

from atp_engine.core.types import PriceState, RequestState
from atp_engine.core.views import RequestView

_REQUEST = RequestView(
    id="req_01jq8v3k2m0001",
    started_at=1_760_000_000.0,
    state=RequestState.OK,
    session_id="cc-7f3a",
    client="claude-code",
    key_name="laptop",
    dialect="anthropic",
    is_stream=True,
    asked="auto",
    route="auto",
    served="sonnet",
    model="claude-sonnet-4-5",
    provider="anthropic",
    tries=1,
    http_status=200,
    error_code="",
    error_message="",
    ttft_ms=412.0,
    duration_ms=4_870.0,
    tokens_per_s=71.2,
    prompt_tokens=41_204,
    cache_read_tokens=38_900,
    output_tokens=318,
    reasoning_tokens=0,
    is_usage_estimated=False,
    cost_nusd=12_000_000,
    price_state=PriceState.KNOWN,
    finish_reason="stop",
    has_body=True,
)


def request_view(**changes: object) -> RequestView:
    """A finished row with the given fields changed."""
    return msgspec.structs.replace(_REQUEST, **changes)
