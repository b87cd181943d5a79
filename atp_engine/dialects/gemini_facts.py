"""The light read of a Gemini request: what routing, limits and sessions need of it.

Called through `facts.read_facts` for every request; texts are looked at, never kept. `model` and
`stream` are members that `api/gemini` took from the path. The dialect has no field for a session.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from atp_engine.core.types import RequestFacts
from atp_engine.dialects.estimate import BYTES_PER_TOKEN, IMAGE_TOKENS, estimate_tokens
from atp_engine.dialects.gemini_seals import BASE64_START
from atp_engine.dialects.reading import NULL, SCENES, Count, ModelName, decode_body, prefix_seed

_FILE_BYTES_PER_TOKEN = 32.0
_FOREIGN = b'"' + BASE64_START.encode()


def _wire_name(name: str) -> str:
    """The vendor's spelling, or, for a name that ends in an underscore, the one of protocol buffers."""
    if name.endswith("_"):
        return name[:-1]
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Blob(msgspec.Struct, gc=False, rename=_wire_name):
    mime_type: str = ""
    mime_type_: str = ""
    data: msgspec.Raw = NULL


class _Part(msgspec.Struct, gc=False, rename=_wire_name):
    text: str | None = None
    inline_data: _Blob | None = None
    inline_data_: _Blob | None = None
    file_data: _Blob | None = None
    file_data_: _Blob | None = None


class _Content(msgspec.Struct, gc=False, rename=_wire_name):
    role: Literal["user", "model", "function", "tool", ""] | None = None
    parts: list[_Part] | _Part | None = None


class _System(msgspec.Struct, gc=False, rename=_wire_name):
    parts: list[_Part] | _Part | None = None


class _Thinking(msgspec.Struct, gc=False, rename=_wire_name):
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _Config(msgspec.Struct, gc=False, rename=_wire_name):
    max_output_tokens: Count | None = None
    max_output_tokens_: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    response_mime_type: str | None = None
    response_mime_type_: str | None = None
    thinking_config: _Thinking | None = None
    thinking_config_: _Thinking | None = None


class _Body(msgspec.Struct, gc=False, rename=_wire_name):
    model: ModelName
    contents: Annotated[list[_Content], msgspec.Meta(min_length=1)] | _Content
    stream: bool | None = None
    system_instruction: _System | None = None
    system_instruction_: _System | None = None
    tools: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    generation_config: _Config | None = None
    generation_config_: _Config | None = None


_BODY = msgspec.json.Decoder(_Body)


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a generateContent request; raises InvalidRequest whose `param` names the field."""
    request = decode_body(_BODY, body)
    contents = request.contents if isinstance(request.contents, list) else [request.contents]
    config = request.generation_config or request.generation_config_ or _Config()
    thinking = config.thinking_config or config.thinking_config_
    images, media_bytes, file_bytes = _media(contents)
    text_bytes = max(len(body) - media_bytes, 0)
    tokens = estimate_tokens(text_bytes, bytes_per_token) + images * IMAGE_TOKENS
    return RequestFacts(
        model=request.model,
        is_stream=request.stream is True,
        has_tools=bool(request.tools),
        has_images=images > 0,
        wants_json=(config.response_mime_type or config.response_mime_type_) == "application/json",
        wants_usage=True,
        wants_reasoning=thinking is not None and thinking.thinking_budget != 0,
        max_output_tokens=config.max_output_tokens or config.max_output_tokens_ or 0,
        prompt_bytes=text_bytes,
        prompt_tokens_estimate=tokens + estimate_tokens(file_bytes, _FILE_BYTES_PER_TOKEN),
        message_count=len(contents),
        session_hint="",
        prefix_seed=prefix_seed(_said(request.system_instruction or request.system_instruction_), _opening(contents)),
        has_unsigned_thinking=_FOREIGN in body,
    )


def _parts(parts: list[_Part] | _Part | None) -> list[_Part]:
    return parts if isinstance(parts, list) else [parts] if parts is not None else []


def _media(contents: list[_Content]) -> tuple[int, int, int]:
    """Pictures, bytes of all media, and bytes of other files among them."""
    images = media_bytes = file_bytes = 0
    for content in contents:
        for part in _parts(content.parts):
            blob = part.inline_data or part.inline_data_ or part.file_data or part.file_data_
            if blob is None:
                continue
            size = len(memoryview(blob.data))
            media_bytes += size
            if (blob.mime_type or blob.mime_type_).startswith("image/"):
                images += 1
            else:
                file_bytes += size
    return images, media_bytes, file_bytes


def _said(content: _System | _Content | None) -> str | None:
    if content is None:
        return None
    return "\n".join([part.text for part in _parts(content.parts) if part.text])


def _opening(contents: list[_Content]) -> str | None:
    scene = None
    for content in contents:
        if content.role == "model":
            continue
        said = [part.text for part in _parts(content.parts) if part.text]
        told = [text for text in said if not text.startswith(SCENES)]
        if told or not said:
            return "\n".join(told)
        scene = scene or "\n".join(said)
    return scene
