"""What faces see of the ledger: its lines, its sums, and whether both agree."""

from __future__ import annotations

import msgspec


class LedgerLine(msgspec.Struct, frozen=True):
    """One upstream call, as it is charged."""

    line: int
    """Rises with every line; where to go on reading."""
    request_id: str
    attempt: int
    started_at: float
    """When the request arrived, UTC epoch seconds."""
    key_id: str
    session_id: str
    route: str
    deployment: str
    provider: str
    model: str
    outcome: str
    duration_ms: float
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    is_estimated: bool
    cost_nusd: int | None
    """None when the price is unknown."""
    price_state: str
    service_tier: str = ""
    """The tier that the vendor says it served at; empty for the standard one."""


class LedgerPage(msgspec.Struct, frozen=True):
    """Lines in the order in which they were written."""

    lines: tuple[LedgerLine, ...]
    next_after: int | None
    """Where the next page goes on; None at the end."""


class LedgerSums(msgspec.Struct, frozen=True):
    """Lines of one step of time and one name, summed up. `cost_nusd` lacks the `unknown` ones."""

    starts_at: int
    name: str
    attempts: int
    failed: int
    estimated: int
    assumed: int
    unknown: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nusd: int


class Difference(msgspec.Struct, frozen=True):
    """A sum that is not what the lines say: by figure, what is kept and what the lines give."""

    what: str
    figures: dict[str, tuple[int, int]]


class Verdict(msgspec.Struct, frozen=True):
    """The result of comparing sums and counters with the ledger's lines."""

    sums: int
    """Sums compared."""
    windows: int
    """Window counters compared."""
    differences: tuple[Difference, ...]
    """At most 100; empty when everything agrees."""
