"""The Ollama codec: its parts under one name, for `codecs`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.dialects.ollama_answers import FINISH, decode_reply, encode_reply, stream_decoder, stream_encoder
from atp_engine.dialects.ollama_decode import decode_request
from atp_engine.dialects.ollama_encode import encode_request

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "json_format": "format",
        "thinking": "think",
        "reasoning": "messages[].thinking",
        "arguments": "messages[].tool_calls[].function.arguments",
        "stop": "options.stop",
        "seed": "options.seed",
        "temperature": "options.temperature",
        "top_p": "options.top_p",
        "top_k": "options.top_k",
        "frequency_penalty": "options.frequency_penalty",
        "presence_penalty": "options.presence_penalty",
    }
)
UNTOLD: tuple[str, ...] = ("citations",)

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
