"""Which bridge joins which two dialects; `services/attempts` asks here once per attempt."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.core.types import Dialect
from atp_engine.dialects import anthropic_tap, openai_chat_tap
from atp_engine.dialects.bridge import Bridge
from atp_engine.dialects.codecs import codec
from atp_engine.dialects.passthrough import Passthrough, Wire
from atp_engine.dialects.translate import Translation

_WIRES: Mapping[Dialect, Wire] = MappingProxyType(
    {Dialect.OPENAI_CHAT: openai_chat_tap, Dialect.ANTHROPIC: anthropic_tap}
)


def _join(client: Dialect, upstream: Dialect) -> Bridge:
    return Passthrough(_WIRES[client]) if client is upstream else Translation(codec(client), codec(upstream))


_BRIDGES: Mapping[tuple[Dialect, Dialect], Bridge] = MappingProxyType(
    {(client, upstream): _join(client, upstream) for client in Dialect for upstream in Dialect}
)


def bridge(client: Dialect, upstream: Dialect) -> Bridge:
    """The shared, stateless bridge of a pair."""
    return _BRIDGES[client, upstream]
