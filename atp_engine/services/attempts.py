"""The attempts of one request: run the ranked deployments, judge failures by class, retry or fail over.

`completions` asks it to decide and then to run. The last bytes of the answer come back unsent, so that the
ledger line is safe before the client has the whole. After the first content a failure is raised and
never papered over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import msgspec

from atp_engine.core.errors import (
    AdmissionError,
    NoRoute,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    let_go,
)
from atp_engine.core.ports import Clock, Rng
from atp_engine.core.types import AttemptOutcome, DeploymentSpec, RequestFacts, RequestState, RouteDecision
from atp_engine.dialects.retold import Retold
from atp_engine.limits.retry import MAX_WAIT_S, NextStep, RetryBudgets, Step, next_step
from atp_engine.routing.health import HealthBook, Lease
from atp_engine.routing.router import Router, renamed
from atp_engine.routing.table import Route
from atp_engine.services.attempt import Attempt, Job
from atp_engine.services.live import LiveRequest, LiveRequests
from atp_engine.services.outcomes import outcome_of
from atp_engine.services.runtime import Runtime
from atp_engine.services.slots import TIMER_SLACK_S, Slots

_MAX_ORDERS = 1024
_OK = AttemptOutcome.OK


class _Found(NamedTuple):
    """The rank to go on with, and the slot there when the request has waited for it."""

    rank: int
    lease: Lease | None


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
        slots: Slots,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._router = router
        self._health = health
        self._requests = requests
        self._sleep = sleep
        self._slots = slots
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
        is_last_resort = decision.is_last_resort
        rank = tries_here = 0
        failed: UpstreamError | None = None
        spending = job.live.spending
        while rank < len(ranked):
            spec = ranked[rank]
            if spending is not None and await spending.begin(spec):
                rank, tries_here = rank + 1, 0
                continue
            lease = self._health.acquire(spec.key, self._clock.monotonic(), is_last_resort=is_last_resort)
            if lease is None:
                found = await self._without_slot(job, ranked, rank, failed, is_last_resort=is_last_resort)
                if found.rank == len(ranked) and failed is None and not is_last_resort:
                    ranked, rank, is_last_resort = self._least_bad(job, ranked), 0, True
                    continue
                tries_here = tries_here if found.rank == rank else 0
                rank, lease = found
                if lease is None:
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
                self._broken_off(job, attempt, lease, error)
                raise
            else:
                self._settle(job, attempt, lease, _OK, "")
                return attempt, last
            if following != rank:
                rank, tries_here = following, 0
            elif step.wait_s:
                await self._sleep(self._wait_s(spec, failed, step.wait_s))
        raise failed or self._nothing_left(job)

    def _nothing_left(self, job: Job) -> NoRoute:
        """Why nothing was called at all; raises WindowExceeded when it was a window that held everything back."""
        if job.live.spending is not None:
            job.live.spending.refuse()
        reasons = self._blocks(job.route.deployments)
        return NoRoute("no deployment of the route may be called right now", reasons=reasons)

    async def _without_slot(
        self,
        job: Job,
        ranked: list[DeploymentSpec],
        rank: int,
        failed: UpstreamError | None,
        *,
        is_last_resort: bool,
    ) -> _Found:
        """Where to go on when `ranked[rank]` gave no lease: another rank, or here after a wait for a slot.

        Raises AdmissionError when there was no slot in time and no other deployment is left, or what
        failed before.
        """
        now = self._clock.monotonic()
        spec = ranked[rank]
        health = self._health.of(spec.key)
        refusal = self._health.refusal(health, now, is_last_resort=is_last_resort)
        has_other = rank + 1 < len(ranked)
        if refusal and (has_other or not health.is_rate_limited(now)):
            return _Found(rank + 1, None)
        reason = refusal or f"all {health.limit} slots taken"
        if job.route.goes_on_when_full and not refusal:
            free = next((other for other in range(rank + 1, len(ranked)) if self._is_free(ranked[other], now)), None)
            if free is not None:
                _explain(job.live, spec.key, f"{reason}, passed over")
                return _Found(free, None)
        _explain(job.live, spec.key, f"{reason}, waited for one" if not refusal else f"{reason}, waited for it")
        live = job.live
        live.state = RequestState.QUEUED
        try:
            lease = await self._slots.wait(spec, live, job.permit)
        except AdmissionError:
            if has_other:
                return _Found(rank + 1, None)
            if failed is not None:
                raise failed from None
            raise
        finally:
            live.state = RequestState.STREAMING if job.sink.is_open else RequestState.CONNECTING
        return _Found(rank, lease)

    def _is_free(self, spec: DeploymentSpec, now: float) -> bool:
        health = self._health.get(spec.key)
        return health is None or not (health.is_full() or health.block(now))

    def _least_bad(self, job: Job, ranked: list[DeploymentSpec]) -> list[DeploymentSpec]:
        """All of them were taken out since the decision: the one that may be called soonest, if no operator
        keeps it away."""
        now = self._clock.monotonic()
        known = [spec for spec in ranked if not self._health.of(spec.key).is_shut()]
        found = sorted(known, key=lambda spec: self._health.of(spec.key).retry_in_s(now))[:1]
        for spec in found:
            _explain(job.live, spec.key, "least bad of those kept away by now")
        return found

    def _blocks(self, specs: Iterable[DeploymentSpec]) -> dict[str, str]:
        now = self._clock.monotonic()
        return {spec.key: self._health.of(spec.key).block(now) for spec in specs}

    def _wait_s(self, spec: DeploymentSpec, error: UpstreamError, wait_s: float) -> float:
        """Seconds before the same deployment is asked again: after a rate limit until its rest is over."""
        if not isinstance(error, UpstreamRateLimited):
            return wait_s
        rest_s = self._health.of(spec.key).retry_in_s(self._clock.monotonic()) + TIMER_SLACK_S
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
        health = lease.health
        if not health.limit:
            self._slots.adopt(spec, health)
        attempt = Attempt(
            job, spec, self._requests, self._clock, has_other, p95_s, self._slots, health, is_retry=is_retry
        )
        self._budgets.called(spec.key)
        live = job.live
        live.served = spec
        live.tries += 1
        self._requests.announce(live)
        return attempt

    def _step(self, job: Job, spec: DeploymentSpec, error: UpstreamError, tries_here: int, has_other: bool) -> NextStep:
        if job.live.tries >= job.runtime.config.limits.max_attempts:
            return NextStep(Step.STOP)
        if job.sink.is_open:
            return NextStep(Step.NEXT if has_other and self._restarts(job) else Step.STOP)
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

    def _restarts(self, job: Job) -> bool:
        """Begins a broken answer again, where the client and what it has seen allow it; told in its record."""
        live = job.live
        if not isinstance(live.tap, Retold) or not live.tap.may_restart:
            return False
        live.error_code = "restarted"
        live.error_message = f"the answer of {live.attempts[-1].deployment} broke off and was begun again"
        return True

    def _fail(self, job: Job, attempt: Attempt, lease: Lease, error: UpstreamError) -> None:
        error.provider = attempt.spec.provider
        error.deployment = attempt.spec.key
        error.attempt = job.live.tries
        if isinstance(error, UpstreamTimeout):
            error.public_message += f" ({attempt.limit_text(error.limit)})"
        outcome = AttemptOutcome.TRUNCATED if job.sink.is_open else outcome_of(error)
        self._settle(job, attempt, lease, outcome, error.public_message, error.retry_after_s)
        let_go(error)

    def _broken_off(self, job: Job, attempt: Attempt, lease: Lease, error: BaseException) -> None:
        """Settles an attempt that ended by no fault of the deployment. One for which nothing was sent, since the
        request cannot be carried, leaves no line: there was no call."""
        if isinstance(error, asyncio.CancelledError):
            self._settle(job, attempt, lease, AttemptOutcome.CANCELLED, "cancelled")
        elif attempt.was_sent:
            self._settle(job, attempt, lease, AttemptOutcome.CANCELLED, "ended by the engine")
        else:
            self._health.record(lease, AttemptOutcome.CANCELLED, None, 0.0, self._clock.monotonic())
            job.live.tries -= 1
            job.live.served = None
            self._free(lease)

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
        if live.spending is not None:
            live.spending.settle(record)
        pace = live.tokens_per_s(record.usage.output_tokens, live.last_content_at) if live.first_content_at else None
        health = lease.health
        was_open = health.is_open
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
        if outcome is _OK:
            if attempt.ttft_ms is None:
                self._slots.heard(health, record.duration_ms)
        else:
            self._slots.failed(health, outcome, attempt.started_mono, self._clock.monotonic())
        if health.waiting:
            self._free(lease, was_open=was_open)

    def _free(self, lease: Lease, *, was_open: bool = True) -> None:
        """The slot goes to who waits; all who wait decide anew when the circuit has opened."""
        if lease.health.is_open and not was_open:
            self._slots.evict(lease.health)
        else:
            self._slots.advance(lease.health)


def _explain(live: LiveRequest, key: str, clause: str) -> None:
    """Adds to the request's decision why a deployment was not called at once."""
    decision = live.decision
    if decision is None:
        return
    candidates = tuple(
        msgspec.structs.replace(candidate, reason=f"{candidate.reason}; {clause}")
        if candidate.deployment == key and clause not in candidate.reason
        else candidate
        for candidate in decision.candidates
    )
    if candidates != decision.candidates:
        explanation = f"{decision.explanation[:-1]}; {key}: {clause}."
        live.decision = renamed(msgspec.structs.replace(decision, candidates=candidates, explanation=explanation))


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
