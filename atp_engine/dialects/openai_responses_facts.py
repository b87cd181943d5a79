"""The light read of an OpenAI Responses request: what routing, limits and sessions need of it.

Called through `facts.read_facts` for every request. Item types that are not known are left to the
codec: a pass-through carries them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.types import RequestFacts
from atp_engine.dialects.estimate import BYTES_PER_TOKEN
from atp_engine.dialects.openai_responses_answers import BUILT_UPON, ECHOED
from atp_engine.dialects.prompt_size import IMAGE_TYPES, MEDIA_TYPES, prompt_size
from atp_engine.dialects.reading import (
    NULL,
    Content,
    Count,
    ModelName,
    Part,
    decode_body,
    prefix_seed,
    session_name,
    string_in,
)
from atp_engine.dialects.seals import is_marked

_SYSTEM_ROLES = frozenset({"system", "developer"})


class _Item(msgspec.Struct, gc=False):
    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Part] | None = None
    output: str | list[Part] | dict[str, msgspec.Raw] | None = None
    encrypted_content: str | None = None


class _Format(msgspec.Struct, gc=False):
    type: str = ""


class _Text(msgspec.Struct, gc=False):
    format: _Format | None = None


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


class _Body(msgspec.Struct, gc=False):
    model: ModelName
    input: str | Annotated[list[_Item], msgspec.Meta(min_length=1)]
    instructions: str | list[_Item] | None = None
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    max_output_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    prompt_cache_key: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    parallel_tool_calls: bool | None = None


_BODY = msgspec.json.Decoder(_Body)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a Responses request; raises InvalidRequest whose `param` names the field.

    A session is `metadata.session_id` or `prompt_cache_key`, which Codex sets to its thread.
    """
    request = decode_body(_BODY, body)
    items = request.input if isinstance(request.input, list) else []
    kinds: set[str] = set()
    is_foreign = False
    for place, item in enumerate(items):
        if item.type == "message" and item.role is None:
            path = f"input[{place}].role"
            raise InvalidRequest(f"`{path}` is required.", param=path)
        for content in (item.content, item.output):
            if type(content) is list:
                kinds.update([part.type for part in content])
        is_foreign = is_foreign or (item.encrypted_content is not None and is_marked(item.encrypted_content))
    text_bytes, tokens = prompt_size(body, not kinds.isdisjoint(MEDIA_TYPES), bytes_per_token)
    hint = request.prompt_cache_key or ""
    if request.metadata is not None:
        hint = string_in(request.metadata, "session_id") or hint
    form = request.text.format if request.text is not None else None
    effort = request.reasoning.effort if request.reasoning is not None else None
    return RequestFacts(
        model=request.model,
        is_stream=request.stream is True,
        has_tools=bool(request.tools),
        has_images=not kinds.isdisjoint(IMAGE_TYPES),
        wants_json=form is not None and form.type.startswith("json"),
        wants_usage=True,
        wants_reasoning=effort is not None and effort != "none",
        max_output_tokens=request.max_output_tokens or 0,
        prompt_bytes=text_bytes,
        prompt_tokens_estimate=tokens,
        message_count=len(items) or 1,
        session_hint=session_name(hint) if hint else "",
        prefix_seed=prefix_seed(*_opening(request)),
        has_unsigned_thinking=is_foreign,
        echo=_echo(body),
    )


def _echo(body: bytes) -> dict[str, msgspec.Raw]:
    fields = decode_body(_FIELDS, body)
    if BUILT_UPON in fields:
        fields["previous_response_id"] = fields[BUILT_UPON]
    return {name: raw.copy() for name, raw in fields.items() if name in ECHOED and raw != NULL}


def _opening(request: _Body) -> tuple[Content, Content]:
    """The instructions, else the first system message, and the first user message."""
    system: Content = request.instructions if isinstance(request.instructions, str) else None
    if isinstance(request.input, str):
        return system, request.input
    for item in request.input:
        if item.role == "user":
            return system, item.content
        if system is None and item.role in _SYSTEM_ROLES:
            system = item.content
    return system, None
