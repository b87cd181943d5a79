"""Windows on a database of their own, and requests that spend in them as the walk does, without upstreams.

async with budget(tmp_path, TOML) as desk:
    await desk.spend(tokens=50)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from atp_engine.bus import EventBus
from atp_engine.config.load import parse
from atp_engine.core.pricing import cost_of
from atp_engine.core.types import AttemptRecord, Caller, RequestFacts, RouteDecision, TokenUsage
from atp_engine.core.window_views import WindowView
from atp_engine.providers.aiohttp_transport import AiohttpTransport
from atp_engine.providers.registry import kinds
from atp_engine.routing.health import HealthBook
from atp_engine.routing.router import Router
from atp_engine.services.assembly import Assembly
from atp_engine.services.window_leases import Leases
from atp_engine.services.windows import Windows
from atp_engine.services.windows_spending import Spending
from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.windows import WindowRepository
from tests.support.manual_clock import ManualClock
from tests.support.records import DECISION, a_record, an_attempt

TARGETS = """
[providers.sim]
kind = "simulated"

[deployments.cheap]
provider = "sim"
model = "sim-instant"
price = { input = 1, output = 1 }

[deployments.dear]
provider = "sim"
model = "sim-fast"
price = { input = 10, output = 10 }

[routes.auto]
deployments = ["dear", "cheap"]

[routes.plain]
deployments = ["cheap"]
"""
"""A token of `cheap` costs 1000 nano-dollars, one of `dear` ten times that."""
ALICE = Caller("key_alice", "alice", project="web")


def facts(prompt: int = 0, output: int = 100) -> RequestFacts:
    """A call that says how long its answer may be."""
    return RequestFacts("auto", False, False, False, False, False, False, output, prompt * 4, prompt, 1, "", b"")


class Desk:
    """One life of the windows on a database; `crash` ends it as a kill would."""

    def __init__(self, folder: Path, toml: str, clock: ManualClock, wait_s: float) -> None:
        self.clock = clock
        self.bus = EventBus()
        self.database = Database.open(folder / "atp.db", clock, wait_s=wait_s)
        self.requests = RequestRepository(self.database)
        self.callers = {ALICE.key_id: ALICE}
        self._assembly = Assembly(clock, AiohttpTransport)
        self.config = parse(TARGETS + toml, folder / "atp.toml", kinds()).config
        self.runtime = self._assembly.build(self.config, 1, {})
        self.leases = Leases(WindowRepository(self.database), self.requests, clock)
        self.windows = Windows(self.config, self.leases, self.requests, clock, self.bus, self.callers.get)
        self._numbers = count(self.requests.number + 1)
        self._health = HealthBook(_Fixed())
        self._router = Router()

    def apply(self, toml: str) -> None:
        """Another config goes live."""
        self.config = parse(TARGETS + toml, Path("atp.toml"), kinds()).config
        self.runtime = self._assembly.build(self.config, self.runtime.version + 1, {})
        self.windows.apply(self.config)

    async def enter(
        self, tokens: int = 100, *, route: str = "plain", caller: Caller = ALICE, session: str = "s-1", prompt: int = 0
    ) -> Spending | None:
        """A request at the door that may use `tokens`."""
        self.callers.setdefault(caller.key_id, caller)
        found = self.runtime.table.resolve(route)
        assert found is not None
        return await self.windows.enter(self.runtime, found, facts(prompt, tokens), caller, session)

    def decide(self, spending: Spending, route: str = "auto", **wants: Any) -> RouteDecision:
        """The decision for it, as windows leave it."""
        found = self.runtime.table.resolve(route)
        assert found is not None
        decision = self._router.decide(
            found, facts(), self._health, self.runtime.version, self.clock.monotonic(), _Fixed()
        )
        return spending.restrict(decision)

    def attempt(self, used: int, deployment: str = "cheap") -> AttemptRecord:
        """A finished attempt that used so many tokens."""
        usage = TokenUsage(output_tokens=used)
        cost = cost_of(self.runtime.table.price(self.runtime.table.deployments[deployment]), usage)
        return an_attempt(usage=usage, deployment=deployment, cost_nusd=cost.nusd, price_state=cost.state)

    async def finish(
        self,
        spending: Spending | None,
        *attempts: AttemptRecord,
        route: str = "plain",
        caller: Caller = ALICE,
        session: str = "s-1",
    ) -> None:
        """Writes its ledger lines and releases it."""
        started_at = self.clock.now() - 1.0
        number = next(self._numbers)
        record = a_record(f"req_{number:012x}", started_at=started_at, route=route, session_id=session)
        lines = tuple(
            msgspec.structs.replace(line, number=place, started_ms=0.0, duration_ms=1_000.0)
            for place, line in enumerate(attempts, start=1)
        )
        record = msgspec.structs.replace(record, key_id=caller.key_id, attempts=lines, decision=DECISION)
        if spending is not None:
            spending.post()
        try:
            await self.requests.add_durably(record)
        finally:
            if spending is not None:
                spending.release()

    async def spend(self, used: int, *, reserve: int | None = None, route: str = "plain", **who: Any) -> None:
        """A whole request: entered, one attempt, settled, recorded, released."""
        spending = await self.enter(used if reserve is None else reserve, route=route, **who)
        record = self.attempt(used)
        if spending is not None:
            assert not await spending.begin(self.runtime.table.deployments["cheap"])
            spending.settle(record)
        await self.finish(spending, record, route=route, **who)

    def view(self, name: str, subject: str = "") -> WindowView:
        """One window as faces see it."""
        return next(
            view for view in self.windows.views() if view.name == name and (not subject or view.subject == subject)
        )

    async def crash(self) -> None:
        """Ends without giving anything back; what was handed to the disk arrives."""
        await self._assembly.aclose()
        await self.database.aclose()

    async def aclose(self) -> None:
        """Ends in an orderly way."""
        await self.windows.aclose()
        await self.crash()


class _Fixed:
    def random(self) -> float:
        """Always the same."""
        return 0.5


@asynccontextmanager
async def budget(
    folder: Path,
    toml: str,
    clock: ManualClock | None = None,
    *,
    wait_s: float = 2.0,
    is_killed: bool = False,
    before: Callable[[Desk], None] = lambda desk: None,
) -> AsyncIterator[Desk]:
    """A desk with its counts restored; ended in an orderly way unless `is_killed`."""
    desk = Desk(folder, toml, clock or ManualClock(), wait_s)
    before(desk)
    await desk.windows.start()
    try:
        yield desk
    finally:
        await (desk.crash() if is_killed else desk.aclose())


async def gather(*spending: Any) -> list[Any]:
    """Runs them side by side and returns results and errors alike."""
    return list(await asyncio.gather(*spending, return_exceptions=True))
