"""Who may use a route: every route states a policy, and the matched route object decides.

`PolicyRoute` is the only kind of route the app accepts, so a route without a policy cannot exist.
Admin routes take a bearer token or the dashboard's cookie; writes by cookie need the session's CSRF
token too. Nothing here looks at `request.url`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from atp_engine.api.errors import HeaderList, Problem, credentials, dialect_of, problem_of, render_problem
from atp_engine.api.guard import PAGE_HEADERS
from atp_engine.api.logins import BrowserSession, BrowserSessions, LaunchCodes, is_same_secret
from atp_engine.core.errors import ATPError, Forbidden, InvalidKey, RateLimited
from atp_engine.core.ports import Clock, NewId
from atp_engine.core.types import Caller
from atp_engine.limits.rate import TokenBucket
from atp_engine.services.keys_admin import Badge

log = logging.getLogger(__name__)

ADMIN = "admin"
OPERATOR = "operator"
VIEWER = "viewer"
_ROLES = (ADMIN, OPERATOR, VIEWER)
_FAILURES_PER_MINUTE = 10
"""Of all callers together: on loopback everybody has the same address. Good secrets never meet it."""


class Policy(StrEnum):
    """What a route asks of its caller."""

    PUBLIC = "public"
    CLIENT = "client"
    """A client key, or none where the config lets keyless callers in."""
    VIEW = "view"
    """Admin API, reading: any admin role."""
    ACT = "act"
    """Admin API, changing something: operator or admin."""
    MANAGE = "manage"
    """Admin API, keys and tokens: the admin role."""
    SCRAPE = "scrape"
    """As VIEW, or everybody when `server.is_metrics_public`."""
    PAGE = "page"
    """A dashboard page: as VIEW, but strangers are sent to the login page."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who passed: a role of the admin side or a client's key; `session` when a browser's cookie spoke."""

    name: str
    role: str = ""
    session: BrowserSession | None = None
    caller: Caller | None = None
    badge: Badge | None = None
    """The admin token that spoke, or that opened the browser's session."""


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted request on its way to an endpoint."""

    request: Request
    request_id: str
    visitor: Visitor


Endpoint = Callable[[Call], Awaitable[Response]]


class Gate:
    """Turns credentials into a visitor, or raises InvalidKey, Forbidden or RateLimited."""

    def __init__(
        self,
        *,
        verify_admin: Callable[[str], Badge | None],
        identify_client: Callable[[HeaderList], Caller],
        is_metrics_public: Callable[[], bool],
        clock: Clock,
        new_id: NewId,
        cookie_name: str,
    ) -> None:
        """`verify_admin` gives who a token stands for or None; `identify_client` raises AuthError."""
        self._verify_admin = verify_admin
        self._identify_client = identify_client
        self._is_metrics_public = is_metrics_public
        self._clock = clock
        self._failures = TokenBucket(_FAILURES_PER_MINUTE, clock.monotonic())
        self.new_id = new_id
        self.cookie_name = cookie_name
        self.sessions = BrowserSessions(clock)
        self.codes = LaunchCodes(clock)

    def admit(self, policy: Policy, scope: Scope) -> Visitor:
        """The visitor of a route with this policy. Raises AuthError, RateLimited."""
        if policy is Policy.PUBLIC or (policy is Policy.SCRAPE and self._is_metrics_public()):
            return Visitor("anybody")
        if policy is Policy.CLIENT:
            caller = self._identify_client(credentials(scope["headers"], scope.get("query_string", b"")))
            return Visitor(caller.key_name, caller=caller)
        visitor = self._admin(scope)
        if policy is Policy.ACT and visitor.role == VIEWER:
            raise Forbidden("This token may look but not act.")
        if policy is Policy.MANAGE and visitor.role != ADMIN:
            raise Forbidden("This token may not manage keys; an admin's may.")
        return visitor

    def login(self, *, code: str, token: str) -> tuple[str, BrowserSession]:
        """Trades a launch code or an admin token for a session; the cookie's value comes first."""
        badge = self.codes.redeem(code) if code else self._verify(token)
        if badge is None:
            self._refuse("That code is used or too old; make a new one." if code else "That token is not known here.")
        return self.sessions.open(badge)

    def is_current(self, visitor: Visitor) -> bool:
        """False once the visitor's browser session or token is over: open streams end then."""
        if visitor.badge is not None and not visitor.badge.counts():
            return False
        return visitor.session is None or self.sessions.is_open(visitor.session)

    def _admin(self, scope: Scope) -> Visitor:
        headers: HeaderList = scope["headers"]
        credential = _value(headers, b"authorization")
        if credential is not None:
            scheme, _, token = credential.partition(" ")
            badge = self._verify(token.strip()) if scheme.lower() == "bearer" else None
            if badge is None:
                self._refuse("That admin token is not known here.")
            return Visitor(f"{badge.name} with a token", badge.role, badge=badge)
        for cookie in _cookies(headers, self.cookie_name):
            session = self.sessions.find(cookie)
            if session is not None:
                self._check_csrf(scope, session)
                return Visitor(f"{session.badge.name} in a browser", session.role, session, badge=session.badge)
        raise InvalidKey("An admin token is needed: `Authorization: Bearer ...`.")

    def _verify(self, token: str) -> Badge | None:
        badge = self._verify_admin(token) if token else None
        return badge if badge is not None and badge.role in _ROLES else None

    def _check_csrf(self, scope: Scope, session: BrowserSession) -> None:
        if scope["method"] in ("GET", "HEAD"):
            return
        given = _value(scope["headers"], b"x-csrf-token") or ""
        if not is_same_secret(given, session.csrf_token):
            raise Forbidden("The page is out of date; reload it.")

    def _refuse(self, message: str) -> NoReturn:
        wait_s = self._failures.take(self._clock.monotonic())
        if wait_s:
            raise RateLimited("Too many failed tries.", retry_after_s=wait_s)
        log.warning("admin credential refused")
        raise InvalidKey(message)


