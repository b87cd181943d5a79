"""Ready-made facts, configs and dice for tests of routing and limits."""

from __future__ import annotations

import msgspec

from atp_engine.config.models import Config, ProviderConfig
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.routing.table import RoutingTable, VendorFacts

PLAIN = RequestFacts(
    model="auto",
    is_stream=True,
    has_tools=False,
    has_images=False,
    wants_json=False,
    wants_usage=False,
    wants_reasoning=False,
    max_output_tokens=0,
    prompt_bytes=400,
    prompt_tokens_estimate=100,
    message_count=1,
    session_hint="",
    prefix_seed=b"hello",
)


class Dice:
    """Gives the numbers it was told to, the last one for ever."""

    def __init__(self, *values: float) -> None:
        self._values = list(values) or [0.0]

    def random(self) -> float:
        """The next number."""
        return self._values.pop(0) if len(self._values) > 1 else self._values[0]


def facts(**changes: object) -> RequestFacts:
    """A plain request with some facts changed."""
    return msgspec.structs.replace(PLAIN, **changes)


def vendor_of(name: str, provider: ProviderConfig) -> VendorFacts:
    """A small registry: the kind is the catalog, `ollama` is local."""
    dialect = Dialect.ANTHROPIC if provider.kind == "anthropic" else Dialect.OPENAI_CHAT
    return VendorFacts(dialect=dialect, is_local=provider.kind == "ollama", catalog=provider.kind)


def table_of(tree: dict[str, object]) -> RoutingTable:
    """The table of a config given as plain values."""
    return RoutingTable(Config.model_validate(tree), vendor_of)
