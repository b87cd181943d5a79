"""The OpenAI chat codec: its parts under one name, for `codecs`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.dialects.openai_chat_answers import FINISH, decode_reply, encode_reply, stream_decoder, stream_encoder
from atp_engine.dialects.openai_chat_decode import decode_request
from atp_engine.dialects.openai_chat_encode import encode_request

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "candidates": "n",
        "json_format": "response_format",
        "thinking": "reasoning_effort",
        "reasoning": "messages[].reasoning_content",
        "arguments": "messages[].tool_calls[].function.arguments",
    }
)
UNTOLD: tuple[str, ...] = ()

__all__ = [
    "FINISH",
    "PATHS",
    "UNTOLD",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "stream_decoder",
    "stream_encoder",
]
