"""How long a deployment may take to its first content before another one is tried."""

from __future__ import annotations

from atp_engine.core.types import RequestFacts
from atp_engine.routing.table import Timeouts

_REASONING_TTFT_S = 120.0


def first_content_limit_s(timeouts: Timeouts, facts: RequestFacts, has_other: bool, p95_ttft_s: float) -> float:
    """Seconds to the first content, 0 is off.

    A limit somebody set binds always. The general one rescues streams while another deployment is
    left, stretched to three times this deployment's own p95 and to 120 s for requests that reason.
    """
    if timeouts.is_ttft_set:
        return timeouts.ttft_s
    if not facts.is_stream or not has_other or not timeouts.ttft_s:
        return 0.0
    floor_s = _REASONING_TTFT_S if facts.wants_reasoning else timeouts.ttft_s
    return max(floor_s, timeouts.ttft_s, 3.0 * p95_ttft_s)
