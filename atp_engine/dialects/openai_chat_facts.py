"""The light read of an OpenAI chat request: what routing, limits and sessions need of it.

Called through `facts.read_facts` for every request; texts are looked at, never kept.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from atp_engine.core.types import RequestFacts
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
    without_scene,
)

_SYSTEM_ROLES = frozenset({"system", "developer"})


class _Message(msgspec.Struct, gc=False):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Format(msgspec.Struct, gc=False):
    type: str = ""


class _Body(msgspec.Struct, gc=False):
    model: ModelName
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    prompt_cache_key: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a chat completion request; raises InvalidRequest whose `param` names the field.

    A session is `metadata.session_id` or `prompt_cache_key`. `user` and `safety_identifier` name a
    person, who has many conversations: they are no session, the fingerprint tells those apart.
    """
    request = decode_body(_BODY, body)
    messages = request.messages
    has_images, has_media = _media(messages)
    system, opening = _opening(messages)
    text_bytes, tokens = prompt_size(body, has_media, bytes_per_token)
    hint = request.prompt_cache_key or ""
    if request.metadata is not None:
        hint = string_in(request.metadata, "session_id") or hint
    return RequestFacts(  # in the order of its fields: naming thirteen of them would double the cost
        request.model,
        request.stream is True,
        bool(request.tools or request.functions),
        has_images,
        request.response_format is not None and request.response_format.type.startswith("json"),
        request.stream_options is not None and request.stream_options.include_usage is True,
        request.reasoning_effort is not None and request.reasoning_effort != "none",
        request.max_completion_tokens or request.max_tokens or 0,
        text_bytes,
        tokens,
        len(messages),
        session_name(hint) if hint else "",
        prefix_seed(system, opening),
    )


def _media(messages: list[_Message]) -> tuple[bool, bool]:
    """Whether there are pictures, and whether there is any media."""
    has_images = has_media = False
    for message in messages:
        if type(message.content) is list:
            for part in message.content:
                if part.type != "text" and part.type in MEDIA_TYPES:
                    has_media = True
                    has_images = has_images or part.type in IMAGE_TYPES
    return has_images, has_media


def _opening(messages: list[_Message]) -> tuple[str | list[Part] | None, str | list[Part] | None]:
    """The first system message and the first user message that says something."""
    system = scene = None
    for message in messages:
        if message.role == "user":
            said = without_scene(message.content)
            if said is not None:
                return system, said
            scene = scene or message.content
        if system is None and message.role in _SYSTEM_ROLES:
            system = message.content
    return system, scene
