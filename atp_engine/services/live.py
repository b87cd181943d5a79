"""The requests in flight and the latest finished ones, in memory: what the faces show as live.

`completions` begins and finishes them, `attempts` moves them along, `observatory` reads them. Used
on the event loop only. A request is announced on the bus at each change of state; growth of a
stream is announced by `announce_progress` on a tick, never per chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from atp_engine.bus import EventBus
from atp_engine.core.events import RequestChanged
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import UNKNOWN_COST, Cost
from atp_engine.core.types import (
    NO_USAGE,
    AttemptRecord,
    Caller,
    ClientHint,
    DeploymentSpec,
    Dialect,
    RequestFacts,
    RequestState,
    RouteDecision,
    TokenUsage,
)
from atp_engine.core.views import RequestView
from atp_engine.dialects.bridge import StreamTap
from atp_engine.services.capture import Capture
from atp_engine.services.sessions import Session
from atp_engine.services.windows_spending import Spending

_RECENT = 500
STOPPING = "the engine, which is stopping"
"""Who cancels what is still open at the end of a drain."""


class LiveRequest:
    """One client call while it runs; plain mutable fields, written by the walk only.

    What most requests never change stands on the class, which makes a new one cheap.
    """

    state = RequestState.QUEUED
    config_version = 0
    asked = ""
    route = ""
    session: Session | None = None
    is_stream = False
    facts: RequestFacts | None = None
    decision: RouteDecision | None = None
    tries = 0
    served: DeploymentSpec | None = None
    tap: StreamTap | None = None
    ttft_ms: float | None = None
    first_content_at = 0.0
    last_content_at = 0.0
    usage: TokenUsage = NO_USAGE
    cost: Cost = UNKNOWN_COST
    http_status = 0
    error_code = ""
    error_message = ""
    finish_reason = ""
    prompt_estimate = 0
    """Prompt tokens as estimated, uncorrected."""
    dropped_fields: tuple[str, ...] = ()
    has_body = False
    capture: Capture | None = None
    spending: Spending | None = None
    """What it has reserved in windows; None when none counts it."""
    cancel: Callable[[], object] | None = None
    cancelled_by = ""
    watcher: Callable[[LiveRequest], None] | None = None
    """Who answers it and wants to know of each change."""
    place: Callable[[], int] | None = None
    """Tells its present place while it waits in a queue."""
    queue_wait_ms = 0.0
    """Time spent in queues, all waits together."""

    def __init__(
        self,
        request_id: str,
        dialect: Dialect,
        caller: Caller,
        hint: ClientHint,
        started_at: float,
        started_mono: float,
    ) -> None:
        self.id = request_id
        self.dialect = dialect
        self.caller = caller
        self.hint = hint
        self.started_at = started_at
        self.started_mono = started_mono
        self.attempts: list[AttemptRecord] = []

    def view(self, now_mono: float) -> RequestView:
        """The row as of monotonic `now_mono`."""
        state = self.state
        is_final = state.is_final
        usage = self.usage
        prompt_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        output_tokens = usage.output_tokens
        is_estimated = usage.is_estimated
        if not is_final:
            is_estimated = True
            if self.facts is not None:
                prompt_tokens = self.facts.prompt_tokens_estimate
            if self.tap is not None:
                output_tokens = self.tap.content_events
        served = self.served
        session = self.session
        caller = self.caller
        cost = self.cost
        return RequestView(
            self.id,
            self.started_at,
            state,
            session.id if session is not None else "",
            self.hint.client,
            caller.key_name,
            self.dialect,
            self.is_stream,
            self.asked,
            self.route,
            served.key if served is not None else "",
            served.model if served is not None else "",
            served.provider if served is not None else "",
            self.tries,
            self.http_status,
            self.error_code,
            self.error_message,
            self.ttft_ms,
            (now_mono - self.started_mono) * 1000.0 if is_final else None,
            self.tokens_per_s(output_tokens, now_mono) if self.first_content_at else None,
            prompt_tokens,
            usage.cache_read_tokens,
            output_tokens,
            usage.reasoning_tokens,
            is_estimated,
            cost.nusd,
            cost.state,
            self.finish_reason,
            self.has_body,
            self.place() if self.place is not None else 0,
            self.queue_wait_ms,
        )

    def tokens_per_s(self, output_tokens: int, now_mono: float) -> float | None:
        """Output tokens after the first over the time since the first content; None when unmeasurable."""
        if not self.is_stream or not self.first_content_at or output_tokens < 2:
            return None
        until = self.last_content_at if self.state.is_final else now_mono
        elapsed = until - self.first_content_at
        return (output_tokens - 1) / elapsed if elapsed > 0.001 else None


class LiveRequests:
    """The open requests by id and the latest finished views; bounded by admission and by 500."""

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._open: dict[str, LiveRequest] = {}
        self._recent: deque[RequestView] = deque(maxlen=_RECENT)
        self._progress: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, live: LiveRequest) -> None:
        """Puts the request among the open ones; it is announced when it waits or is decided."""
        self._open[live.id] = live

    def announce(self, live: LiveRequest) -> None:
        """Tells listeners the request's present row."""
        if live.watcher is not None:
            live.watcher(live)
        if not self._bus.has_listeners:
            self._bus.skip()
            return
        self._bus.publish(lambda seq: RequestChanged(seq, live.view(self._clock.monotonic())))

    def finish(self, live: LiveRequest, view: RequestView) -> None:
        """Moves a request from the open ones to the latest finished."""
        self._open.pop(live.id, None)
        self._recent.append(view)
        if not self._bus.has_listeners:
            self._bus.skip()
            return
        self._bus.publish(lambda seq: RequestChanged(seq, view))

    def announce_progress(self) -> None:
        """Announces the open streams that grew and the waiting requests that moved up since the last tick;
        nothing without listeners."""
        if not self._bus.has_listeners:
            return
        seen: dict[str, int] = {}
        for live in self._open.values():
            if live.place is not None:
                grown = -live.place()
            elif live.tap is not None:
                grown = live.tap.content_events
            else:
                continue
            seen[live.id] = grown
            if self._progress.get(live.id) != grown:
                self.announce(live)
        self._progress = seen

    def get(self, request_id: str) -> LiveRequest | None:
        """An open request."""
        return self._open.get(request_id)

    def is_recent(self, request_id: str) -> bool:
        """True for one of the latest finished requests."""
        return any(view.id == request_id for view in self._recent)

    def open_requests(self) -> list[LiveRequest]:
        """The open requests, oldest first."""
        return list(self._open.values())

    def views(self) -> tuple[RequestView, ...]:
        """Open requests and the latest finished, newest first."""
        now = self._clock.monotonic()
        rows = [live.view(now) for live in self._open.values()]
        rows.extend(self._recent)
        rows.sort(key=lambda view: (view.started_at, view.id), reverse=True)
        return tuple(rows)

    def remember(self, views: list[RequestView]) -> None:
        """Fills the latest finished from storage at start, oldest first."""
        self._recent.extend(views)