class PolicyRoute(Route):
    """A route with a stated policy: refuses, calls the endpoint, and renders what it raises."""

    def __init__(self, path: str, endpoint: Endpoint, *, method: str, policy: Policy, gate: Gate) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.policy = policy
        self.allow = ", ".join(sorted(self.methods or ()))
        self._respond = endpoint
        self._gate = gate

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; the boundary at which unexpected exceptions become a plain 500."""
        request_id = self._gate.new_id()
        try:
            if self.methods and scope["method"] not in self.methods:
                problem = Problem(405, "method_not_allowed", "This path has no such method.", allow=self.allow)
                return await send_problem(problem, request_id, scope, send)
            visitor = self._gate.admit(self.policy, scope)
            response = await self._respond(Call(Request(scope, receive), request_id, visitor))
            response.headers.setdefault("x-atp-request-id", request_id)
        except ATPError as error:
            if self.policy is Policy.PAGE and error.http_status == 401:
                response = RedirectResponse(f"/ui/login?next={quote(scope['path'])}", 303, PAGE_HEADERS)
                return await response(scope, receive, send)
            return await send_problem(problem_of(error), request_id, scope, send)
        except Exception as error:
            log.exception("%s %s failed", scope["method"], self.path, extra={"request_id": request_id})
            return await send_problem(problem_of(error), request_id, scope, send)
        return await response(scope, receive, send)


async def send_problem(problem: Problem, request_id: str, scope: Scope, send: Send) -> None:
    """Sends a refusal in the shape that this path's clients read."""
    dialect = dialect_of(scope["path"], scope["headers"])
    status, headers, body = render_problem(problem, dialect, request_id)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})


def _value(headers: HeaderList, name: bytes) -> str | None:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


def _cookies(headers: HeaderList, name: str) -> Iterator[str]:
    """Every cookie of this name: another server on this host may have set one too."""
    for key, value in headers:
        if key != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            label, _, content = pair.strip().partition("=")
            if label == name and content:
                yield content
