"""What prompts were estimated at beside what vendors reported, read back from the ledger."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from atp_engine.storage.database import Database

_ROWS = 2_000
_LATEST = """
    SELECT served, prompt_estimate, prompt_tokens
    FROM requests JOIN kinds ON kinds.id = requests.kind
    WHERE number > (SELECT coalesce(max(number), 0) FROM requests) - ? AND prompt_estimate > 0
        AND is_usage_estimated = 0 AND state = 'ok' AND prompt_tokens > 0
    ORDER BY number
"""


class Counted(NamedTuple):
    """One request: who counted, what was estimated before, and what was reported."""

    deployment: str
    estimated: int
    reported: int


def latest_counts(database: Database) -> list[Counted]:
    """The latest requests whose vendor reported usage, oldest first; blocks: for the start."""

    def read(connection: sqlite3.Connection) -> list[Counted]:
        return [Counted(*row) for row in connection.execute(_LATEST, (_ROWS,))]

    return database.read_now(read)
