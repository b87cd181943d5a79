"""Is it alive, can it work, what is it: `/livez`, `/readyz`, `/healthz`, and `/metrics`.

Liveness depends on nothing. Readiness asks every named dependency at once and answers within
100 ms whatever they do. The texts are public: plain words, no addresses, no exceptions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from atp_engine.api.auth import Call
from atp_engine.api.guard import SHARED_HEADERS
from atp_engine.core.text import safe_text
from atp_engine.core.views import EngineView

log = logging.getLogger(__name__)

_PATIENCE_S = 0.08
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Probe = Callable[[], Awaitable[str]]
"""Says what is wrong with a dependency in plain words, or nothing when it works. Words that begin with
`warning` tell of something that keeps nobody from being served."""


class Health:
    """The four endpoints."""

    def __init__(
        self,
        *,
        probes: Mapping[str, Probe],
        facts: Mapping[str, str],
        status: Callable[[], EngineView],
        metrics_text: Callable[[], str],
    ) -> None:
        """`probes` by name (`database`, `config`, `providers`); `facts` go into `/healthz` verbatim,
        among them `sqlite_version`; `metrics_text` gives the text exposition."""
        self._probes = probes
        self._facts = facts
        self._status = status
        self._metrics_text = metrics_text
        self._failing: set[str] = set()

    async def livez(self, call: Call) -> Response:
        """200 as long as the loop turns."""
        return _answer(200, {"status": "ok"})

    async def readyz(self, call: Call) -> Response:
        """200 when every dependency works, else 503; each is named with what is wrong."""
        checks = await self._check()
        is_ready = all(check == "ok" or check.startswith("warning") for check in checks.values())
        return _answer(200 if is_ready else 503, {"status": "ok" if is_ready else "unavailable", "checks": checks})

    async def healthz(self, call: Call) -> Response:
        """A summary for people and monitors: 200 even when degraded, because the process answers."""
        checks = await self._check()
        engine = self._status()
        is_well = all(check == "ok" for check in checks.values())
        summary = {
            "status": "ok" if is_well else "degraded",
            "version": engine.version,
            "uptime_s": round(engine.uptime_s, 1),
            "in_flight": engine.in_flight,
            "config_version": engine.config_version,
            "config_problems": len(engine.config_problems),
            "checks": checks,
            **self._facts,
        }
        return _answer(200, summary)

    async def metrics(self, call: Call) -> Response:
        """The text exposition for scrapers."""
        headers = {**SHARED_HEADERS, "content-type": _METRICS_TYPE, "cache-control": "no-store"}
        return Response(self._metrics_text(), headers=headers)

    async def _check(self) -> dict[str, str]:
        if not self._probes:
            return {}
        asked = {
            name: asyncio.create_task(self._ask(name, probe), name=f"health-probe-{name}")
            for name, probe in self._probes.items()
        }
        _, late = await asyncio.wait(asked.values(), timeout=_PATIENCE_S)
        for task in late:
            task.cancel()
        return {name: "no answer in time" if task in late else task.result() for name, task in asked.items()}

    async def _ask(self, name: str, probe: Probe) -> str:
        """The boundary around a dependency: whatever it raises means that it does not work."""
        try:
            said = safe_text(await probe(), limit=200) or "ok"
        except Exception:
            if name not in self._failing:  # Once per failure, not once per scrape.
                log.exception("the readiness probe of %s failed", name)
            self._failing.add(name)
            return "failed"
        self._failing.discard(name)
        return said


def _answer(status: int, content: dict[str, Any]) -> Response:
    headers = {**SHARED_HEADERS, "content-type": "application/json", "cache-control": "no-store"}
    return Response(msgspec.json.encode(content), status, headers)
