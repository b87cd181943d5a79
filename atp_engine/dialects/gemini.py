"""The Gemini codec: its parts under one name, for `codecs`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.dialects.gemini_answers import FINISH, decode_reply, encode_reply, stream_decoder, stream_encoder
from atp_engine.dialects.gemini_decode import decode_request
from atp_engine.dialects.gemini_encode import encode_request

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "messages": "contents",
        "tool_choice": "toolConfig",
        "candidates": "generationConfig.candidateCount",
        "json_format": "generationConfig.responseJsonSchema",
        "thinking": "generationConfig.thinkingConfig",
        "reasoning": "contents[].parts[].thought",
        "arguments": "contents[].parts[].functionCall.args",
        "stop": "generationConfig.stopSequences",
        "seed": "generationConfig.seed",
        "service_tier": "serviceTier",
        "logprobs": "generationConfig.responseLogprobs",
        "temperature": "generationConfig.temperature",
        "top_p": "generationConfig.topP",
        "top_k": "generationConfig.topK",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "presence_penalty": "generationConfig.presencePenalty",
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
