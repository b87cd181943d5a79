"""The tables that the writer fills, as rows: a name, its columns, and the INSERT for any number of rows.

Repositories build rows in exactly this order of columns; `migrations` creates the tables. A test holds
both lists together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]
"""Values of one row, in the order of the table's columns: str, int, float, NULL, bytes.

Exact types only where it matters: Python's sqlite3 takes 0.05 µs to bind an int, 0.12 µs for a str and
0.45 µs for None or a bool, whose adapters it looks for in vain.
"""
NULL = float("nan")
"""Bound quickly, and stored by SQLite as NULL."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table to insert into; `conflict` is what follows the values, such as an upsert clause."""

    name: str
    columns: tuple[str, ...]
    verb: str = "INSERT"
    conflict: str = ""

    def insert(self, count: int) -> str:
        """One INSERT statement for `count` rows, to be prepared once and bound to all their values."""
        row = "(" + ",".join("?" * len(self.columns)) + ")"
        names = ",".join(self.columns)
        return f"{self.verb} INTO {self.name}({names}) VALUES {','.join([row] * count)} {self.conflict}".rstrip()


REQUESTS = Table(
    "requests",
    (
        "number",
        "id",
        "started_at",
        "session_id",
        "kind",
        "error_message",
        "ttft_ms",
        "duration_ms",
        "tokens_per_s",
        "prompt_tokens",
        "cache_read_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost_nusd",
        "dropped_fields",
        "position",
        "prompt_estimate",
        "queue_wait_ms",
    ),
)
KINDS = Table(
    "kinds",
    (
        "id",
        "state",
        "client",
        "key_id",
        "key_name",
        "dialect",
        "is_stream",
        "asked",
        "route",
        "served",
        "model",
        "provider",
        "tries",
        "http_status",
        "error_code",
        "is_usage_estimated",
        "price_state",
        "finish_reason",
        "has_body",
        "config_version",
        "decision_id",
    ),
    verb="INSERT OR IGNORE",
)
"""What many requests have in common, stored once under a hash of it."""
DECISIONS = Table("decisions", ("id", "decision"), verb="INSERT OR IGNORE")
ATTEMPTS = Table(
    "attempts",
    (
        "line",
        "deployment",
        "provider",
        "model",
        "outcome",
        "started_ms",
        "duration_ms",
        "ttft_ms",
        "http_status",
        "message",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "is_estimated",
        "cost_nusd",
        "price_state",
        "cache_write_1h_tokens",
        "service_tier",
    ),
)
"""The ledger. `line` is the request's number * 1000 + the attempt's, so lines append in order."""
SESSIONS = Table(
    "sessions",
    (
        "id",
        "client",
        "key_name",
        "title",
        "started_at",
        "last_at",
        "requests",
        "errors",
        "prompt_tokens",
        "output_tokens",
        "cost_nusd",
        "price_rank",
    ),
    conflict=(
        "ON CONFLICT(id) DO UPDATE SET "
        "title = CASE WHEN title = '' THEN excluded.title ELSE title END, "
        "started_at = min(started_at, excluded.started_at), "
        "last_at = max(last_at, excluded.last_at), "
        "requests = requests + excluded.requests, "
        "errors = errors + excluded.errors, "
        "prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
        "output_tokens = output_tokens + excluded.output_tokens, "
        "cost_nusd = cost_nusd + excluded.cost_nusd, "
        "price_rank = max(price_rank, excluded.price_rank)"
    ),
)
"""Sums arrive as what was added since the last save, so a session that comes back goes on counting."""

RESPONSES = Table(
    "responses",
    ("id", "key_id", "deployment", "provider", "dialect", "previous_id", "created_at", "input", "body", "bytes"),
    verb="INSERT OR REPLACE",
)

ALL = (REQUESTS, KINDS, DECISIONS, ATTEMPTS, SESSIONS, RESPONSES)
ATTEMPTS_PER_REQUEST = 1000
