"""What a call may cost before it is made, and what it did cost, as windows count it.

An estimate is meant to be too high: the prompt's with a margin, the longest answer that is allowed, the
dearest price that may hold. `settle` corrects it.
"""

from __future__ import annotations

from atp_engine.core.pricing import Price, cost_of
from atp_engine.core.types import DeploymentSpec, PriceState, RequestFacts, TokenUsage

USUAL_OUTPUT = 4_096
"""Longest answer to expect where neither the client nor the deployment states one."""
_MARGIN_TOKENS = 16


def estimate(price: Price | None, spec: DeploymentSpec, facts: RequestFacts) -> tuple[int, int]:
    """Tokens and nano-dollars that a call may use at most, as far as can be told; 0 dollars without a price."""
    asked, able = facts.max_output_tokens, spec.max_output_tokens
    output = (min(asked, able) if asked and able else asked or able) or USUAL_OUTPUT
    prompt = facts.prompt_tokens_estimate + (facts.prompt_tokens_estimate >> 2) + _MARGIN_TOKENS
    if price is None:
        return prompt + output, 0
    plain = TokenUsage(input_tokens=prompt, output_tokens=output)
    nusd = cost_of(price, plain).nusd
    hour = price.cache_write_1h_nusd
    dearest = price.cache_write_nusd if hour is None else max(price.cache_write_nusd, hour)
    if dearest > price.input_nusd:
        for_an_hour = prompt if dearest == hour else 0
        written = TokenUsage(0, output, cache_write_tokens=prompt, cache_write_1h_tokens=for_an_hour)
        nusd = max(nusd, cost_of(price, written).nusd)
    if price.reasoning_nusd is not None and price.reasoning_nusd > price.output_nusd:
        nusd += -(-output * (price.reasoning_nusd - price.output_nusd) // 1_000_000)
    return prompt + output, nusd


def charge_of(usage: TokenUsage, nusd: int, state: PriceState, assumed: Price | None) -> tuple[int, int]:
    """Tokens and nano-dollars that a finished attempt is charged; an unknown price is the assumed one, else 0."""
    tokens = usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    if state is PriceState.UNKNOWN:
        return tokens, 0 if assumed is None else cost_of(assumed, usage).nusd
    return tokens, nusd
