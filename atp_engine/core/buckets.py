"""Logarithmic buckets: eight per doubling, so a value is known to about 4.5 % with a plain counter.

Shared by metric histograms (seconds) and deployment health (seconds too). The range is 2^-10 s
(about 1 ms) to 2^12 s (about 68 minutes); below and above lie one bucket each. Every eighth bound
is an exact power of two, which the exposition shows as `le`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2

PER_OCTAVE = 8
LOWEST_EXPONENT = -10
HIGHEST_EXPONENT = 12
LOWEST = 2.0**LOWEST_EXPONENT
HIGHEST = 2.0**HIGHEST_EXPONENT
BUCKETS = (HIGHEST_EXPONENT - LOWEST_EXPONENT) * PER_OCTAVE + 2
"""Bucket 0 holds everything up to 2^-10, the last one everything above 2^12."""
_SHIFT = -LOWEST_EXPONENT * PER_OCTAVE + 1.0 - 1e-9
"""Turns the truncation of `int` into a ceiling, so a bound belongs to the bucket it closes."""


def bucket_of(value: float) -> int:
    """The bucket of a value; negative values and NaN fall into the first, infinity into the last."""
    if LOWEST < value <= HIGHEST:
        return int(log2(value) * PER_OCTAVE + _SHIFT)
    return BUCKETS - 1 if value > HIGHEST else 0


def upper_bound(bucket: int) -> float:
    """The largest value of a bucket, infinity for the last."""
    if bucket >= BUCKETS - 1:
        return float("inf")
    return float(2.0 ** (LOWEST_EXPONENT + bucket / PER_OCTAVE))


def quantile(counts: Iterable[tuple[int, int]], share: float) -> float | None:
    """The value below which `share` (0..1) of the counted values lie, None when nothing was counted.

    `counts` are (bucket, count) pairs in rising order of bucket; the answer is the geometric middle
    of the bucket it falls into.
    """
    pairs = [(bucket, count) for bucket, count in counts if count > 0]
    total = sum(count for _, count in pairs)
    if not total:
        return None
    wanted = share * total
    seen = 0
    for bucket, count in pairs:
        seen += count
        if seen >= wanted:
            return middle(bucket)
    return middle(pairs[-1][0])


def middle(bucket: int) -> float:
    """The value that stands for a bucket: the geometric middle, the edge for the first and last."""
    if bucket <= 0:
        return LOWEST
    if bucket >= BUCKETS - 1:
        return HIGHEST
    return float(2.0 ** (LOWEST_EXPONENT + (bucket - 0.5) / PER_OCTAVE))
