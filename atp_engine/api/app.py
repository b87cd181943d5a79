"""The whole HTTP face: guard and Starlette's router as one ASGI callable, and the hot endpoints beside it.

Built by the composition root once the port is known. The guard sees every request first. The server
gives requests for a hot endpoint to it directly; what arrives here is a `PolicyRoute` with a stated
policy, or refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from atp_engine.api.admin import AdminApi, NoteAct, TryModel
from atp_engine.api.auth import Endpoint, Gate, Policy, PolicyRoute, send_problem
from atp_engine.api.errors import HeaderList, Problem, dialect_of
from atp_engine.api.exchange import HotEndpoints
from atp_engine.api.guard import Guard
from atp_engine.api.health import Health, Probe
from atp_engine.api.pages import Pages
from atp_engine.api.preflight import Preflight
from atp_engine.config.models import Config
from atp_engine.core.ports import Clock, NewId
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller
from atp_engine.services.keys_admin import Badge
from atp_engine.services.observatory import Observatory

log = logging.getLogger(__name__)

ClientRoutes = Sequence[tuple[str, str, Endpoint]]
"""Further (method, path, endpoint) for holders of a client key: `("GET", "/v1/models/{id:path}", show)`."""

Row = tuple[str, str, Policy, Endpoint]
"""Method, path, who may, handler."""

_NOT_FOUND = Problem(404, "not_found", "Nothing is served at this path.")
_SOCKET_CLOSED = 1008


def build_app(
    *,
    observatory: Observatory,
    verify_admin: Callable[[str], Badge | None],
    identify_client: Callable[[HeaderList], Caller],
    config: Callable[[], Config],
    port: int,
    probes: Mapping[str, Probe],
    facts: Mapping[str, str],
    metrics_text: Callable[[], str],
    try_model: TryModel,
    clock: Clock,
    new_id: NewId,
    stopping: asyncio.Event,
    hot: HotEndpoints,
    note_act: NoteAct,
    client_routes: ClientRoutes = (),
    admin_routes: Sequence[Row] = (),
) -> Front:
    """Wires the face.

    `verify_admin` gives who a token stands for or None. `identify_client` finds the caller
    from the raw headers and raises AuthError. `config` gives the live snapshot, `port` is the one really
    bound. `probes` name the dependencies of `/readyz`, `facts` are shown by `/healthz` (such as
    `sqlite_version`), `metrics_text` gives the exposition. `try_model` sends one request through the
    walk, `note_act` adds to the audit trail. `stopping` ends all event streams. `hot` endpoints are served
    right after the guard, not by
    this app, and do their own authentication, error rendering and body cap. `admin_routes` are those of
    the modules beside `api/admin`, with their policies.
    """
    gate = Gate(
        verify_admin=verify_admin,
        identify_client=identify_client,
        is_metrics_public=lambda: config().server.is_metrics_public,
        clock=clock,
        new_id=new_id,
        cookie_name=f"atp_session_{port}",
    )
    admin = AdminApi(
        observatory,
        config=config,
        try_model=try_model,
        codes=gate.codes,
        clock=clock,
        stopping=stopping,
        is_current=gate.is_current,
        note=note_act,
    )
    health = Health(probes=probes, facts=facts, status=observatory.status, metrics_text=metrics_text)
    pages = Pages(gate, observatory.status().version)
    rows = [
        *_health_rows(health),
        *_admin_rows(admin),
        *admin_routes,
        *_page_rows(pages),
        *_preflight_rows(Preflight(observatory.status().version)),
        *((method, path, Policy.CLIENT, endpoint) for method, path, endpoint in client_routes),
    ]
    routes = [
        PolicyRoute(path, endpoint, method=method, policy=policy, gate=gate) for method, path, policy, endpoint in rows
    ]
    return Front(Guard(config, port), hot, _with_all_methods(routes), new_id)


class Front:
    """The ASGI callable that the server runs; `routes` and `hot` are all there is behind it."""

    def __init__(self, guard: Guard, hot: HotEndpoints, routes: Sequence[PolicyRoute], new_id: NewId) -> None:
        self.guard = guard
        self._new_id = new_id
        self.hot = dict(hot)
        self.routes = tuple(routes)
        self._methods = {path: ", ".join(sorted(m for m, p in self.hot if p == path)) for _, path in self.hot}
        served = [*self.hot, *((next(iter(sorted(route.methods or ()))), route.path) for route in routes)]
        self._listed = ", ".join(f"{method} {path}" for method, path in served if path.startswith("/v1/") and path[4:])
        self._router = Router(routes, redirect_slashes=False, default=self._not_found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; only HTTP exists here."""
        if scope["type"] != "http":
            return await _refuse_socket(scope, receive, send)
        refusal = self.guard.check(scope)
        if refusal is not None:
            return await send_problem(refusal, self._new_id(), scope, send)
        return await self._router(scope, receive, send)

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        allow = self._methods.get(scope["path"])
        problem = (
            Problem(405, "method_not_allowed", "This path has no such method.", allow=allow)
            if allow
            else self._unknown(scope)
        )
        await send_problem(problem, self._new_id(), scope, send)

    def _unknown(self, scope: Scope) -> Problem:
        """A 404 which, below a client's base, says what there is instead."""
        if dialect_of(scope["path"], scope["headers"]) is None:
            return _NOT_FOUND
        asked = safe_text(f"{scope['method']} {scope['path']}", limit=128)
        return Problem(404, "not_found", f"Nothing is served at {asked}. There are {self._listed}.")


