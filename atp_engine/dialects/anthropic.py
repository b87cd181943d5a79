"""The Anthropic codec: its parts under one name, for `codecs`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.dialects.anthropic_answers import FINISH, decode_reply, encode_reply, stream_decoder, stream_encoder
from atp_engine.dialects.anthropic_decode import decode_request
from atp_engine.dialects.anthropic_encode import encode_request

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "json_format": "output_config.format",
        "reasoning": "messages[].content[].thinking",
        "arguments": "messages[].content[].input",
        "stop": "stop_sequences",
        "user": "metadata.user_id",
    }
)
UNTOLD: tuple[str, ...] = ("logprobs",)

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
