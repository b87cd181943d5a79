"""Which bridge joins which two dialects; `services/attempts` asks here once per attempt."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.core.types import Dialect
from atp_engine.dialects import anthropic_tap, gemini_tap, ollama_tap, openai_chat_tap, openai_responses_tap
from atp_engine.dialects.bridge import Bridge
from atp_engine.dialects.codecs import codec
from atp_engine.dialects.framing import NDJSON, SSE
from atp_engine.dialects.passthrough import Passthrough, Wire
from atp_engine.dialects.translate import Translation

_WIRES: Mapping[Dialect, Wire] = MappingProxyType(
    {
        Dialect.OPENAI_CHAT: openai_chat_tap,
        Dialect.ANTHROPIC: anthropic_tap,
        Dialect.OPENAI_RESPONSES: openai_responses_tap,
        Dialect.GEMINI: gemini_tap,
        Dialect.OLLAMA: ollama_tap,
    }
)


def _join(client: Dialect, upstream: Dialect) -> Bridge:
    if client is upstream:
        return Passthrough(_WIRES[client])
    return Translation(codec(client), codec(upstream), NDJSON if upstream is Dialect.OLLAMA else SSE)


_BRIDGES: Mapping[tuple[Dialect, Dialect], Bridge] = MappingProxyType(
    {(client, upstream): _join(client, upstream) for client in Dialect for upstream in Dialect}
)


def bridge(client: Dialect, upstream: Dialect) -> Bridge:
    """The shared, stateless bridge of a pair."""
    return _BRIDGES[client, upstream]
