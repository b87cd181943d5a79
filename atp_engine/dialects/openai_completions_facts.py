"""The light read of a legacy completion request: what routing, limits and sessions need of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from atp_engine.core.types import RequestFacts
from atp_engine.dialects.estimate import BYTES_PER_TOKEN, estimate_tokens
from atp_engine.dialects.reading import Count, ModelName, decode_body, prefix_seed

_Some = msgspec.Meta(min_length=1, max_length=2_048)


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Body(msgspec.Struct, gc=False):
    model: ModelName
    prompt: str | Annotated[list[msgspec.Raw], _Some]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None


_BODY = msgspec.json.Decoder(_Body)


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a completion request; raises InvalidRequest whose `param` names the field."""
    request = decode_body(_BODY, body)
    return RequestFacts(
        model=request.model,
        is_stream=request.stream is True,
        has_tools=False,
        has_images=False,
        wants_json=False,
        wants_usage=request.stream_options is not None and request.stream_options.include_usage is True,
        wants_reasoning=False,
        max_output_tokens=request.max_tokens or 0,
        prompt_bytes=len(body),
        prompt_tokens_estimate=estimate_tokens(len(body), bytes_per_token),
        message_count=1,
        session_hint="",
        prefix_seed=prefix_seed(None, request.prompt if isinstance(request.prompt, str) else None),
    )
