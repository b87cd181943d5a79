"""How every deployment has been doing lately, and whether it may be called now: the circuit breakers.

The attempt loop reports outcomes, the router reads. One `HealthBook` lives as long as the engine and
carries its state over config reloads by deployment key. Its `version` rises whenever an answer of
`block` may have changed, so a decision made at a version holds as long as the version does.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from math import ceil, inf, isfinite

from atp_engine.config.models import HealthConfig
from atp_engine.core.ports import Rng
from atp_engine.core.types import AttemptOutcome
from atp_engine.routing.recent import RecentShare, RecentValues

FAILURES_TO_OPEN = 4
"""Consecutive failures that open a circuit."""
RATE_TO_OPEN = 0.5
SAMPLES_TO_OPEN = 20
"""A circuit also opens when at least half of at least twenty recent calls failed."""
LIMPING_SHARE = 0.05
"""Share of failures above which a deployment is called degraded."""
BASE_RATE_LIMIT_S = 1.0
MAX_COOLDOWN_S = 60.0
"""The longest rest that a vendor may ask for; what grows by itself ends at the config's."""
CALM_S = 120.0
"""After this long without opening again, the cooldown starts from its base."""
MAX_DEPLOYMENTS = 1_024

_OK, _CANCELLED, _RATE_LIMITED = AttemptOutcome.OK, AttemptOutcome.CANCELLED, AttemptOutcome.RATE_LIMITED
_FAILURES = frozenset(
    {
        AttemptOutcome.TIMEOUT,
        AttemptOutcome.UNREACHABLE,
        AttemptOutcome.OVERLOADED,
        AttemptOutcome.BAD_REPLY,
        AttemptOutcome.TRUNCATED,
        AttemptOutcome.AUTH_FAILED,
    }
)
"""Faults of the deployment. A refusal of the request itself proves that the server is alive."""


