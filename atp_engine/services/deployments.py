"""Deployments as people see them: what the config says, how they do, what they cost.

`observatory` lists them; the ticker announces those that changed while somebody listens.
"""

from __future__ import annotations

from atp_engine.bus import EventBus
from atp_engine.core.events import DeploymentChanged, DeploymentRemoved, Notice
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import NANO_PER_USD
from atp_engine.core.types import DeploymentSpec
from atp_engine.core.views import DeploymentView
from atp_engine.limits.gate import UNLIMITED
from atp_engine.metrics.catalog import Catalog
from atp_engine.routing.health import HealthBook
from atp_engine.services.estimates import Estimates
from atp_engine.services.runtime import RuntimeRef
from atp_engine.services.slots import Slots

_CIRCUITS = {"closed": 0, "half_open": 1, "open": 2}
_LONGEST_S = 1e9
"""Shown for a circuit that only an operator closes; infinity is not JSON."""


class Deployments:
    """Builds `DeploymentView`s."""

    def __init__(
        self, runtime: RuntimeRef, health: HealthBook, slots: Slots, estimates: Estimates, clock: Clock, bus: EventBus
    ) -> None:
        self._runtime = runtime
        self._slots = slots
        self._estimates = estimates
        self._health = health
        self._clock = clock
        self._bus = bus
        self._announced: dict[str, DeploymentView] = {}

    def views(self) -> tuple[DeploymentView, ...]:
        """All configured deployments in the config's order, then those made from model patterns that
        have been called."""
        table = self._runtime.current.table
        specs = list(table.deployments.values())
        known = set(table.deployments)
        for health in self._health:
            if health.key not in known and health.requests + health.in_flight:
                route = table.resolve(health.key)
                if route is not None:
                    specs.extend(spec for spec in route.deployments if spec.key == health.key)
        queued = self._slots.queued()
        return tuple(self._view(spec, queued.get(spec.key, 0)) for spec in specs)

    def spec(self, key: str) -> DeploymentSpec | None:
        """A configured deployment, or one made from a model pattern that has been called; None is unknown."""
        table = self._runtime.current.table
        spec = table.deployments.get(key)
        if spec is not None or self._health.get(key) is None:
            return spec
        route = table.resolve(key)
        return next((spec for spec in route.deployments if spec.key == key), None) if route is not None else None

    def view(self, spec: DeploymentSpec) -> DeploymentView:
        """One deployment with its live state."""
        return self._view(spec, self._slots.queued().get(spec.key, 0))

    def announce_changes(self) -> None:
        """Tells listeners which rows changed since the last tick."""
        if not self._bus.has_listeners:
            self._announced.clear()
            return
        views = {view.key: view for view in self.views()}
        for key in self._announced.keys() - views.keys():
            self._bus.publish(lambda seq, key=key: DeploymentRemoved(seq, key))  # type: ignore[misc]
        for key, view in views.items():
            if self._announced.get(key) != view:
                self._bus.publish(lambda seq, view=view: DeploymentChanged(seq, view))  # type: ignore[misc]
        self._announced = views

    def tell(self, code: str, text: str) -> None:
        """Tells listeners that somebody acted on a deployment, and what became of it."""
        at = self._clock.now()
        self._bus.publish(lambda seq: Notice(seq, at, "info", code, text))
        self.announce_changes()

    def set_gauges(self, catalog: Catalog) -> None:
        """The gauges of every deployment known to the health book, and of the queues."""
        now = self._clock.monotonic()
        queued = self._slots.queued()
        for health in self._health:
            catalog.circuit_state.child(health.key).set(_CIRCUITS[health.circuit(now)])
            catalog.deployment_in_flight.child(health.key).set(health.in_flight)
            catalog.deployment_limit.child(health.key).set(health.limit if health.limit < UNLIMITED else 0)
            catalog.deployment_queue.child(health.key).set(queued.get(health.key, 0))
        for qos, count in self._slots.waiting_by_class().items():
            catalog.queue_depth.child(qos).set(count)

    def _view(self, spec: DeploymentSpec, queued: int) -> DeploymentView:
        now = self._clock.monotonic()
        table = self._runtime.current.table
        health = self._health.of(spec.key)
        price = table.price(spec)
        per_million = 1.0 / NANO_PER_USD
        return DeploymentView(
            key=spec.key,
            provider=spec.provider,
            model=spec.model,
            health=health.grade(now),
            circuit=health.circuit(now),
            retry_in_s=min(_LONGEST_S, round(health.retry_in_s(now), 1)),
            in_flight=health.in_flight,
            requests=health.requests,
            error_rate=health.outcomes.share(now),
            p50_ms=health.latency.percentile(0.5, now),
            p95_ms=health.latency.percentile(0.95, now),
            ttft_p95_ms=health.ttft.percentile(0.95, now),
            tokens_per_s=health.pace,
            input_usd=None if price is None else price.input_nusd * per_million,
            output_usd=None if price is None else price.output_nusd * per_million,
            price_source="" if price is None else price.source,
            context_tokens=spec.context_tokens,
            is_local=spec.is_local,
            last_error=health.last_error,
            routes=table.routes_of(spec.key),
            limit=health.limit if health.limit < UNLIMITED else 0,
            queued=queued,
            is_enabled=self._health.is_enabled(spec.key, is_stated=spec.is_enabled),
            is_draining=health.is_draining,
            is_held_open=health.is_held_open,
            block=health.block(now),
            estimate_error=self._estimates.error(spec.key),
        )
