"""Token counts as vendors write them, made safe to add up and store."""

from __future__ import annotations

Number = int | float | None
"""A count that may be null or a float on the wire."""
_MOST_TOKENS = 2**40


_STANDARD = frozenset({"", "default", "standard", "auto", "on_demand", "standard_only"})
"""What vendors call the tier without a name: OpenAI default, Anthropic standard, Groq on_demand (2026-11)."""
_LONGEST = 32


def tier_of(name: str | None) -> str:
    """A service tier as it is priced; empty for the standard one."""
    if not name or name in _STANDARD:
        return ""
    name = name[:_LONGEST].lower()
    return "" if name in _STANDARD or not name.isascii() or not name.isprintable() else name


def count(number: Number) -> int:
    """Whole, not negative, not absurd."""
    if type(number) is int and 0 <= number <= _MOST_TOKENS:
        return number
    return min(max(int(number or 0), 0), _MOST_TOKENS)
