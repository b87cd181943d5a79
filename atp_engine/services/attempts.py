"""The attempts of one request: run the ranked deployments, judge failures by class, retry or fail over.

`completions` asks it to decide and then to run. The last bytes of the answer come back unsent, so that the
ledger line is safe before the client has the whole. After the first content a failure is raised and
never papered over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from atp_engine.core.errors import NoRoute, UpstreamError, UpstreamRateLimited, UpstreamTimeout, let_go
from atp_engine.core.ports import Clock, Rng
from atp_engine.core.types import AttemptOutcome, DeploymentSpec, RequestFacts, RouteDecision
from atp_engine.limits.retry import MAX_WAIT_S, NextStep, RetryBudgets, Step, next_step
from atp_engine.routing.health import HealthBook, Lease
from atp_engine.routing.router import Router
from atp_engine.routing.table import Route
from atp_engine.services.attempt import Attempt, Job
from atp_engine.services.live import LiveRequests
from atp_engine.services.outcomes import outcome_of
from atp_engine.services.runtime import Runtime

_MAX_ORDERS = 1024
_OK = AttemptOutcome.OK
_TIMER_SLACK_S = 0.005
"""The loop's timers have milliseconds and may be early by one."""


class Attempts:
    """Runs a decision until one deployment delivers."""

    def __init__(
        self,
        clock: Clock,
        rng: Rng,
        router: Router,
        health: HealthBook,
        requests: LiveRequests,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._router = router
        self._health = health
        self._requests = requests
        self._sleep = sleep
        self._budgets = RetryBudgets()
        self._orders: dict[str, list[DeploymentSpec]] = {}

    def decide(self, runtime: Runtime, route: Route, facts: RequestFacts) -> RouteDecision:
        """Which deployments `run` will try for these facts, in order, and why; calls nothing."""
        return self._router.decide(route, facts, self._health, runtime.version, self._clock.monotonic(), self._rng)

    async def run(self, job: Job, decision: RouteDecision) -> tuple[Attempt, bytes]:
        """The attempt that delivered, its answer sent up to the returned last bytes.

        Raises the last UpstreamError when every step failed, NoRoute when no deployment could be called
        at all. Cancelling closes the upstream connection and settles the attempt as cancelled.
        """
        ranked = self._orders.get(decision.id) or self._order(job.route, decision)
        rank = tries_here = 0
        refused: dict[str, str] = {}
        failed: UpstreamError | None = None
        while rank < len(ranked):
            spec = ranked[rank]
            lease = self._health.acquire(spec.key, self._clock.monotonic(), is_last_resort=decision.is_last_resort)
            if lease is None:
                refused[spec.key] = self._health.of(spec.key).block(self._clock.monotonic())
                rank, tries_here = rank + 1, 0
                continue
            has_other = rank + 1 < len(ranked)
            attempt = self._begin(job, spec, lease, has_other, is_retry=tries_here > 0)
            tries_here += 1
            try:
                last = await attempt.run()
            except UpstreamError as error:
                failed = error
                self._fail(job, attempt, lease, error)
                step = self._step(job, spec, error, tries_here, has_other)
                following = _following(ranked, rank, step.step)
                if following is None:
                    raise
            except BaseException as error:
                reason = "cancelled" if isinstance(error, asyncio.CancelledError) else "the request cannot be carried"
                self._settle(job, attempt, lease, AttemptOutcome.CANCELLED, reason)
                raise
            else:
                self._settle(job, attempt, lease, _OK, "")
                return attempt, last
            if following != rank:
                rank, tries_here = following, 0
            elif step.wait_s:
                await self._sleep(self._wait_s(spec, failed, step.wait_s))
        if failed is not None:
            raise failed
        raise NoRoute("no deployment of the route may be called right now", reasons=refused)

    def _wait_s(self, spec: DeploymentSpec, error: UpstreamError, wait_s: float) -> float:
        """Seconds before the same deployment is asked again: after a rate limit until its rest is over."""
        if not isinstance(error, UpstreamRateLimited):
            return wait_s
        rest_s = self._health.of(spec.key).retry_in_s(self._clock.monotonic()) + _TIMER_SLACK_S
        return max(wait_s, rest_s) if rest_s <= MAX_WAIT_S else wait_s

    def _order(self, route: Route, decision: RouteDecision) -> list[DeploymentSpec]:
        """The deployments to try; kept by decision, which names its config."""
        known = {spec.key: spec for spec in route.deployments}
        ranked = [known[candidate.deployment] for candidate in decision.ranked]
        if len(self._orders) >= _MAX_ORDERS:
            self._orders.clear()
        self._orders[decision.id] = ranked
        return ranked

    def _begin(self, job: Job, spec: DeploymentSpec, lease: Lease, has_other: bool, *, is_retry: bool) -> Attempt:
        p95_ms = lease.health.ttft.percentile(0.95, self._clock.monotonic()) if has_other else None
        p95_s = (p95_ms or 0.0) / 1000.0
        attempt = Attempt(job, spec, self._requests, self._clock, has_other, p95_s, is_retry=is_retry)
        self._budgets.called(spec.key)
        live = job.live
        live.served = spec
        live.tries += 1
        self._requests.announce(live)
        return attempt

    def _step(self, job: Job, spec: DeploymentSpec, error: UpstreamError, tries_here: int, has_other: bool) -> NextStep:
        if job.sink.is_open or job.live.tries >= job.runtime.config.limits.max_attempts:
            return NextStep(Step.STOP)
        step = next_step(
            error,
            tries_here=tries_here,
            has_other=has_other,
            may_retry=self._budgets.has_room(spec.key),
            chance=self._rng.random(),
        )
        if step.step is Step.HERE:
            self._budgets.retried(spec.key)
        return step

    def _fail(self, job: Job, attempt: Attempt, lease: Lease, error: UpstreamError) -> None:
        error.provider = attempt.spec.provider
        error.deployment = attempt.spec.key
        error.attempt = job.live.tries
        if isinstance(error, UpstreamTimeout):
            error.public_message += f" ({attempt.limit_text(error.limit)})"
        outcome = AttemptOutcome.TRUNCATED if job.sink.is_open else outcome_of(error)
        self._settle(job, attempt, lease, outcome, error.public_message, error.retry_after_s)
        let_go(error)

    def _settle(
        self,
        job: Job,
        attempt: Attempt,
        lease: Lease,
        outcome: AttemptOutcome,
        message: str,
        retry_after_s: float | None = None,
    ) -> None:
        """Writes the attempt's line and ends its lease."""
        live = job.live
        record = attempt.record(outcome, message)
        live.attempts.append(record)
        pace = live.tokens_per_s(record.usage.output_tokens, live.last_content_at) if live.first_content_at else None
        self._health.record(
            lease,
            outcome,
            attempt.ttft_ms,
            record.duration_ms,
            self._clock.monotonic(),
            retry_after_s,
            tokens_per_s=pace,
            message=message,
        )


def _following(ranked: list[DeploymentSpec], rank: int, step: Step) -> int | None:
    """Index of the next deployment to call, None when the error stands."""
    if step is Step.STOP:
        return None
    if step is Step.HERE:
        return rank
    if step is Step.NEXT:
        return rank + 1 if rank + 1 < len(ranked) else None
    had = ranked[rank].context_tokens
    for index in range(rank + 1, len(ranked)):
        has = ranked[index].context_tokens
        if not had or not has or has > had:
            return index
    return None
