"""Token counts as vendors write them, made safe to add up and store."""

from __future__ import annotations

Number = int | float | None
"""A count that may be null or a float on the wire."""
_MOST_TOKENS = 2**40


def count(number: Number) -> int:
    """Whole, not negative, not absurd."""
    if type(number) is int and 0 <= number <= _MOST_TOKENS:
        return number
    return min(max(int(number or 0), 0), _MOST_TOKENS)
