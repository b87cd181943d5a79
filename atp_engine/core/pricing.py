"""Money as integer nano-dollars, and what a call costs from its token usage.

Called by the recorder, the router (cost estimates) and the faces (display). One nano-dollar is
1e-9 USD; a price of 1 USD per million tokens is 1000 nano-dollars per token.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.types import PriceState, TokenUsage

NANO_PER_USD = 1_000_000_000


class Rates(msgspec.Struct, frozen=True):
    """What a price says for prompts longer than `above_tokens`: the whole call is charged so."""

    above_tokens: int
    input_nusd: int
    output_nusd: int
    cache_read_nusd: int
    cache_write_nusd: int
    cache_write_1h_nusd: int | None = None


class Price(msgspec.Struct, frozen=True):
    """Prices of one model in nano-dollars per **million** tokens, so that fractions stay integer."""

    input_nusd: int
    output_nusd: int
    cache_read_nusd: int
    cache_write_nusd: int
    """What is kept for five minutes, or for as long as the vendor says where it has one kind only."""
    source: str = "config"
    """Where the figure is from: `config`, `bundled 2026-11`, `free` (local models)."""
    sure_up_to_tokens: int = 0
    """Prompt size up to which the figures hold (vendors that charge more for long prompts); 0 is any.
    A cost above it is `assumed`."""
    cache_write_1h_nusd: int | None = None
    """What is kept for an hour; None is charged as `cache_write_nusd`, and the cost is `assumed`."""
    reasoning_nusd: int | None = None
    """Thinking, where it is billed apart; None is charged as output."""
    above: Rates | None = None
    is_assumed: bool = False
    """A guess that stands in for an unknown price: every cost of it is `assumed`."""
    is_unknown: bool = False
    """Nobody has said what holds until `until_at`."""
    tiers: dict[str, int] = {}
    """What a service tier multiplies tokens' prices by, in millionths; a tier that is not here is charged as the
    standard one, and the cost is `assumed`."""
    nusd_per_hour: int = 0
    """Power of a local server for an hour of a call; its cost is `assumed`, for calls may share the server."""
    until_at: float = 0.0
    """UTC epoch seconds from which `then` holds; 0 is never."""
    then: Price | None = None
    """What holds afterwards; None is unknown."""

    def at(self, now: float) -> Price | None:
        """The price that holds at a time, UTC epoch seconds; None when it is unknown by then."""
        price: Price | None = self
        while price is not None and price.until_at and now >= price.until_at:
            price = price.then
        return None if price is None or price.is_unknown else price


class Cost(msgspec.Struct, frozen=True):
    """What a call cost; `nusd` means nothing when `state` is unknown."""

    nusd: int
    state: PriceState


NO_COST = Cost(nusd=0, state=PriceState.KNOWN)
"""Nothing was used."""
UNKNOWN_COST = Cost(nusd=0, state=PriceState.UNKNOWN)
FREE = Price(0, 0, 0, 0, source="free")
_MILLION = 1_000_000
_HOUR_MS = 3_600_000
_KNOWN, _ASSUMED = PriceState.KNOWN, PriceState.ASSUMED


def usd_to_nusd(usd: float | int | str) -> int:
    """Whole nano-dollars of a dollar figure, rounded half to even."""
    return round(float(usd) * NANO_PER_USD)


def cost_of(price: Price | None, usage: TokenUsage, duration_ms: float = 0.0) -> Cost:
    """The cost of a usage under a price, rounded up to the next nano-dollar; unknown without a price.

    `duration_ms` is how long the call took, for prices that count a server's power.
    """
    if price is None:
        return UNKNOWN_COST
    above = price.above
    rates = price if above is None or usage.prompt_tokens <= above.above_tokens else above
    micro = (
        usage.input_tokens * rates.input_nusd
        + usage.output_tokens * rates.output_nusd
        + usage.cache_read_tokens * rates.cache_read_nusd
        + usage.cache_write_tokens * rates.cache_write_nusd
    )
    is_sure = not (usage.is_estimated or price.is_assumed or 0 < price.sure_up_to_tokens < usage.prompt_tokens)
    if usage.cache_write_1h_tokens:
        if rates.cache_write_1h_nusd is None:
            is_sure = False
        else:
            micro += usage.cache_write_1h_tokens * (rates.cache_write_1h_nusd - rates.cache_write_nusd)
    if price.reasoning_nusd is not None:
        micro += usage.reasoning_tokens * (price.reasoning_nusd - rates.output_nusd)
    if usage.tier:
        factor = price.tiers.get(usage.tier)
        if factor is None:
            is_sure = False
        else:
            micro = -(-micro * factor // _MILLION)
    if price.nusd_per_hour:
        micro += round(price.nusd_per_hour * duration_ms * _MILLION / _HOUR_MS)
        is_sure = False
    return Cost(-(-micro // _MILLION), _KNOWN if is_sure else _ASSUMED)
