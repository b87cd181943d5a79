"""The ledger over the admin API; a face makes one around its `EngineClient`.

Calls raise EngineGone or EngineRefused.
"""

from __future__ import annotations

from urllib.parse import urlencode

from atp_engine.client.engine_client import EngineClient
from atp_engine.core.ledger_views import LedgerPage, LedgerSums, Verdict


class LedgerClient:
    """The calls about the ledger."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    async def lines(self, after: int, since: float, until: float, limit: int = 5_000) -> LedgerPage:
        """Lines behind `after`; see the endpoint."""
        query = urlencode({"after": after, "since": since, "until": until, "limit": limit})
        return await self._engine.call("GET", f"/admin/ledger?{query}", LedgerPage)

    async def sums(self, step: str, by: str, since: float, until: float) -> tuple[LedgerSums, ...]:
        """Sums by step and name."""
        query = urlencode({"step": step, "by": by, "since": since, "until": until})
        return await self._engine.call("GET", f"/admin/ledger/sums?{query}", tuple[LedgerSums, ...])

    async def verify(self) -> Verdict:
        """Compares sums and window counters with the lines; may take seconds."""
        return await self._engine.call("POST", "/admin/ledger/verify", Verdict)
