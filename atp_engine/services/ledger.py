"""The ledger for people: its lines page by page, its sums, and whether sums and window counters agree with it."""

from __future__ import annotations

import math
import time

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.ledger_views import Difference, LedgerPage, LedgerSums, Verdict
from atp_engine.core.ports import Clock
from atp_engine.services.runtime import RuntimeRef
from atp_engine.services.windows import Windows
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.rollups import BY, STEPS, steps_of

_MOST_STEPS = 10_000
_FOREVER = 2.0**53
_LOOK_S = 60.0
_DAY_S = 86_400.0


class Ledger:
    """Reads and verifies."""

    def __init__(self, repository: LedgerRepository, windows: Windows, runtime: RuntimeRef, clock: Clock) -> None:
        self._repository = repository
        self._windows = windows
        self._runtime = runtime
        self._clock = clock
        self._is_waiting = False
        self._looks_at = clock.monotonic()

    async def lines(self, after: int, limit: int, since: float, until: float) -> LedgerPage:
        """Lines behind `after` in the order of writing; `since` and `until` are UTC epoch seconds, 0 is open.

        Raises InvalidRequest, StorageError.
        """
        if after < 0 or not (math.isfinite(since) and math.isfinite(until)):
            raise InvalidRequest("after, since and until are numbers from 0", param="after")
        return await self._repository.page(after, limit, since, until or _FOREVER)

    async def sums(self, step: str, by: str, since: float, until: float) -> tuple[LedgerSums, ...]:
        """Sums by step and name. Raises InvalidRequest for a name that is not offered, a span too long or one whose
        sums are gone by age; StorageError."""
        if by not in BY:
            raise InvalidRequest(f"by is one of {', '.join(BY)}", param="by")
        if step not in steps_of(by):
            raise InvalidRequest(f"step is one of {', '.join(steps_of(by))} for {by}", param="step")
        if not 0 <= until - since <= _MOST_STEPS * STEPS[step]:
            raise InvalidRequest(f"since and until are at most {_MOST_STEPS} steps apart", param="since")
        kept_since = await self._repository.kept_since(step, by)
        if since < min(kept_since, until):
            day = time.strftime("%Y-%m-%d", time.gmtime(kept_since))
            raise InvalidRequest(
                f"sums of each {step} by {by} are kept since {day}, those of each day longer", param="since"
            )
        return await self._repository.sums(step, by, since, until)

    def sweep(self) -> None:
        """Queues the end of some sums that are too old, when it is time; never waits."""
        now = self._clock.monotonic()
        if self._is_waiting or now < self._looks_at:
            return
        self._looks_at = now + _LOOK_S
        at = self._windows.times()[0]
        kept = self._runtime.current.config.storage
        ends = {("minute", by): at - kept.minute_sums_days * _DAY_S for by in BY if by != "session"}
        ends |= {("hour", by): at - kept.hour_sums_days * _DAY_S for by in BY if by != "session"}
        ends["hour", "session"] = at - kept.session_sums_days * _DAY_S
        ends["day", "session"] = at - kept.ledger_ttl_days * _DAY_S
        self._is_waiting = self._repository.prune_soon(ends, self._pruned)

    def _pruned(self, is_more: bool) -> None:
        """Runs in the writer's thread: single assignments."""
        if is_more:
            self._looks_at = 0.0
        self._is_waiting = False

    async def verify(self) -> Verdict:
        """Compares every sum and every window's counters with the lines. Reads all of them; raises StorageError."""
        sums, found = await self._repository.differences()
        windows, wrong = await self._windows.recount()
        return Verdict(
            sums,
            windows,
            (*found, *(Difference(f"window {name}", figures) for name, figures in wrong)),
        )
