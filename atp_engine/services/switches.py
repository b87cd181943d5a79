"""What an operator does to a deployment: open, close, drain, enable, disable, probe.

`api/admin_deployments` calls it. Every act is audited and announced; its effect stays with the deployment's
key over config reloads and ends with the engine's process.
"""

from __future__ import annotations

from collections.abc import Callable

from atp_engine.core.deployment_views import ProbeReply
from atp_engine.core.errors import UpstreamError
from atp_engine.core.ports import Clock
from atp_engine.core.types import DeploymentSpec
from atp_engine.core.views import DeploymentView
from atp_engine.providers.provider import ModelLister
from atp_engine.routing.health import HealthBook
from atp_engine.services.deployments import Deployments
from atp_engine.services.runtime import RuntimeRef
from atp_engine.services.slots import Slots

Note = Callable[[str, str, str, str], None]
"""Adds an audit entry: actor, action, target, detail."""
_SAID = {
    "open": "holds the circuit open",
    "close": "closed the circuit and ended every rest and drain",
    "drain": "drains it: no new calls, those in flight go on",
    "enable": "enabled it",
    "disable": "disabled it",
}


class Switches:
    """The acting side of the deployments."""

    def __init__(
        self,
        runtime: RuntimeRef,
        health: HealthBook,
        slots: Slots,
        deployments: Deployments,
        note: Note,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._health = health
        self._slots = slots
        self._deployments = deployments
        self._note = note
        self._clock = clock

    def act(self, key: str, act: str, by: str) -> DeploymentView | None:
        """Does one of `ACTS`; None when there is no such deployment."""
        spec = self._deployments.spec(key)
        if spec is None:
            return None
        health = self._health
        match act:
            case "open":
                health.open(key)
            case "close":
                health.close(key)
            case "drain":
                health.drain(key)
            case "enable":
                health.switch(key, "" if spec.is_enabled else "on")
            case _:
                health.switch(key, "off")
        self._slots.advance(health.of(key))
        self._tell(key, act, by, f"{by} {_SAID[act]}")
        return self._deployments.view(spec)

    async def probe(self, key: str, by: str) -> ProbeReply | None:
        """Asks the vendor's free model list; None when there is no such deployment.

        An answer ends the rest of an open circuit, so that the next request is tried; a failure changes
        nothing, since no request has failed.
        """
        spec = self._deployments.spec(key)
        if spec is None:
            return None
        provider: object = self._runtime.current.providers.get(spec.provider)
        began = self._clock.monotonic()
        names: list[str] = []
        error = ""
        if isinstance(provider, ModelLister):
            try:
                names = await provider.models()
            except UpstreamError as fault:
                error = fault.public_message
        duration_ms = (self._clock.monotonic() - began) * 1000.0
        has_list = bool(names or error)
        is_ok = bool(names)
        if is_ok:
            self._health.let_try(key, self._clock.monotonic())
            self._slots.advance(self._health.of(key))
        message = _told(spec, names, error)
        self._tell(key, "probe", by, message)
        return ProbeReply(
            deployment=self._deployments.view(spec),
            has_list=has_list,
            is_ok=is_ok,
            duration_ms=duration_ms,
            is_listed=spec.model in names if is_ok else None,
            message=message,
        )

    def _tell(self, key: str, act: str, by: str, text: str) -> None:
        self._note(by, f"deployment.{act}", key, text)
        self._deployments.tell(f"deployment_{act}", f"{key}: {text}")


def _told(spec: DeploymentSpec, names: list[str], error: str) -> str:
    if error:
        return f"the model list of {spec.provider} did not come: {error}"
    if not names:
        return f"{spec.provider} has no free model list, so nothing was called"
    if spec.model in names:
        return f"{spec.provider} answers and lists {spec.model}"
    return f"{spec.provider} answers; {spec.model} is not among the {len(names)} models it lists"