def _health_rows(health: Health) -> list[Row]:
    return [
        ("GET", "/livez", Policy.PUBLIC, health.livez),
        ("GET", "/readyz", Policy.PUBLIC, health.readyz),
        ("GET", "/healthz", Policy.PUBLIC, health.healthz),
        ("GET", "/metrics", Policy.SCRAPE, health.metrics),
    ]


def _admin_rows(admin: AdminApi) -> list[Row]:
    return [
        ("GET", "/admin/snapshot", Policy.VIEW, admin.snapshot),
        ("GET", "/admin/events", Policy.VIEW, admin.events),
        ("GET", "/admin/status", Policy.VIEW, admin.status),
        ("GET", "/admin/requests", Policy.VIEW, admin.requests),
        ("GET", "/admin/requests/{id}", Policy.VIEW, admin.request),
        ("GET", "/admin/requests/{id}/tail", Policy.VIEW, admin.tail),
        ("POST", "/admin/requests/{id}/cancel", Policy.ACT, admin.cancel),
        ("GET", "/admin/sessions", Policy.VIEW, admin.sessions),
        ("GET", "/admin/sessions/{id:path}", Policy.VIEW, admin.session),
        ("GET", "/admin/deployments", Policy.VIEW, admin.deployments),
        ("GET", "/admin/config", Policy.VIEW, admin.config),
        ("GET", "/admin/connections", Policy.VIEW, admin.connections),
        ("POST", "/admin/test-request", Policy.ACT, admin.test_request),
        ("POST", "/admin/launch-code", Policy.ACT, admin.launch_code),
    ]


def _preflight_rows(preflight: Preflight) -> list[Row]:
    return [
        ("GET", "/", Policy.PUBLIC, preflight.about),
        ("GET", "/v1", Policy.PUBLIC, preflight.about),
        ("GET", "/v1/", Policy.PUBLIC, preflight.about),
        ("GET", "/api/hello", Policy.PUBLIC, preflight.hello),
    ]


def _page_rows(pages: Pages) -> list[Row]:
    return [
        ("GET", "/ui", Policy.PUBLIC, pages.home),
        ("GET", "/ui/", Policy.PAGE, pages.live),
        ("GET", "/ui/metrics", Policy.PAGE, pages.metrics),
        ("GET", "/ui/models", Policy.PAGE, pages.models),
        ("GET", "/ui/keys", Policy.PAGE, pages.keys),
        ("GET", "/ui/config", Policy.PAGE, pages.config),
        ("GET", "/ui/logs", Policy.PAGE, pages.logs),
        ("GET", "/ui/requests/{id}", Policy.PAGE, pages.request),
        ("GET", "/ui/login", Policy.PUBLIC, pages.login_page),
        ("POST", "/ui/login", Policy.PUBLIC, pages.login),
        ("GET", "/ui/session", Policy.VIEW, pages.session),
        ("POST", "/ui/logout", Policy.VIEW, pages.logout),
        ("GET", "/ui/static/{version}/{name:path}", Policy.PUBLIC, pages.static),
    ]


def _with_all_methods(routes: Sequence[PolicyRoute]) -> Sequence[PolicyRoute]:
    """Lets each route name the methods of all routes on its path in a 405."""
    for route in routes:
        methods = {method for other in routes if other.path == route.path for method in other.methods or ()}
        route.allow = ", ".join(sorted(methods))
    return routes


async def _refuse_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Closes web sockets before they open, and lets the server's lifespan messages pass."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _SOCKET_CLOSED})
        return
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
