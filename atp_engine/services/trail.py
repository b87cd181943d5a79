"""What was said and what was done: the latest log records in memory, the audit entries from the database.

`api/admin_trail` reads it; whoever carries out an act of an operator calls `note`.
"""

from __future__ import annotations

from atp_engine.core.log_views import AuditPage, AuditView, LogPage
from atp_engine.core.ports import Clock
from atp_engine.logs import LogRing
from atp_engine.storage.audit import AuditEntry, AuditLog

_MOST = 500


class Trail:
    """Reads both, and adds acts."""

    def __init__(self, ring: LogRing, audit: AuditLog, clock: Clock) -> None:
        self._ring = ring
        self._audit = audit
        self._clock = clock

    def logs(self, level: str, limit: int) -> LogPage:
        """Records at least as severe as `level` (`debug` to `critical`), newest first."""
        return LogPage(self._ring.latest(level, min(limit, _MOST)), self._ring.dropped)

    async def acts(self, limit: int, before: int) -> AuditPage:
        """Entries older than number `before`, the newest for 0. Raises StorageError."""
        limit = min(limit, _MOST)
        rows = await self._audit.page(limit + 1, before)
        entries = tuple(AuditView(number, *_texts(entry)) for number, entry in rows[:limit])
        return AuditPage(entries, entries[-1].number if len(rows) > limit else 0)

    def note(self, actor: str, action: str, target: str, detail: str = "") -> None:
        """Adds an act that changes nothing durable; committed within about 50 ms."""
        self._audit.note(AuditEntry(self._clock.now(), actor, action, target, detail))


def _texts(entry: AuditEntry) -> tuple[float, str, str, str, str]:
    return entry.at, entry.actor, entry.action, entry.target, entry.detail
