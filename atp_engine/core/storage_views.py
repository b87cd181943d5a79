"""What faces see of the disk, and of what is pinned to it."""

from __future__ import annotations

import msgspec


class StorageView(msgspec.Struct, frozen=True):
    """What is kept, how large it is, and what bounds it."""

    database_bytes: int
    wal_bytes: int
    """The database's log of commits that are not in its file yet."""
    bodies_bytes: int
    """Bodies with the free pages of their store."""
    max_bodies_bytes: int
    free_bytes: int
    """Left on the disk for this user."""
    oldest_at: float | None
    """When the oldest request that is kept arrived, UTC epoch seconds."""
    ledger_ttl_days: float
    deleted: int
    """Requests deleted by age since the start."""
    state: str
    """ok or degraded, with the reason."""
    data_bytes: int = 0
    """Everything in the data directory: databases with their logs, bodies, log files."""
    max_disk_bytes: int = 0
    given_up: dict[str, int] = {}
    """What made room before its time since the start, by kind: successes, errors, pinned, answers, ledger."""
    pressure: str = ""
    """Why and what makes room now, for people; empty while there is room."""
    pinned: int = 0
    """Requests that are pinned."""


class PinView(msgspec.Struct, frozen=True):
    """What became of pinning or unpinning."""

    request_id: str
    is_pinned: bool
    pinned: int
    """Requests that are pinned now."""
