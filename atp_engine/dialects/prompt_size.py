"""How big a prompt is once pictures and files are counted apart from text.

Called by the `*_facts` readers. Pictures count flat and files by a fraction of their base64, so that
one screenshot does not make a prompt look too long for every model.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from atp_engine.dialects import json_text
from atp_engine.dialects.estimate import IMAGE_TOKENS, estimate_tokens

IMAGE_TYPES = frozenset({"image_url", "image", "input_image"})
_FILE_TYPES = frozenset({"input_audio", "file", "document", "input_file", "video_url"})
MEDIA_TYPES = IMAGE_TYPES | _FILE_TYPES
_FILE_BYTES_PER_TOKEN = 32.0
_ARRAY, _OBJECT = ord("["), ord("{")
_DEEPEST = 2
"""Parts of a message, and parts of a tool result within it."""


class _Holder(msgspec.Struct, gc=False):
    type: msgspec.Raw = msgspec.Raw(b"null")
    content: msgspec.Raw = msgspec.Raw(b"null")
    output: msgspec.Raw = msgspec.Raw(b"null")


class _Conversation(msgspec.Struct, gc=False):
    messages: list[_Holder] = []
    input: msgspec.Raw = msgspec.Raw(b"null")


_CONVERSATION = msgspec.json.Decoder(_Conversation)
_HOLDER = msgspec.json.Decoder(_Holder)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


def prompt_size(body: bytes, has_media: bool, bytes_per_token: float) -> tuple[int, int]:
    """Bytes that are read as text, and the estimate of all prompt tokens.

    `body` must have passed the dialect's reader already.
    """
    if not has_media:
        size = len(body)
        return size, -int(-size // bytes_per_token)  # `estimate_tokens`, without the call
    images = file_bytes = media_bytes = 0
    conversation = json_text.decode(_CONVERSATION, body)
    found = [_media(message.content, 1) for message in conversation.messages]
    for kind, size in chain(*found, _media(conversation.input, 0)):
        media_bytes += size
        if kind in IMAGE_TYPES:
            images += 1
        else:
            file_bytes += size
    text_bytes = max(len(body) - media_bytes, 0)
    tokens = estimate_tokens(text_bytes, bytes_per_token) + images * IMAGE_TOKENS
    return text_bytes, tokens + estimate_tokens(file_bytes, _FILE_BYTES_PER_TOKEN)


def _media(content: msgspec.Raw, depth: int) -> Iterator[tuple[str, int]]:
    if memoryview(content)[0] != _ARRAY or depth > _DEEPEST:
        return
    for raw in _RAWS.decode(content):
        if memoryview(raw)[0] != _OBJECT:
            continue
        part = _HOLDER.decode(raw)
        kind = bytes(part.type).strip(b'"').decode("utf-8", "replace")
        if kind in MEDIA_TYPES:
            yield kind, len(memoryview(raw))
        else:
            yield from _media(part.content, depth + 1)
            yield from _media(part.output, depth + 1)
