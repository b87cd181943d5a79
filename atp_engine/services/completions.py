"""The walk of one request: read, identify, admit, decide, call, record, close. It tells the story.

`api/llm` hands over a call with its authenticated caller; whatever happens, the request is recorded
exactly once and every slot is released. Errors leave as ATPError for `api/llm` to render.
"""

from __future__ import annotations

import asyncio

from atp_engine.core.errors import (
    AdmissionError,
    ATPError,
    EngineStopping,
    InvalidRequest,
    NoRoute,
    RequestCancelled,
    UnknownModel,
)
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, RequestFacts, RequestState, RouteDecision
from atp_engine.dialects.facts import read_facts
from atp_engine.routing.table import Route
from atp_engine.services.access import check_access, forbidden
from atp_engine.services.admission import Door, Permit
from atp_engine.services.attempt import Attempt, Job, RawCall, Sink
from atp_engine.services.attempts import Attempts
from atp_engine.services.live import STOPPING, LiveRequest
from atp_engine.services.midstream import accepts_restart
from atp_engine.services.recorder import Recorder
from atp_engine.services.runtime import Runtime, RuntimeRef
from atp_engine.services.sessions import Sessions
from atp_engine.services.windows import Windows

_CONNECTING, _OK = RequestState.CONNECTING, RequestState.OK
_RESTART_S = 5.0
"""When an engine that stops is likely to be back."""


class Completions:
    """Serves chat calls of every dialect."""

    def __init__(
        self,
        runtime: RuntimeRef,
        sessions: Sessions,
        door: Door,
        attempts: Attempts,
        recorder: Recorder,
        windows: Windows,
    ) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._door = door
        self._attempts = attempts
        self._recorder = recorder
        self._windows = windows

    async def run(self, call: RawCall, caller: Caller, sink: Sink) -> None:
        """Answers the call through `sink`; raises ATPError when there is no (whole) answer.

        `LiveRequest.cancel` ends it from outside: it raises RequestCancelled after the upstream was
        closed and what was used so far was settled.
        """
        task = sink.task or asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is served by a task, which can be cancelled")
        live = self._recorder.begin(call, caller)
        live.cancel = task.cancel
        sink.live = live
        try:
            attempt = await self._serve(call, live, sink)
        except ATPError as error:
            live.cancel = None  # what is left is to record it, which must not be cut short
            await self._recorder.finish(live, call, _state_of(error, sink), error)
            raise
        except asyncio.CancelledError:
            cancelled = _cancelled(live)
            await self._recorder.finish(live, call, RequestState.CANCELLED, cancelled)
            if not live.cancelled_by:
                raise
            task.uncancel()
            raise cancelled from None
        finally:
            if live.spending is not None:
                live.spending.release()
        live.cancel = None
        if attempt.tap is not None:
            await attempt.drain()

    async def _serve(self, call: RawCall, live: LiveRequest, sink: Sink) -> Attempt:
        runtime = self._runtime.current
        live.config_version = runtime.version
        facts = live.facts = read_facts(call.dialect, call.body)
        live.asked = facts.model
        live.is_stream = facts.is_stream
        control = self._sessions.begin(live, facts).control
        route = runtime.table.resolve(facts.model)
        if route is None:
            raise UnknownModel(_unknown_model(facts.model, runtime), param="model")
        if control is not None:
            live.caller = control.admit(live.session.id if live.session is not None else "", live.caller)
            route = control.route(runtime.table, route)
        live.route = route.name
        facts = self._recorder.fit(live, route, facts)
        caller = live.caller
        if caller.routes or caller.models:
            check_access(caller, route)
        if self._windows.is_active:
            session_id = live.session.id if live.session is not None else ""
            live.spending = await self._windows.enter(runtime, route, facts, caller, session_id)
        permit = self._door.admit(live.caller) or await self._wait(live)
        try:
            decision = self._decide(call, live, runtime, route, facts)
            if decision.is_empty:
                raise _no_route(decision, route, facts)
            live.state = _CONNECTING
            may_restart = route.midstream != "end" and accepts_restart(route, call, facts)
            job = Job(runtime, route, live, call, facts, sink, permit, may_restart)
            attempt, last = await self._attempts.run(job, decision)
            if live.capture is not None:
                live.capture.add(last)
            await self._recorder.finish(live, call, _OK, None)
            sink.close(live, last)
        except (AdmissionError, NoRoute):
            if not live.tries:
                permit.refund(live.caller)
            raise
        finally:
            permit.release()
        return attempt

    def _decide(
        self, call: RawCall, live: LiveRequest, runtime: Runtime, route: Route, facts: RequestFacts
    ) -> RouteDecision:
        """The router's decision, narrowed by what key, session, windows and the call itself ask."""
        decision = live.decision = self._attempts.decide(runtime, route, facts)
        caller, session = live.caller, live.session
        if caller.routes or caller.models:
            decision = live.decision = self._windows.restrictions.apply(decision, forbidden(caller, decision))
        if session is not None and session.control is not None:
            decision = live.decision = self._windows.restrictions.apply(decision, session.control.drops(decision))
        if live.spending is not None:
            decision = live.decision = live.spending.restrict(decision)
        if call.steer is not None:
            decision = live.decision = call.steer(runtime, route, facts, decision)
        return decision

    async def _wait(self, live: LiveRequest) -> Permit:
        """A place in the queue, visible while it lasts."""
        self._recorder.announce(live)
        return await self._door.wait(live.caller, live)


def _cancelled(live: LiveRequest) -> ATPError:
    """What the client is told of a request that was ended from outside."""
    if live.cancelled_by == STOPPING:
        return EngineStopping("the engine is stopping and could not finish the request", retry_after_s=_RESTART_S)
    return RequestCancelled(f"the request was cancelled by {live.cancelled_by or 'the engine'}")


def _state_of(error: ATPError, sink: Sink) -> RequestState:
    """The final state of a request that ended in an error: content was sent, or nothing was."""
    if sink.is_open:
        return RequestState.TRUNCATED
    if isinstance(error, InvalidRequest | AdmissionError):
        return RequestState.REJECTED
    return RequestState.FAILED


def _unknown_model(asked: str, runtime: Runtime) -> str:
    near = runtime.table.near(asked)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(runtime.table.names()[:8])}"
    return f"no route or model is called {safe_text(asked, limit=128)!r}; {hint}"


def _no_route(decision: RouteDecision, route: Route, facts: RequestFacts) -> ATPError:
    """Why nothing is left; a route that gives something else altogether is the client's mistake."""
    reasons = {candidate.deployment: candidate.reason for candidate in decision.candidates}
    listed = "; ".join(f"{deployment}: {reason}" for deployment, reason in reasons.items())
    message = f"no deployment of {decision.route} can take this request ({listed})"
    if all(spec.is_embedding is not facts.is_embedding for spec in route.deployments):
        return InvalidRequest(message, param="model")
    return NoRoute(message, reasons=reasons)