class DeploymentHealth:
    """One deployment's recent figures and its breaker; changed by the book only."""

    __slots__ = (
        "closed_at",
        "failures_in_a_row",
        "in_flight",
        "is_draining",
        "is_held_open",
        "is_open",
        "is_probing",
        "key",
        "last_error",
        "latency",
        "limit",
        "limits_in_a_row",
        "opened",
        "outcomes",
        "pace",
        "requests",
        "resting_until",
        "switch",
        "ttft",
        "waiting",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.requests = 0
        self.in_flight = 0
        self.limit = 0
        """Most calls in flight, 0 is none; set by who owns the slots."""
        self.waiting = 0
        """Requests that wait for a slot: while there are any, only who is granted one may call."""
        self.is_open = False
        self.is_probing = False
        self.is_held_open = False
        """An operator opened the circuit; only an operator closes it."""
        self.is_draining = False
        self.switch = ""
        """`on` or `off` by an operator, whatever the config says; empty leaves it to the config."""
        self.resting_until = 0.0
        """End of the cooldown, of an open circuit or after a rate limit."""
        self.opened = 0
        """Times opened since the last calm, the exponent of the cooldown."""
        self.closed_at = 0.0
        self.failures_in_a_row = 0
        self.limits_in_a_row = 0
        self.last_error = ""
        self.latency = RecentValues()
        self.ttft = RecentValues()
        self.outcomes = RecentShare(half_s=60.0)
        self.pace: float | None = None
        """Moving average of output tokens per second."""

    def circuit(self, now: float) -> str:
        """closed, open or half_open (the next call is a probe)."""
        if self.is_held_open:
            return "open"
        if not self.is_open:
            return "closed"
        return "half_open" if now >= self.resting_until else "open"

    def retry_in_s(self, now: float) -> float:
        """Seconds until it may be called again, 0 when it may now, infinity when an operator decides."""
        if self.is_shut():
            return inf
        return max(0.0, self.resting_until - now)

    def grade(self, now: float) -> str:
        """healthy, degraded, failing or unknown: one word for people."""
        if self.circuit(now) == "open":
            return "failing"
        share = self.outcomes.share(now)
        if share is not None and share >= RATE_TO_OPEN:
            return "failing"
        if self.is_open or now < self.resting_until or (share or 0.0) > LIMPING_SHARE:
            return "degraded"
        return "healthy" if self.requests else "unknown"

    def block(self, now: float) -> str:
        """Why it must not be called now, as a plain clause; empty when it may, or when it only has no slot."""
        if self.switch == "off":
            return "disabled by an operator"
        if self.is_draining:
            return "draining"
        if self.is_held_open:
            return "circuit held open by an operator"
        if now < self.resting_until:
            left = ceil(self.resting_until - now)
            return f"circuit open, {left} s left" if self.is_open else f"rate limited, {left} s left"
        if self.is_open and self.is_probing:
            return "circuit half-open, a probe is under way"
        return ""

    def is_clear(self, now: float) -> bool:
        """True when nothing at all stands against a call: the usual case, in one look."""
        return not (
            self.is_open or self.is_held_open or self.is_draining or self.switch == "off" or now < self.resting_until
        )

    def is_shut(self) -> bool:
        """True when an operator keeps calls away: then not even a last resort may call."""
        return self.is_draining or self.is_held_open or self.switch == "off"

    def is_rate_limited(self, now: float) -> bool:
        """True while it rests after a rate limit, which even a last resort must respect."""
        return not self.is_open and now < self.resting_until

    def is_full(self) -> bool:
        """True when no slot is free for a newcomer."""
        return 0 < self.limit <= self.in_flight or self.waiting > 0


class Lease:
    """One call in flight to a deployment, from `acquire` to `record`."""

    __slots__ = ("began_open", "health", "holds_probe", "is_settled")

    def __init__(self, health: DeploymentHealth, began_open: bool, holds_probe: bool) -> None:
        self.health = health
        self.began_open = began_open
        self.holds_probe = holds_probe
        self.is_settled = False


class HealthBook:
    """The health of all deployments, bounded to 1024; `rng` gives the jitter of cooldowns."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._rests = HealthConfig()
        self._known: dict[str, DeploymentHealth] = {}
        self.wake_at = inf
        """When the next cooldown ends, which changes the version."""
        self.version = 0
        self.forgotten = 0
        """Deployments dropped because the book was full."""

    def apply(self, config: HealthConfig) -> None:
        """Takes the cooldowns of a new config; one that has begun ends when it would have."""
        self._rests = config

    def get(self, key: str) -> DeploymentHealth | None:
        """The state of a deployment, None when nothing happened to it yet."""
        return self._known.get(key)

    def of(self, key: str) -> DeploymentHealth:
        """The state of a deployment, made when missing."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_DEPLOYMENTS:
                self._forget_one()
            found = self._known[key] = DeploymentHealth(key)
        return found

    def __iter__(self) -> Iterator[DeploymentHealth]:
        return iter(tuple(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def version_at(self, now: float) -> int:
        """The version after the cooldowns that ended by `now`."""
        if now >= self.wake_at:
            self.version += 1
            ends = (health.resting_until for health in self._known.values())
            self.wake_at = min((end for end in ends if end > now), default=inf)
        return self.version

    def is_callable(self, key: str, now: float) -> bool:
        """True when a call may start now (a probe, when the circuit is half-open)."""
        found = self._known.get(key)
        return found is None or not found.block(now)

    def is_enabled(self, key: str, *, is_stated: bool) -> bool:
        """Whether routes may choose it: as the config states, unless an operator has switched it."""
        found = self._known.get(key)
        if found is None or not found.switch:
            return is_stated
        return found.switch == "on"

    def acquire(self, key: str, now: float, *, is_last_resort: bool = False, is_granted: bool = False) -> Lease | None:
        """Counts a call in flight, as the probe when the circuit is half-open; pair with `record`.

        None when it must not be called: another call has the probe, the circuit opened meanwhile, no slot
        is free. With `is_last_resort` (the decision found every circuit open) a circuit does not refuse.
        `is_granted` passes those who wait: the caller speaks for the first of them.
        """
        health = self._known.get(key) or self.of(key)
        if not health.is_clear(now) and self.refusal(health, now, is_last_resort=is_last_resort):
            return None
        if 0 < health.limit <= health.in_flight or (health.waiting and not is_granted):
            return None
        holds_probe = health.is_open and not health.is_probing
        if holds_probe:
            health.is_probing = True
            self.version += 1
        health.in_flight += 1
        return Lease(health, health.is_open, holds_probe)

    def refusal(self, health: DeploymentHealth, now: float, *, is_last_resort: bool) -> str:
        """Why `acquire` refuses a call, empty when it does not or when only a slot is missing."""
        reason = health.block(now)
        if is_last_resort and not health.is_shut() and not health.is_rate_limited(now):
            return ""
        return reason

    def record(
        self,
        lease: Lease,
        outcome: AttemptOutcome,
        ttft_ms: float | None,
        duration_ms: float,
        now: float,
        retry_after_s: float | None = None,
        *,
        tokens_per_s: float | None = None,
        message: str = "",
    ) -> None:
        """Ends a call that `acquire` counted and judges it; a second time does nothing.

        `retry_after_s` is the vendor's wish, honoured up to 60 s. A rate limit is a cooldown, not a
        failure; a cancelled call says nothing of the deployment.
        """
        health = lease.health
        if lease.is_settled:
            return
        lease.is_settled = True
        if lease.holds_probe and health.is_probing:
            health.is_probing = False
            self.version += 1
        health.in_flight -= 1
        if outcome is _CANCELLED:
            return
        health.requests += 1
        if message:
            health.last_error = message
        if outcome is _OK:
            health.latency.add(duration_ms, now)
            if ttft_ms is not None:
                health.ttft.add(ttft_ms, now)
            if tokens_per_s is not None:
                pace = health.pace
                health.pace = tokens_per_s if pace is None else pace + 0.15 * (tokens_per_s - pace)
        if outcome is _RATE_LIMITED:
            self._alive(lease, now)
            self._rest_limited(health, now, retry_after_s)
            return
        is_failure = outcome is not _OK and outcome in _FAILURES
        health.outcomes.add(is_failure, now)
        if is_failure:
            self._failed(lease, outcome, now, retry_after_s)
            return
        health.limits_in_a_row = 0
        if health.is_open:
            self._alive(lease, now)
        else:
            health.failures_in_a_row = 0

    def open(self, key: str) -> None:
        """An operator takes the deployment out until `close`."""
        self.of(key).is_held_open = True
        self.version += 1

    def close(self, key: str) -> None:
        """An operator resets the circuit: closed, no cooldown, no drain, failures forgotten."""
        health = self.of(key)
        health.is_held_open = health.is_open = health.is_probing = health.is_draining = False
        health.failures_in_a_row = health.limits_in_a_row = health.opened = 0
        health.resting_until = 0.0
        health.outcomes.clear()
        self.version += 1

    def let_try(self, key: str, now: float) -> None:
        """The deployment answers again: the rest of an open circuit ends, and the next request is the probe."""
        health = self._known.get(key)
        if health is not None and health.is_open and now < health.resting_until:
            health.resting_until = now
            self.version += 1

    def drain(self, key: str) -> None:
        """No new calls until `close`; those in flight go on."""
        self.of(key).is_draining = True
        self.version += 1

    def switch(self, key: str, state: str) -> None:
        """An operator turns the deployment `on` or `off`, whatever the config says."""
        self.of(key).switch = state
        self.version += 1

    def carry_over(self, keys: Container[str]) -> tuple[str, ...]:
        """Forgets the deployments that `keys` (a set, or the new table) does not hold and that have no
        call in flight; returns them."""
        gone = tuple(
            key
            for key, health in self._known.items()
            if key not in keys and not health.in_flight and not health.waiting
        )
        for key in gone:
            del self._known[key]
        self.version += 1
        return gone

    def _failed(self, lease: Lease, outcome: AttemptOutcome, now: float, wish_s: float | None) -> None:
        health = lease.health
        health.failures_in_a_row += 1
        if health.is_open:
            if lease.holds_probe or (lease.began_open and now >= health.resting_until):
                self._trip(health, now, wish_s)
            return
        share = health.outcomes.share(now) or 0.0
        is_rate_bad = share >= RATE_TO_OPEN and health.outcomes.count(now) >= SAMPLES_TO_OPEN
        is_over = health.failures_in_a_row >= FAILURES_TO_OPEN or is_rate_bad
        if is_over or outcome is AttemptOutcome.AUTH_FAILED:
            self._trip(health, now, wish_s)

    def _trip(self, health: DeploymentHealth, now: float, wish_s: float | None) -> None:
        if not health.is_open and now - health.closed_at > CALM_S:
            health.opened = 0
        health.is_open = True
        self._rest(health, now + self._cooldown(self._rests.cooldown_s, health.opened, wish_s))
        health.opened += 1

    def _alive(self, lease: Lease, now: float) -> None:
        """A call that began while the circuit was open closes it; an older one only counts."""
        health = lease.health
        if not health.is_open:
            health.failures_in_a_row = 0
        elif lease.began_open:
            health.failures_in_a_row = 0
            health.is_open = health.is_probing = False
            health.resting_until = 0.0
            health.closed_at = now
            health.outcomes.clear()
            self.version += 1

    def _rest_limited(self, health: DeploymentHealth, now: float, wish_s: float | None) -> None:
        """Calls that were sent before the first refusal came back lengthen the rest only by a wish."""
        is_first = now >= health.resting_until
        if not is_first and wish_s is None:
            return
        until = now + self._cooldown(BASE_RATE_LIMIT_S, health.limits_in_a_row, wish_s)
        health.limits_in_a_row += is_first
        if until > health.resting_until:
            self._rest(health, until)

    def _cooldown(self, base_s: float, exponent: int, wish_s: float | None) -> float:
        """The vendor's wish plus up to a tenth, at most 60 s; else base x 2^n less up to a fifth, up to the
        config's longest."""
        chance = self._rng.random()
        if wish_s is not None and isfinite(wish_s) and wish_s > 0:
            return min(MAX_COOLDOWN_S, wish_s * (1.0 + 0.1 * chance))
        most_s = max(self._rests.max_cooldown_s, base_s)
        return float(min(most_s, base_s * 2.0 ** min(exponent, 10)) * (1.0 - 0.2 * chance))

    def _rest(self, health: DeploymentHealth, until: float) -> None:
        health.resting_until = until
        self.wake_at = min(self.wake_at, until)
        self.version += 1

    def _forget_one(self) -> None:
        """Drops the oldest idle entry that carries no verdict, else the oldest idle one, else the oldest."""
        entries = self._known.values()
        idle = [health for health in entries if not health.in_flight and not health.waiting]
        calm = [health for health in idle if not (health.is_open or health.is_shut())]
        victim = next(iter(calm or idle or list(entries)))
        del self._known[victim.key]
        self.forgotten += 1
        self.version += 1
