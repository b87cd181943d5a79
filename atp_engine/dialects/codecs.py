"""The dialects that can be translated, one row each; for `translate` and the simulated provider."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.core.types import Dialect
from atp_engine.dialects import anthropic, gemini, ir, ollama, openai_chat, openai_completions, openai_responses
from atp_engine.dialects.codec import ClientCodec, Codec, StreamEncoder

_CODECS: Mapping[Dialect, Codec] = MappingProxyType(
    {
        Dialect.OPENAI_CHAT: openai_chat,
        Dialect.ANTHROPIC: anthropic,
        Dialect.OPENAI_RESPONSES: openai_responses,
        Dialect.GEMINI: gemini,
        Dialect.OLLAMA: ollama,
    }
)
CHAT_DIALECTS = tuple(_CODECS)
"""Dialects that chats come in and go out by, each with every other."""
_CLIENT_CODECS: Mapping[Dialect, ClientCodec] = MappingProxyType(
    {**_CODECS, Dialect.OPENAI_COMPLETIONS: openai_completions}
)


def client_codec(dialect: Dialect) -> ClientCodec | None:
    """The codec of a client's dialect, None for one that is only passed through."""
    return _CLIENT_CODECS.get(dialect)


def codec(dialect: Dialect) -> Codec:
    """The codec of a dialect."""
    return _CODECS[dialect]


def decode_request(dialect: Dialect, body: bytes) -> ir.ChatRequest:
    """A request body as `ir`; raises InvalidRequest or UnsupportedFeature."""
    return _CODECS[dialect].decode_request(body)


def encode_reply(dialect: Dialect, result: ir.ChatResult) -> bytes:
    """A whole answer's JSON."""
    return _CODECS[dialect].encode_reply(result)


def stream_encoder(dialect: Dialect, *, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of one stream: `.encode(event)` gives whole SSE events. Expects `ir.Started`
    first, `ir.Stopped` and `ir.UsageReported` near the end, `ir.Ended` last."""
    return _CODECS[dialect].stream_encoder(wants_usage=wants_usage)
