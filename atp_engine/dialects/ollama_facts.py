"""The light read of an Ollama chat request: what routing, limits and sessions need of it.

Called through `facts.read_facts` for every request; texts are looked at, never kept. The dialect has no
field for a session.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from atp_engine.core.types import RequestFacts
from atp_engine.dialects.estimate import BYTES_PER_TOKEN, IMAGE_TOKENS, estimate_tokens
from atp_engine.dialects.reading import NULL, ModelName, decode_body, prefix_seed


class _Message(msgspec.Struct, gc=False):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    images: list[msgspec.Raw] | None = None


class _Options(msgspec.Struct, gc=False):
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None


class _Body(msgspec.Struct, gc=False):
    model: ModelName
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    options: _Options | None = None
    format: msgspec.Raw = NULL
    think: bool | str | None = None


_BODY = msgspec.json.Decoder(_Body)


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a chat request, which streams unless told not to; raises InvalidRequest whose `param`
    names the field."""
    request = decode_body(_BODY, body)
    messages, options = request.messages, request.options or _Options()
    sizes = [len(memoryview(image)) for message in messages for image in message.images or ()]
    text_bytes = max(len(body) - sum(sizes), 0)
    most = options.num_predict or 0
    return RequestFacts(
        model=request.model,
        is_stream=request.stream is not False,
        has_tools=bool(request.tools),
        has_images=bool(sizes),
        wants_json=bytes(request.format) not in (b"null", b'""'),
        wants_usage=True,
        wants_reasoning=request.think is not None and request.think is not False,
        max_output_tokens=most if 0 < most < 2**31 else 0,
        prompt_bytes=text_bytes,
        prompt_tokens_estimate=estimate_tokens(text_bytes, bytes_per_token) + len(sizes) * IMAGE_TOKENS,
        message_count=len(messages),
        session_hint="",
        prefix_seed=prefix_seed(_first(messages, "system"), _first(messages, "user")),
    )


def _first(messages: list[_Message], role: str) -> str | None:
    return next((message.content for message in messages if message.role == role), None)
