"""What faces see of the disk."""

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
