"""The engine's present configuration, compiled: one snapshot behind one reference.

`engine.apply` builds a `Runtime` and swaps it; a request reads the reference once and keeps what it
read until its end. Nothing in a runtime changes after it was built (the memo of limits aside).
"""

from __future__ import annotations

import msgspec

from atp_engine.config.models import Config
from atp_engine.core.types import DeploymentSpec
from atp_engine.providers.provider import Provider
from atp_engine.routing.table import RoutingTable


class Timeouts(msgspec.Struct, frozen=True):
    """The limits of one upstream call in seconds, 0 is off."""

    connect_s: float
    ttft_s: float
    idle_s: float
    total_s: float
    is_ttft_set: bool
    """Somebody set the first-token limit for this route, provider or deployment: it then binds plain
    answers too and is not stretched."""


class Runtime:
    """A configuration ready to serve."""

    __slots__ = ("_timeouts", "config", "providers", "table", "version")

    def __init__(self, config: Config, version: int, table: RoutingTable, providers: dict[str, Provider]) -> None:
        self.config = config
        self.version = version
        self.table = table
        self.providers = providers
        self._timeouts: dict[tuple[str, str], Timeouts] = {}

    def timeouts(self, route: str, deployment: DeploymentSpec) -> Timeouts:
        """The limits for a call: deployment over provider over route over the general ones."""
        key = (route, deployment.key)
        found = self._timeouts.get(key)
        if found is None:
            if len(self._timeouts) >= 4096:  # names made on demand from model patterns have no end
                self._timeouts.clear()
            found = self._timeouts[key] = self._layered(route, deployment)
        return found

    def _layered(self, route: str, deployment: DeploymentSpec) -> Timeouts:
        config = self.config
        owners = (
            config.deployments.get(deployment.key),
            config.providers.get(deployment.provider),
            config.routes.get(route),
        )
        layers = [owner.timeouts for owner in owners if owner is not None]
        general = config.timeouts
        ttft_s = _first_set([layer.ttft_s for layer in layers])
        return Timeouts(
            connect_s=_or(_first_set([layer.connect_s for layer in layers]), general.connect_s),
            ttft_s=_or(ttft_s, general.ttft_s),
            idle_s=_or(_first_set([layer.idle_s for layer in layers]), general.idle_s),
            total_s=_or(_first_set([layer.total_s for layer in layers]), general.total_s),
            is_ttft_set=ttft_s is not None,
        )


def _first_set(values: list[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _or(value: float | None, general: float) -> float:
    return general if value is None else value


class RuntimeRef:
    """The one mutable reference to the current `Runtime`."""

    __slots__ = ("current",)

    def __init__(self, runtime: Runtime) -> None:
        self.current = runtime
