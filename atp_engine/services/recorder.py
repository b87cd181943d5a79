"""The end of every request, exactly once: settle, ledger, metrics, session, event, bodies.

`completions` begins and finishes requests through it, on success, failure and cancel alike. It can
never fail the request: a storage fault is logged, counted and shown, and the answer goes on.
"""

from __future__ import annotations

import logging

from atp_engine.config.models import Config
from atp_engine.core.errors import ATPError, StorageError
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import UNKNOWN_COST, Cost
from atp_engine.core.types import (
    NO_USAGE,
    AttemptRecord,
    Caller,
    PriceState,
    RequestFacts,
    RequestState,
    TokenUsage,
)
from atp_engine.routing.table import Route
from atp_engine.services.attempt import RawCall
from atp_engine.services.captures import Captures
from atp_engine.services.estimates import Estimates
from atp_engine.services.live import LiveRequest, LiveRequests
from atp_engine.services.meters import Meters
from atp_engine.services.sessions import Sessions
from atp_engine.storage.requests import RequestRecord, RequestRepository

_log = logging.getLogger("atp_engine.recorder")


class Recorder:
    """Begins and finishes requests."""

    def __init__(
        self,
        clock: Clock,
        requests: LiveRequests,
        sessions: Sessions,
        repository: RequestRepository,
        captures: Captures,
        meters: Meters,
        estimates: Estimates,
    ) -> None:
        self._clock = clock
        self._requests = requests
        self._sessions = sessions
        self._repository = repository
        self._captures = captures
        self._meters = meters
        self._estimates = estimates
        self._is_durable = True
        self.failed_writes = 0
        """Requests that could not be recorded."""

    def apply(self, config: Config) -> None:
        """Takes the settings of a new config."""
        self._is_durable = config.storage.commit == "before_reply"
        self._captures.apply(config.storage, config.cache)

    def begin(self, call: RawCall, caller: Caller) -> LiveRequest:
        """Makes a call visible; `finish` must follow."""
        clock = self._clock
        live = LiveRequest(call.id, call.dialect, caller, call.head.hint, clock.now(), clock.monotonic())
        live.capture = self._captures.begin()
        self._requests.begin(live)
        return live

    def fit(self, live: LiveRequest, route: Route, facts: RequestFacts) -> RequestFacts:
        """Facts with the estimate of the prompt as vendors of this route count; the raw one is recorded."""
        live.prompt_estimate = facts.prompt_tokens_estimate
        facts = live.facts = self._estimates.fit(route, facts)
        return facts

    def announce(self, live: LiveRequest) -> None:
        """Tells listeners that the request stands where it stands."""
        self._requests.announce(live)

    async def finish(self, live: LiveRequest, call: RawCall, state: RequestState, error: ATPError | None) -> None:
        """Settles the request; a second call for the same request does nothing.

        Returns when the ledger lines are committed (`storage.commit = "before_reply"`), else at once.
        Cancelling the wait loses nothing: the lines are already with the writer.
        """
        if live.state.is_final:
            return
        now = self._clock.monotonic()
        self._settle(live, state, error)
        if live.capture is not None:
            live.has_body = self._captures.finish(live, call)
        view = live.view(now)
        attempts = live.attempts
        session = live.session
        record = RequestRecord(
            view,
            live.caller.key_id,
            live.config_version,
            live.decision,
            tuple(attempts),
            live.dropped_fields,
            self._sessions.finish(session, view) if session is not None else 0,
            live.prompt_estimate,
        )
        if state is RequestState.OK and not live.usage.is_estimated:
            self._estimates.learn(view.served, live.prompt_estimate, view.prompt_tokens)
        self._meters.finished(view, attempts, now)
        self._requests.finish(live, view)
        if live.spending is not None:
            live.spending.post()
        if not self._is_durable:
            self._repository.add(record)
            return
        try:
            await self._repository.add_durably(record)
        except StorageError as fault:
            self.failed_writes += 1
            _log.error("a request could not be recorded: %s", fault.public_message, extra={"request_id": live.id})

    def _settle(self, live: LiveRequest, state: RequestState, error: ATPError | None) -> None:
        live.state = state
        live.http_status = 200
        if error is not None:
            live.error_code = error.code
            live.error_message = error.public_message[:500]
            if state is not RequestState.TRUNCATED:
                live.http_status = error.http_status
        attempts = live.attempts
        if len(attempts) == 1:
            only = attempts[0]
            live.usage, live.cost = only.usage, Cost(only.cost_nusd, only.price_state)
        else:
            live.usage, live.cost = totals(attempts)


def totals(attempts: list[AttemptRecord]) -> tuple[TokenUsage, Cost]:
    """A request's usage (that of its last attempt) and cost (of all of them).

    The cost is unknown as soon as one attempt that used tokens has no price: a sum that leaves
    something out would be a lie.
    """
    if not attempts:
        return NO_USAGE, Cost(nusd=0, state=PriceState.KNOWN)
    last = attempts[-1]
    if len(attempts) == 1:
        return last.usage, Cost(last.cost_nusd, last.price_state)
    used = [attempt for attempt in attempts if attempt.usage.prompt_tokens or attempt.usage.output_tokens]
    if not used:
        return last.usage, Cost(nusd=0, state=PriceState.KNOWN)
    states = {attempt.price_state for attempt in used}
    if PriceState.UNKNOWN in states:
        return last.usage, UNKNOWN_COST
    state = PriceState.ASSUMED if PriceState.ASSUMED in states else PriceState.KNOWN
    return last.usage, Cost(sum(attempt.cost_nusd for attempt in used), state)
