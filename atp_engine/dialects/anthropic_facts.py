"""The light read of an Anthropic messages request: what routing, limits and sessions need of it.

Called through `facts.read_facts` for every request. Claude Code sends role `system` inside
`messages`, even last, and its session id as JSON text inside `metadata.user_id`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from atp_engine.core.types import RequestFacts
from atp_engine.dialects import json_text
from atp_engine.dialects.estimate import BYTES_PER_TOKEN
from atp_engine.dialects.prompt_size import IMAGE_TYPES, MEDIA_TYPES, prompt_size
from atp_engine.dialects.reading import (
    Count,
    ModelName,
    Part,
    decode_body,
    prefix_seed,
    session_name,
    string_in,
)
from atp_engine.dialects.seals import is_marked

_OLD_USER_ID = re.compile(r"_session_([0-9A-Za-z-]{8,64})$")


class _Block(Part, gc=False):
    signature: str | None = None
    content: str | list[Part] | dict[str, msgspec.Raw] | None = None


class _Message(msgspec.Struct, gc=False):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


class _OutputConfig(msgspec.Struct, gc=False):
    format: _Typed | None = None


class _Body(msgspec.Struct, gc=False):
    model: ModelName
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    max_tokens: Count
    system: str | list[Part] | None = None
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: _Typed | None = None
    output_config: _OutputConfig | None = None
    output_format: _Typed | None = None
    metadata: dict[str, msgspec.Raw] | None = None


class _UserId(msgspec.Struct, gc=False):
    session_id: str | None = None


_BODY = msgspec.json.Decoder(_Body)
_USER_ID = msgspec.json.Decoder(_UserId)


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a messages request; raises InvalidRequest whose `param` names the field.

    `max_tokens` is required, as the vendor has it. A session is `metadata.session_id`, or the session
    inside `metadata.user_id` in Claude Code's two forms; a bare user id is a person, not a session.
    """
    request = decode_body(_BODY, body)
    has_images, has_media, is_unsigned = _scan(request.messages)
    text_bytes, tokens = prompt_size(body, has_media, bytes_per_token)
    form = request.output_format or (request.output_config.format if request.output_config else None)
    return RequestFacts(
        model=request.model,
        is_stream=bool(request.stream),
        has_tools=bool(request.tools),
        has_images=has_images,
        wants_json=form is not None and form.type.startswith("json"),
        wants_usage=True,
        wants_reasoning=request.thinking is not None and request.thinking.type not in ("", "disabled"),
        max_output_tokens=request.max_tokens,
        prompt_bytes=text_bytes,
        prompt_tokens_estimate=tokens,
        message_count=len(request.messages),
        session_hint=_session(request.metadata),
        prefix_seed=prefix_seed(request.system, _opening(request.messages)),
        has_unsigned_thinking=is_unsigned,
    )


def _scan(messages: list[_Message]) -> tuple[bool, bool, bool]:
    """Whether there are pictures, also in tool results, any media, and thinking without its signature."""
    kinds: set[str] = set()
    is_unsigned = False
    for message in messages:
        if type(message.content) is list:
            for block in message.content:
                if block.type == "text":
                    continue
                kinds.add(block.type)
                if type(block.content) is list:
                    for part in block.content:
                        kinds.add(part.type)
                elif block.type == "thinking" and (not block.signature or is_marked(block.signature)):
                    is_unsigned = True
    return not kinds.isdisjoint(IMAGE_TYPES), not kinds.isdisjoint(MEDIA_TYPES), is_unsigned


def _opening(messages: list[_Message]) -> str | list[_Block] | None:
    for message in messages:
        if message.role == "user":
            return message.content
    return None


def _session(metadata: dict[str, msgspec.Raw] | None) -> str:
    if not metadata:
        return ""
    named = string_in(metadata, "session_id")
    if named:
        return session_name(named)
    user_id = string_in(metadata, "user_id")
    if user_id.startswith("{"):
        try:
            return session_name(json_text.decode(_USER_ID, user_id.encode()).session_id or "")
        except ValueError:
            return ""
    older = _OLD_USER_ID.search(user_id)
    return session_name(older[1]) if older else ""
