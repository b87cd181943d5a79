"""What a call may cost before it is made, and what it did cost, as windows count it.

An estimate is meant to be too high: the prompt's with a margin, the longest answer that is allowed, the
dearest price that may hold. `settle` corrects it.
"""

from __future__ import annotations

from atp_engine.core.pricing import Price, cost_of
from atp_engine.core.types import DeploymentSpec, PriceState, RequestFacts, TokenUsage

USUAL_OUTPUT = 4_096
"""Longest answer to expect where neither the client nor the deployment states one."""
LONGEST_S = 600.0
"""How long a call is taken to last at most where no total limit is set."""
_MARGIN_TOKENS = 16
_MILLION = 1_000_000


def estimate(
    price: Price | None, spec: DeploymentSpec, facts: RequestFacts, longest_s: float = LONGEST_S
) -> tuple[int, int]:
    """Tokens and nano-dollars that a call may use at most, as far as can be told; 0 dollars without a price.

    `longest_s` is how long it may take, for prices that count a server's power. Of service tiers the dearest
    counts: which one serves is the vendor's answer to tell.
    """
    asked, able = facts.max_output_tokens, spec.max_output_tokens
    output = (min(asked, able) if asked and able else asked or able) or USUAL_OUTPUT
    if facts.is_embedding:
        output = 0
    prompt = facts.prompt_tokens_estimate + (facts.prompt_tokens_estimate >> 2) + _MARGIN_TOKENS
    if price is None:
        return prompt + output, 0
    tier = max(price.tiers, key=price.tiers.__getitem__) if price.tiers else ""
    if tier and price.tiers[tier] <= _MILLION:
        tier = ""
    duration_ms = longest_s * 1_000.0 if price.nusd_per_hour else 0.0
    plain = TokenUsage(input_tokens=prompt, output_tokens=output, tier=tier)
    nusd = cost_of(price, plain, duration_ms).nusd
    if price.cache_read_nusd > price.input_nusd:
        nusd = max(nusd, cost_of(price, TokenUsage(0, output, prompt, tier=tier), duration_ms).nusd)
    hour = price.cache_write_1h_nusd
    dearest = price.cache_write_nusd if hour is None else max(price.cache_write_nusd, hour)
    if dearest > price.input_nusd:
        for_an_hour = prompt if dearest == hour else 0
        written = TokenUsage(0, output, cache_write_tokens=prompt, cache_write_1h_tokens=for_an_hour, tier=tier)
        nusd = max(nusd, cost_of(price, written, duration_ms).nusd)
    if price.reasoning_nusd is not None and price.reasoning_nusd > price.output_nusd:
        apart = -(-output * (price.reasoning_nusd - price.output_nusd) // _MILLION)
        nusd += -(-apart * price.tiers[tier] // _MILLION) if tier else apart
    return prompt + output, nusd


def charge_of(usage: TokenUsage, nusd: int, state: PriceState, assumed: Price | None) -> tuple[int, int]:
    """Tokens and nano-dollars that a finished attempt is charged; an unknown price is the assumed one, else 0."""
    tokens = usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    if state is PriceState.UNKNOWN:
        return tokens, 0 if assumed is None else cost_of(assumed, usage).nusd
    return tokens, nusd
