"""The OpenAI Responses codec: its parts under one name, for `codecs`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.dialects.openai_responses_answers import FINISH, decode_reply, encode_reply
from atp_engine.dialects.openai_responses_decode import decode_request
from atp_engine.dialects.openai_responses_encode import encode_request
from atp_engine.dialects.openai_responses_stream import stream_decoder, stream_encoder

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "json_format": "text.format",
        "thinking": "reasoning",
        "reasoning": "input[].reasoning",
        "arguments": "input[].arguments",
        "messages": "input",
        "verbosity": "text.verbosity",
        "logprobs": "top_logprobs",
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
