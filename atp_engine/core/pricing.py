"""Money as integer nano-dollars, and what a call costs from its token usage.

Called by the recorder, the router (cost estimates) and the faces (display). One nano-dollar is
1e-9 USD; a price of 1 USD per million tokens is 1000 nano-dollars per token.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.types import PriceState, TokenUsage

NANO_PER_USD = 1_000_000_000


class Price(msgspec.Struct, frozen=True):
    """Prices of one model in nano-dollars per **million** tokens, so that fractions stay integer."""

    input_nusd: int
    output_nusd: int
    cache_read_nusd: int
    cache_write_nusd: int
    source: str = "config"
    """Where the figure is from: `config`, `bundled 2026-11`, `free` (local models)."""
    sure_up_to_tokens: int = 0
    """Prompt size up to which the figures hold (vendors that charge more for long prompts); 0 is any.
    A cost above it is `assumed`."""


class Cost(msgspec.Struct, frozen=True):
    """What a call cost; `nusd` means nothing when `state` is unknown."""

    nusd: int
    state: PriceState


NO_COST = Cost(nusd=0, state=PriceState.KNOWN)
"""Nothing was used."""
UNKNOWN_COST = Cost(nusd=0, state=PriceState.UNKNOWN)
FREE = Price(0, 0, 0, 0, source="free")
_MILLION = 1_000_000
_KNOWN, _ASSUMED = PriceState.KNOWN, PriceState.ASSUMED


def usd_to_nusd(usd: float | int | str) -> int:
    """Whole nano-dollars of a dollar figure, rounded half to even."""
    return round(float(usd) * NANO_PER_USD)


def cost_of(price: Price | None, usage: TokenUsage) -> Cost:
    """The cost of a usage under a price, rounded up to the next nano-dollar; unknown without a price."""
    if price is None:
        return UNKNOWN_COST
    micro = (
        usage.input_tokens * price.input_nusd
        + usage.output_tokens * price.output_nusd
        + usage.cache_read_tokens * price.cache_read_nusd
        + usage.cache_write_tokens * price.cache_write_nusd
    )
    is_beyond = 0 < price.sure_up_to_tokens < usage.prompt_tokens
    return Cost(-(-micro // _MILLION), _ASSUMED if usage.is_estimated or is_beyond else _KNOWN)
