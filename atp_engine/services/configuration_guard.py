"""Whether a config made its routes worse: errors or the 95th percentile, beyond what chance explains.

`configuration` asks every few seconds while an apply is guarded. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, sqrt

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.storage.config_traffic import Outcome

LONGEST_S = 86_400.0
_Z = 3.3
"""Standard errors that count as beyond noise: about one in two thousand by chance."""
_FEWEST = 20
"""Requests before anything is said about errors."""
_FEWEST_SLOW = 60
"""Requests on both sides before anything is said about a percentile."""
_SHARE_FLOOR = 0.02
"""Errors must rise by this share at least: what people would roll back for."""
_SLOWER = 1.25
_UNKNOWN_SHARE = 0.05
"""What is taken for the errors before where there was no traffic."""
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Guard(msgspec.Struct, frozen=True):
    """One guarded apply."""

    version: int
    fallback: int
    """The version to go back to."""
    names: frozenset[str]
    """Routes and deployments that the apply touched."""
    ends_at: float
    """Monotonic."""
    after: int
    """The number of the last request before the apply."""
    before: tuple[Outcome, ...]


def guard_s(text: str) -> float:
    """Seconds of `30s`, `5m`, `1h`; 0 for `off` and nothing. Raises InvalidRequest."""
    if text in ("", "off"):
        return 0.0
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise InvalidRequest("a guard is a time such as 30s, 5m or 1h, at most a day, or off", param="guard")
    return seconds


def what_is_worse(before: Sequence[Outcome], after: Sequence[Outcome]) -> str:
    """What got worse beyond noise, as a clause; empty when nothing did or too little is known."""
    return _more_errors(before, after) or _slower(before, after)


def _more_errors(before: Sequence[Outcome], after: Sequence[Outcome]) -> str:
    if len(after) < _FEWEST:
        return ""
    bad_after = sum(one.is_bad for one in after)
    share_after = bad_after / len(after)
    if len(before) < _FEWEST:
        limit, told = max(_UNKNOWN_SHARE, 0.5), "with too little traffic before to compare"
        return f"{_counted(bad_after, len(after))} failed, {told}" if share_after > limit else ""
    bad_before = sum(one.is_bad for one in before)
    share_before = bad_before / len(before)
    pooled = (bad_before + bad_after) / (len(before) + len(after))
    error = sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / len(before) + 1 / len(after)))
    rise = share_after - share_before
    if rise < _SHARE_FLOOR or rise < _Z * error:
        return ""
    return f"{_counted(bad_after, len(after))} failed, {_counted(bad_before, len(before))} before"


def _slower(before: Sequence[Outcome], after: Sequence[Outcome]) -> str:
    old = sorted(one.duration_ms for one in before if not one.is_bad)
    new = sorted(one.duration_ms for one in after if not one.is_bad)
    if min(len(old), len(new)) < _FEWEST_SLOW:
        return ""
    highest_old, lowest_new = _p95(old, _Z), _p95(new, -_Z)
    if lowest_new <= highest_old * _SLOWER:
        return ""
    return f"the 95th percentile is {_p95(new, 0):.0f} ms, {_p95(old, 0):.0f} ms before"


def _p95(values: Sequence[float], errors: float) -> float:
    """The 95th percentile's rank, moved by so many standard errors."""
    count = len(values)
    rank = ceil(0.95 * count + errors * sqrt(count * 0.95 * 0.05))
    return values[min(max(rank, 1), count) - 1]


def _counted(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.1f} % of {whole} requests"
