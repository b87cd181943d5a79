"""The attempts of one request: run the ranked deployments, judge failures by class, retry or fail over.

Called by `completions` with a decision. The last bytes of the answer come back unsent, so that the
ledger line is safe before the client has the whole. After the first content a failure is raised and
never papered over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from atp_engine.core.errors import NoRoute, UpstreamError
from atp_engine.core.ports import Clock, Rng
from atp_engine.core.types import AttemptOutcome, CandidateVerdict, DeploymentSpec
from atp_engine.limits.retry import NextStep, Step, next_step
from atp_engine.routing.health import HealthBook
from atp_engine.services.attempt import Attempt, Job, error_of
from atp_engine.services.live import LiveRequests
from atp_engine.services.outcomes import outcome_of
from atp_engine.services.runtime import Runtime


class Attempts:
    """Runs a decision until one deployment delivers."""

    def __init__(
        self,
        clock: Clock,
        rng: Rng,
        health: HealthBook,
        requests: LiveRequests,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._health = health
        self._requests = requests
        self._sleep = sleep

    async def run(self, job: Job, ranked: tuple[CandidateVerdict, ...]) -> tuple[Attempt, bytes]:
        """The attempt that delivered, its answer sent up to the returned last bytes.

        Raises the last UpstreamError when every step failed, NoRoute when a deployment vanished.
        Cancelling closes the upstream connection and settles the attempt as cancelled.
        """
        rank = 0
        tries_here = 0
        while True:
            has_other = rank + 1 < len(ranked)
            attempt = self._begin(job, ranked[rank], has_other)
            tries_here += 1
            try:
                last = await attempt.run()
            except UpstreamError as error:
                self._fail(job, attempt, error)
                step = self._step(job, attempt, error, tries_here, has_other)
                following = _following(ranked, rank, step, attempt.deployment, job.runtime)
                if following is None:
                    raise
            except asyncio.CancelledError:
                self._settle(job, attempt, AttemptOutcome.CANCELLED, "the request was cancelled")
                raise
            else:
                self._settle(job, attempt, AttemptOutcome.OK, "")
                return attempt, last
            if following != rank:
                rank, tries_here = following, 0
            if step.wait_s:
                await self._sleep(step.wait_s)

    def _begin(self, job: Job, candidate: CandidateVerdict, has_other: bool) -> Attempt:
        deployment = job.runtime.table.deployment(candidate.deployment)
        if deployment is None:
            raise NoRoute("the deployment is gone", reasons={candidate.deployment: "not configured"})
        p95_ms = self._health.ttft_p95_ms(deployment.key)
        attempt = Attempt(job, deployment, self._requests, self._clock, has_other, (p95_ms or 0.0) / 1000.0)
        self._health.begin(deployment.key, attempt.started_mono)
        live = job.live
        live.served = deployment
        live.tries += 1
        if live.tries > 1:
            self._requests.announce(live)
        return attempt

    def _step(self, job: Job, attempt: Attempt, error: UpstreamError, tries_here: int, has_other: bool) -> NextStep:
        if job.sink.is_open or job.live.tries >= job.runtime.config.limits.max_attempts:
            return NextStep(Step.STOP)
        return next_step(
            error,
            tries_here=tries_here,
            has_other=has_other,
            may_retry=self._health.may_retry(attempt.deployment.key, self._clock.monotonic()),
            chance=self._rng.random(),
        )

    def _fail(self, job: Job, attempt: Attempt, error: UpstreamError) -> None:
        error_of(error, attempt.deployment, job.live.tries)
        outcome = AttemptOutcome.TRUNCATED if job.sink.is_open else outcome_of(error)
        self._settle(job, attempt, outcome, error.public_message, error.retry_after_s)

    def _settle(
        self, job: Job, attempt: Attempt, outcome: AttemptOutcome, message: str, retry_after_s: float | None = None
    ) -> None:
        """Writes the attempt's line and tells the health book; the slot it held is free."""
        price = job.runtime.table.price(attempt.deployment.key)
        record = attempt.record(job.live.tries, outcome, message, price)
        job.live.attempts.append(record)
        self._health.record(
            attempt.deployment.key,
            outcome,
            ttft_ms=attempt.ttft_ms,
            duration_ms=record.duration_ms,
            now=self._clock.monotonic(),
            retry_after_s=retry_after_s,
        )


def _following(
    ranked: tuple[CandidateVerdict, ...], rank: int, step: NextStep, failed: DeploymentSpec, runtime: Runtime
) -> int | None:
    """Index of the next candidate to call, None when the error stands."""
    if step.step is Step.STOP:
        return None
    if step.step is Step.HERE:
        return rank
    if step.step is Step.NEXT:
        return rank + 1 if rank + 1 < len(ranked) else None
    for index in range(rank + 1, len(ranked)):
        deployment = runtime.table.deployment(ranked[index].deployment)
        if deployment is not None and (
            not failed.context_tokens or not deployment.context_tokens or deployment.context_tokens > failed.context_tokens
        ):
            return index
    return None
