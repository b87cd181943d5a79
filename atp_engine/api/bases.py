"""Vendor-style bases: every client path below `/v1/` also answers under `/openai` and `/anthropic`.

`faces` adds the rows; `errors` and `models` learn from the base whose shapes the caller expects. So base
URLs work with and without a vendor's name in front of `/v1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

BASES = ("/openai", "/anthropic")
T = TypeVar("T")


def split_base(path: str) -> tuple[str, str]:
    """A path's base, empty when it has none, and the rest."""
    for base in BASES:
        if path.startswith(base + "/"):
            return base, path[len(base) :]
    return "", path


def hot_under_bases(hot: Mapping[tuple[str, str], T]) -> dict[tuple[str, str], T]:
    """Endpoints by (method, path), those below `/v1/` under the bases too."""
    return {(method, base + path): row for (method, path), row in hot.items() for base in _bases(path)}


def routes_under_bases(routes: Sequence[tuple[str, str, T]]) -> list[tuple[str, str, T]]:
    """The same for routes of method, path and endpoint."""
    return [(method, base + path, row) for method, path, row in routes for base in _bases(path)]


def _bases(path: str) -> tuple[str, ...]:
    return ("", *BASES) if path.startswith("/v1/") else ("",)
