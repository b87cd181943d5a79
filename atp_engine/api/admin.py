"""The admin API: what a face sees and does, as JSON of the structs in `core/views`.

The terminal console and the dashboard use nothing else, so `curl` can do all they can. Handlers only
translate between HTTP and the observatory; every body is read here, capped at 1 MiB.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from atp_engine.api.auth import VIEWER, Call
from atp_engine.api.events import EventStream, Listeners, Matches
from atp_engine.api.guard import SHARED_HEADERS
from atp_engine.api.logins import LAUNCH_CODE_S, LaunchCodes
from atp_engine.config.models import Config
from atp_engine.core.errors import InvalidRequest, PayloadTooLarge, QueueFull, RequestCancelled
from atp_engine.core.filter import FilterError, parse
from atp_engine.core.ports import Clock
from atp_engine.core.views import CancelReply, ConfigView, LaunchCode, SessionDetail, TrialReply
from atp_engine.services.keys_admin import Badge
from atp_engine.services.observatory import Observatory

BODY_CAP = 1_048_576
_PAGE_CAP = 500
_encode = msgspec.json.Encoder().encode
_T = TypeVar("_T")

TryModel = Callable[[str], Awaitable[TrialReply]]
"""Sends one request through the whole walk and tells how it went; an empty name means the simulated model."""


NoteAct = Callable[[str, str, str, str], None]
"""Adds to the audit trail: who, `noun.verb`, on what, detail."""


class NotFound(InvalidRequest):
    """Nothing with this id is known."""

    code = "not_found"
    http_status = 404


class _TrialBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str = ""


class AdminApi:
    """The handlers behind `/admin/*`."""

    def __init__(
        self,
        observatory: Observatory,
        *,
        config: Callable[[], Config],
        try_model: TryModel,
        codes: LaunchCodes,
        clock: Clock,
        stopping: asyncio.Event,
        is_current: Callable[[Any], bool],
        note: NoteAct,
    ) -> None:
        self._observatory = observatory
        self._config = config
        self._try_model = try_model
        self._codes = codes
        self._clock = clock
        self._stopping = stopping
        self._is_current = is_current
        self._note = note
        self._listeners = Listeners()

    async def snapshot(self, call: Call) -> Response:
        """The whole live state with the number of the last event in it."""
        return answer(self._observatory.snapshot(shows_key=call.visitor.role != VIEWER))

    async def status(self, call: Call) -> Response:
        """The engine's vital signs."""
        return answer(self._observatory.status())

    async def events(self, call: Call) -> Response:
        """The live stream; `q` filters requests, `after` or `Last-Event-ID` resumes."""
        if self._listeners.open >= self._listeners.most:
            raise QueueFull("Too many event streams are open.", retry_after_s=5)
        return EventStream(
            self._observatory.bus,
            after=_after(call.request),
            matches=self._matches(call.request.query_params.get("q", "")),
            is_allowed=lambda: self._is_current(call.visitor),
            stopping=self._stopping,
            listeners=self._listeners,
        )

    async def requests(self, call: Call) -> Response:
        """A page of requests, newest first."""
        query = call.request.query_params
        page = await self._observatory.requests(
            query.get("q", ""), limit_of(query.get("limit")), query.get("before", "")
        )
        return answer(page)

    async def request(self, call: Call) -> Response:
        """Everything about one request."""
        return answer(_found(await self._observatory.request(_id(call.request)), "request"))

    async def tail(self, call: Call) -> Response:
        """The last text of a request."""
        return answer(_found(self._observatory.tail(_id(call.request)), "request"))

    async def cancel(self, call: Call) -> Response:
        """Ends an open request."""
        request_id = _id(call.request)
        is_cancelled = self._observatory.cancel(request_id, call.visitor.name)
        if is_cancelled:
            self._note(call.visitor.name, "request.cancelled", request_id, "")
        return answer(CancelReply(is_cancelled))

    async def sessions(self, call: Call) -> Response:
        """The live sessions, the latest first."""
        return answer(self._observatory.sessions(limit_of(call.request.query_params.get("limit"))))

    async def session(self, call: Call) -> Response:
        """One session with its requests."""
        view, requests = _found(await self._observatory.session(_id(call.request)), "session")
        return answer(SessionDetail(view, requests))

    async def deployments(self, call: Call) -> Response:
        """Every deployment with its live state."""
        return answer(self._observatory.deployments())

    async def config(self, call: Call) -> Response:
        """The configuration in effect."""
        engine = self._observatory.status()
        effective = shown_config(self._config())
        return answer(ConfigView(engine.config_version, engine.config_path, effective, engine.config_problems))

    async def connections(self, call: Call) -> Response:
        """How clients are pointed here, and what was found on this machine."""
        return answer(self._observatory.first_run(shows_key=call.visitor.role != VIEWER))

    async def test_request(self, call: Call) -> Response:
        """Sends one request through the walk; its failure is a result, not an error of this call."""
        body = await read_json(call.request, _TrialBody)
        return answer(await self._try_model(body.model))

    async def launch_code(self, call: Call) -> Response:
        """A one-time code that opens the dashboard in a browser with the caller's role."""
        self._note(call.visitor.name, "dashboard.opened", call.visitor.role, "")
        return answer(LaunchCode(self._codes.issue(call.visitor.badge or Badge(call.visitor.role)), LAUNCH_CODE_S))

    def _matches(self, query: str) -> Matches | None:
        try:
            compiled = parse(query)
        except FilterError as error:
            raise InvalidRequest(str(error), param="q") from error
        if compiled.is_empty:
            return None
        return lambda view: compiled.matches(view, self._clock.now())


def answer(value: Any) -> Response:
    """A view as a JSON answer that no cache keeps."""
    headers = {**SHARED_HEADERS, "content-type": "application/json", "cache-control": "no-store"}
    return Response(_encode(value), headers=headers)


async def read_json(request: Request, kind: type[_T]) -> _T:
    """The body as `kind`; an empty body counts as `{}`. Raises PayloadTooLarge, InvalidRequest."""
    body = bytearray()
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:12]) > BODY_CAP:
        raise PayloadTooLarge("The body is over 1 MiB.")
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_CAP:
                raise PayloadTooLarge("The body is over 1 MiB.")
    except ClientDisconnect as error:
        raise RequestCancelled("The caller left.") from error
    try:
        return msgspec.json.decode(bytes(body) or b"{}", type=kind)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body does not fit: {error}") from None


def shown_config(config: Config) -> dict[str, Any]:
    """The tree as JSON values without header values, and without user names in URLs.

    Credentials are references by construction; headers and URLs are free text, so their secret parts
    are left out all the same.
    """
    tree: dict[str, Any] = config.model_dump(mode="json")
    for provider in tree["providers"].values():
        provider["headers"] = dict.fromkeys(provider["headers"], "(not shown)")
        for key in ("base_url", "proxy"):
            if provider[key]:
                provider[key] = _without_user(provider[key])
    return tree


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _found(value: _T | None, noun: str) -> _T:
    if value is None:
        raise NotFound(f"No such {noun}.")
    return value


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def limit_of(text: str | None) -> int:
    if text is None:
        return 50
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise InvalidRequest("`limit` must be a whole number.", param="limit")
    return min(max(int(text), 1), _PAGE_CAP)


def _after(request: Request) -> int | None:
    """Where a stream resumes: the header of a reconnect wins over the query of the first connect."""
    text = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None
