"""Which bridge joins which two dialects; `services/attempts` asks here once per attempt."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.core.types import Dialect
from atp_engine.dialects import (
    anthropic_tap,
    gemini_embeddings,
    gemini_tap,
    ollama_tap,
    openai_chat_tap,
    openai_completions_tap,
    openai_embeddings,
    openai_responses_tap,
)
from atp_engine.dialects.bridge import Bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS, client_codec, codec
from atp_engine.dialects.framing import NDJSON, SSE
from atp_engine.dialects.passthrough import Passthrough, Wire
from atp_engine.dialects.translate import Translation

_WIRES: Mapping[Dialect, Wire] = MappingProxyType(
    {
        Dialect.OPENAI_CHAT: openai_chat_tap,
        Dialect.ANTHROPIC: anthropic_tap,
        Dialect.OPENAI_RESPONSES: openai_responses_tap,
        Dialect.OPENAI_COMPLETIONS: openai_completions_tap,
        Dialect.OPENAI_EMBEDDINGS: openai_embeddings,
        Dialect.GEMINI: gemini_tap,
        Dialect.OLLAMA: ollama_tap,
    }
)


def _joined() -> dict[tuple[Dialect, Dialect], Bridge]:
    pairs: dict[tuple[Dialect, Dialect], Bridge] = {(one, one): Passthrough(wire) for one, wire in _WIRES.items()}
    for client in Dialect:
        spoken = client_codec(client)
        for upstream in CHAT_DIALECTS:
            if spoken is not None and client is not upstream:
                framing = NDJSON if upstream is Dialect.OLLAMA else SSE
                pairs[client, upstream] = Translation(spoken, codec(upstream), framing)
    ours, its = Dialect.OPENAI_EMBEDDINGS, Dialect.GEMINI_EMBEDDINGS
    pairs[its, its] = gemini_embeddings.Same()
    pairs[ours, its] = gemini_embeddings.ToGemini()
    pairs[its, ours] = gemini_embeddings.FromGemini()
    return pairs


_BRIDGES: Mapping[tuple[Dialect, Dialect], Bridge] = MappingProxyType(_joined())


def bridge(client: Dialect, upstream: Dialect) -> Bridge:
    """The shared, stateless bridge of a pair; the router sees to it that there is one."""
    return _BRIDGES[client, upstream]
