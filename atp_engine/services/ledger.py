"""The ledger for people: its lines page by page, its sums, and whether sums and window counters agree with it."""

from __future__ import annotations

import math

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.ledger_views import Difference, LedgerPage, LedgerSums, Verdict
from atp_engine.services.windows import Windows
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.rollups import BY, STEPS, steps_of

_MOST_STEPS = 10_000
_FOREVER = 2.0**53


class Ledger:
    """Reads and verifies."""

    def __init__(self, repository: LedgerRepository, windows: Windows) -> None:
        self._repository = repository
        self._windows = windows

    async def lines(self, after: int, limit: int, since: float, until: float) -> LedgerPage:
        """Lines behind `after` in the order of writing; `since` and `until` are UTC epoch seconds, 0 is open.

        Raises InvalidRequest, StorageError.
        """
        if after < 0 or not (math.isfinite(since) and math.isfinite(until)):
            raise InvalidRequest("after, since and until are numbers from 0", param="after")
        return await self._repository.page(after, limit, since, until or _FOREVER)

    async def sums(self, step: str, by: str, since: float, until: float) -> tuple[LedgerSums, ...]:
        """Sums by step and name. Raises InvalidRequest for a name that is not offered or a span too long."""
        if by not in BY:
            raise InvalidRequest(f"by is one of {', '.join(BY)}", param="by")
        if step not in steps_of(by):
            raise InvalidRequest(f"step is one of {', '.join(steps_of(by))} for {by}", param="step")
        if not 0 <= until - since <= _MOST_STEPS * STEPS[step]:
            raise InvalidRequest(f"since and until are at most {_MOST_STEPS} steps apart", param="since")
        return await self._repository.sums(step, by, since, until)

    async def verify(self) -> Verdict:
        """Compares every sum and every window's counters with the lines. Reads all of them; raises StorageError."""
        sums, found = await self._repository.differences()
        windows, wrong = await self._windows.recount()
        return Verdict(
            sums,
            windows,
            (*found, *(Difference(f"window {name}", figures) for name, figures in wrong)),
        )
