"""The checks that reading a request has in common over dialects; called by the `*_facts` modules.

A client's mistake always becomes InvalidRequest with a path such as `messages[3].role`, never an
exception of the decoder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.text import safe_text
from atp_engine.dialects import json_text

T = TypeVar("T")

ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_SEED_HALF = 2047
_HINT_LIMIT = 128
_AT = re.compile(r"^(.*?)(?: - at `(.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(\w+)`$")
_BOM = b"\xef\xbb\xbf"
NULL = msgspec.Raw(b"null")
_STRING = msgspec.json.Decoder(str)
SCENES = ("<session_context>", "This is the Qwen Code. We are setting up the context")
"""How Gemini CLI 0.61 and Qwen Code 0.15 to 0.24 begin."""
_RAW_SCENES = tuple(f'"{scene}'.encode() for scene in SCENES)


class Part(msgspec.Struct, gc=False):
    """A content part or block as far as facts need it."""

    type: str = ""
    text: msgspec.Raw = NULL


Content = str | Sequence[Part] | None


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A request body as its typed value; raises InvalidRequest naming the field that is wrong."""
    try:
        return decoder.decode(body) if body.isascii() else json_text.decode(decoder, body)
    except (ValueError, RecursionError):
        return _decode_odd(decoder, body)


def _decode_odd(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The second, careful reading of a body: repaired, or refused with words."""
    try:
        return json_text.decode(decoder, body)
    except msgspec.ValidationError as error:
        raise _located(str(error)) from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.") from None
    except ValueError as error:
        if body.startswith(_BOM):
            raise InvalidRequest("The body starts with a byte order mark; send plain UTF-8 JSON.") from None
        raise InvalidRequest(f"The body is not valid JSON: {safe_text(str(error), limit=120)}.") from None


def _located(complaint: str) -> InvalidRequest:
    """The decoder's complaint in our words, with the field's path as `param`."""
    found = _AT.match(complaint)
    text, path = (found[1], found[2] or "") if found else (complaint, "")
    path = path.removeprefix("$").removeprefix(".")
    missing = _MISSING.match(text)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return InvalidRequest(f"`{path}` is required.", param=path)
    if not path:
        return InvalidRequest("The body must be a JSON object.")
    path = safe_text(path, limit=80)
    return InvalidRequest(f"`{path}`: {safe_text(text, limit=160).replace('`', '')}.", param=path)


def text_start(content: Content, limit: int) -> bytes:
    """The text of a content, as UTF-8; of more than `limit` bytes its first and last halves.

    Both ends count because agents begin their first message with the same long preamble, and a text
    reads the same as a string and as a list of parts, with or without cache markers.
    """
    if content is None:
        return b""
    if not isinstance(content, str):
        content = "\n".join([_text(part.text) for part in content if part.type == "text"])
    half = limit // 2
    if len(content) > limit:
        content = content[:half] + content[-half:]
    encoded = content.encode("utf-8", "replace")
    return encoded if len(encoded) <= limit else encoded[:half] + encoded[-half:]


def _text(raw: msgspec.Raw) -> str:
    try:
        return json_text.decode(_STRING, bytes(raw))
    except ValueError:
        return ""


def prefix_seed(system: Content, first_user: Content) -> bytes:
    """The fingerprint's material, at most 4 KiB: half of it from the system prompt, half from the
    first user message."""
    start = text_start(system, _SEED_HALF) if system is not None else b""
    return start + b"\0" + text_start(first_user, _SEED_HALF)


def without_scene(content: str | list[Part] | None) -> str | list[Part] | None:
    """A first message without the text in which a coding agent describes where it runs; None when nothing
    is left. That text is alike in every conversation of a directory and changes as files come and go."""
    if isinstance(content, str):
        return None if content.startswith(SCENES) else content
    if content and bytes(memoryview(content[0].text)[:80]).startswith(_RAW_SCENES):
        return content[1:] or None
    return content


def session_name(text: str) -> str:
    """A session id from outside made safe to store and show: as it is when it is at most 128
    printable ASCII characters, else a digest of it; empty when blank."""
    text = text.strip()
    if len(text) <= _HINT_LIMIT and text.isascii() and text.isprintable():
        return text
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def string_in(fields: dict[str, msgspec.Raw] | None, key: str) -> str:
    """A string inside an object of the body, empty when it is not there or not a string."""
    if not fields or key not in fields:
        return ""
    return _text(fields[key])
