"""Requests past and present, found by filter and shown in full: memory first, then the database."""

from __future__ import annotations

from collections.abc import Callable

from atp_engine.core.errors import InvalidRequest, StorageError
from atp_engine.core.filter import FilterError, parse
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import cost_of
from atp_engine.core.sent_views import WouldCost
from atp_engine.core.types import AttemptRecord, PriceState, RouteDecision
from atp_engine.core.views import RequestDetail, RequestPage, RequestView, Tail
from atp_engine.routing.table import RoutingTable
from atp_engine.services.live import LiveRequest, LiveRequests
from atp_engine.services.runtime import RuntimeRef
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.feedback import FeedbackRepository
from atp_engine.storage.requests import RequestRepository

MAX_PAGE = 500


class History:
    """Pages and details of requests."""

    def __init__(
        self,
        clock: Clock,
        live: LiveRequests,
        repository: RequestRepository,
        bodies: BodyStore,
        feedback: FeedbackRepository,
        runtime: RuntimeRef,
    ) -> None:
        self._clock = clock
        self._live = live
        self._repository = repository
        self._bodies = bodies
        self._feedback = feedback
        self._runtime = runtime

    async def page(self, query: str, limit: int, before: str, session: str = "") -> RequestPage:
        """Requests newest first that match the filter; open ones lead the first page, and those that have
        ended but are not committed yet have their place in it.

        Raises InvalidRequest naming the place when the filter cannot be read.
        """
        try:
            found = parse(query)
        except FilterError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise InvalidRequest(f"filter, column {error.position + 1}: {error.message}{hint}", param="q") from None
        now = self._clock.now()
        matches: Callable[[RequestView], bool] | None = (
            (lambda view: found.matches(view, now)) if query.strip() else None
        )
        page = await self._repository.page(before, min(limit, MAX_PAGE), session, found, now)
        if before:
            return page
        listed = {view.id for view in page.requests}
        oldest = page.next_before
        views = [
            view
            for view in self._live.views()
            if view.id not in listed
            and (not session or view.session_id == session)
            and (matches is None or matches(view))
        ]
        is_open = [view for view in views if not view.state.is_final]
        just_ended = [view for view in views if view.state.is_final and view.id > oldest]
        ended = sorted([*just_ended, *page.requests], key=lambda view: view.id, reverse=True)
        return RequestPage((*is_open, *ended), page.next_before, page.looked_back_to)

    async def detail(self, request_id: str) -> RequestDetail | None:
        """Everything known of a request, None when it is not known; one that has just ended is waited for.

        Raises StorageError when its record cannot be committed now.
        """
        live = self._live.get(request_id)
        if live is not None:
            return self._open_detail(live)
        record = await self._repository.get(request_id)
        if record is None and self._live.is_recent(request_id):
            await self._repository.settled()
            record = await self._repository.get(request_id)
        if record is None:
            return None
        place = await self._repository.neighbours(request_id)
        request_body, response_body = await self._kept(record.view)
        return RequestDetail(
            request=record.view,
            decision=record.decision,
            attempts=record.attempts,
            request_body=_text(request_body),
            response_body=_text(response_body),
            dropped_fields=record.dropped_fields,
            position=place.position if place else record.position,
            session_requests=place.count if place else record.position,
            previous_id=place.previous_id if place else "",
            next_id=place.next_id if place else "",
            feedback=await self._feedback.of(request_id),
            would_cost=_would_cost(self._runtime.current.table, record.decision, record.attempts),
            is_pinned=self._bodies.is_pinned(request_id),
        )

    async def _kept(self, view: RequestView) -> tuple[bytes | None, bytes | None]:
        """The stored bodies; none when the store cannot be read, which its state tells."""
        if not view.has_body:
            return None, None
        try:
            return await self._bodies.get(view.id)
        except StorageError:
            return None, None

    def tail(self, request_id: str) -> Tail | None:
        """The last text of an open request; None when it is not open."""
        live = self._live.get(request_id)
        if live is None:
            return None
        tap = live.tap
        if tap is None:
            return Tail(live.id, live.state, "", 0)
        return Tail(live.id, live.state, tap.tail(), tap.content_events)

    def cancel(self, request_id: str, by: str) -> bool:
        """Ends an open request from outside; False when it is not open (any more)."""
        live = self._live.get(request_id)
        if live is None or live.cancel is None or live.cancelled_by:
            return False
        live.cancelled_by = by
        live.cancel()
        return True

    def _open_detail(self, live: LiveRequest) -> RequestDetail:
        requests = live.session.requests if live.session is not None else 1
        return RequestDetail(
            request=live.view(self._clock.monotonic()),
            decision=live.decision,
            attempts=tuple(live.attempts),
            request_body=None,
            response_body=None,
            dropped_fields=live.dropped_fields,
            position=requests,
            session_requests=requests,
            previous_id="",
            next_id="",
        )


def _would_cost(
    table: RoutingTable, decision: RouteDecision | None, attempts: tuple[AttemptRecord, ...]
) -> tuple[WouldCost, ...]:
    """What the answer's tokens cost at each candidate by the prices of now."""
    used = [one for one in attempts if one.usage.output_tokens]
    if decision is None or not used:
        return ()
    last = used[-1]
    found = []
    for one in decision.candidates:
        spec = table.deployments.get(one.deployment)
        price = table.price(spec) if spec is not None else None
        if price is not None:
            cost = cost_of(price, last.usage, last.duration_ms)
            found.append(WouldCost(one.deployment, cost.nusd, cost.state is PriceState.KNOWN))
    return tuple(found)


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode("utf-8", "replace")
