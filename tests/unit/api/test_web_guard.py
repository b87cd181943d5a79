"""A page in the owner's browser cannot reach this server: rebinding, foreign origins, simple bodies."""

from __future__ import annotations

import itertools
import re

import pytest

from atp_engine.api.exchange import Exchange, HotEndpoints
from atp_engine.api.server import EngineProtocol
from atp_engine.config.models import Config, ServerConfig
from tests.support.web import ADMIN_TOKEN, CLIENT_KEY, JSON, Answer, Face, ask, build_face

REBINDING_HOSTS = [
    "evil.example",
    "evil.example:7443",
    "127.0.0.1.evil.example:7443",
    "localhost.evil.example",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:8080",
    "localhost.:7443",
    "0.0.0.0:7443",
    "2130706433:7443",
    "127.0.0.1:7443@evil.example",
    "[::ffff:127.0.0.1]:7443",
    "engine",
    "127.0.0.1:7443, evil.example",
    "",
    None,
]
FOREIGN_ORIGINS = [
    "null",
    "http://evil.example",
    "https://evil.example:7443",
    "http://127.0.0.1:8080",
    "http://localhost:7443",
    "http://127.0.0.1:7443.evil.example",
    "chrome-extension://abcdef",
    "file://",
]
BODY_TYPES = [
    None,
    "text/plain",
    "text/plain; application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
]


class _HotEndpoint:
    """Never called: what the guard refuses goes to the app, and the rest not through it."""

    def judge(self, protocol: EngineProtocol, query: bytes) -> Exchange:
        raise AssertionError

    async def serve(self, exchange: Exchange) -> None:
        raise AssertionError


HOT: HotEndpoints = {("POST", "/v1/chat/completions"): _HotEndpoint(), ("POST", "/v1/messages"): _HotEndpoint()}


def all_calls(face: Face) -> list[tuple[str, str]]:
    """Every (method, path) that is served, and a few that are not."""
    filled = [
        (method, re.sub(r"{\w+(:\w+)?}", "x", route.path))
        for route in face.app.routes
        for method in sorted(route.methods or ())
    ]
    return [*filled, *face.app.hot, ("GET", "/"), ("GET", "/nope"), ("POST", "/nope"), ("OPTIONS", "/admin/snapshot")]


def no_cors(answer: Answer) -> bool:
    return not any(name.startswith("access-control-") for name, _ in answer.headers)


@pytest.mark.parametrize("host", REBINDING_HOSTS)
async def test_a_foreign_host_is_refused_on_every_path(host: str | None) -> None:
    face = build_face(hot=HOT)
    for method, path in all_calls(face):
        answer = await ask(face.app, method, path, headers=JSON, host=host, token=ADMIN_TOKEN)
        assert answer.status == 421, (method, path)
        assert no_cors(answer)


@pytest.mark.parametrize("host", ["127.0.0.1:7443", "localhost:7443", "[::1]:7443", "LocalHost:7443"])
async def test_loopback_names_with_the_real_port_are_served(host: str) -> None:
    face = build_face()
    assert (await ask(face.app, "GET", "/livez", host=host)).status == 200


async def test_two_hosts_are_refused() -> None:
    face = build_face()
    assert (await ask(face.app, "GET", "/livez", headers=[("host", "127.0.0.1:7443")])).status == 400
    assert (await ask(face.app, "GET", "/livez", headers=[("host", "evil.example")])).status == 400


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("engine", 200), ("evil.example", 421), (None, 421)])
async def test_a_unix_socket_has_host_names_of_its_own(host: str | None, status: int) -> None:
    face = build_face()
    for server in (("/run/atp/engine.sock", None), None):
        answer = await ask(face.app, "GET", "/livez", host=host, server=server)  # type: ignore[arg-type]
        assert answer.status == status


async def test_a_host_named_in_the_config_is_served_from_the_next_request_on() -> None:
    current = [Config()]
    face = build_face(config=lambda: current[0])
    assert (await ask(face.app, "GET", "/livez", host="box.lan:7443")).status == 421
    current[0] = Config(server=ServerConfig(host="192.168.1.5", allowed_hosts=("Box.lan:7443",)))
    assert (await ask(face.app, "GET", "/livez", host="box.lan:7443")).status == 200
    assert (await ask(face.app, "GET", "/livez", host="192.168.1.5:7443")).status == 200
    assert (await ask(face.app, "GET", "/livez", host="box.lan")).status == 421
    current[0] = Config()
    assert (await ask(face.app, "GET", "/livez", host="box.lan:7443")).status == 421


async def test_binding_to_every_address_makes_no_name_of_it() -> None:
    config = Config(server=ServerConfig(host="0.0.0.0"))  # noqa: S104
    face = build_face(config=lambda: config)
    assert (await ask(face.app, "GET", "/livez", host="0.0.0.0:7443")).status == 421
    assert (await ask(face.app, "GET", "/livez", host="127.0.0.1:7443")).status == 200


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_a_foreign_origin_reaches_no_path_whatever_body_it_sends(origin: str) -> None:
    face = build_face(hot=HOT)
    for (method, path), kind in itertools.product(all_calls(face), [*BODY_TYPES, "application/json"]):
        headers = [("origin", origin), *([("content-type", kind)] if kind else [])]
        answer = await ask(face.app, method, path, headers=headers, token=ADMIN_TOKEN)
        assert answer.status == 403, (method, path, kind)
        assert no_cors(answer)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "garbage"])
async def test_a_foreign_site_reaches_no_path_even_without_an_origin(site: str) -> None:
    face = build_face(hot=HOT)
    for method, path in all_calls(face):
        headers = [*JSON, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")]
        answer = await ask(face.app, method, path, headers=headers, token=ADMIN_TOKEN)
        assert answer.status == 403, (method, path)


async def test_a_link_from_elsewhere_may_open_a_page_but_no_frame_and_no_data() -> None:
    face = build_face()

    async def visit(path: str, dest: str) -> int:
        site = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", dest)]
        return (await ask(face.app, "GET", path, headers=site)).status

    assert await visit("/ui/", "document") == 303
    assert await visit("/ui/requests/x", "document") == 303
    assert await visit("/ui/", "iframe") == 403
    assert await visit("/admin/snapshot", "document") == 403


async def test_the_dashboards_own_calls_are_served() -> None:
    face = build_face()
    own = [("origin", "http://127.0.0.1:7443"), ("sec-fetch-site", "same-origin")]
    assert (await ask(face.app, "GET", "/admin/status", headers=own, token=ADMIN_TOKEN)).status == 200
    typed = [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")]
    assert (await ask(face.app, "GET", "/ui/login", headers=typed)).status == 200


@pytest.mark.parametrize("kind", BODY_TYPES)
async def test_a_body_that_is_not_json_is_refused_before_anything_else(kind: str | None) -> None:
    face = build_face(hot=HOT)
    headers = [("content-type", kind)] if kind else []
    for method, path in all_calls(face):
        if method == "POST":
            answer = await ask(face.app, method, path, headers=headers, token=ADMIN_TOKEN)
            assert answer.status == 415, path


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON ; x=y"])
async def test_json_with_any_parameter_is_taken(kind: str) -> None:
    face = build_face()
    headers = [("content-type", kind)]
    assert (
        await ask(face.app, "POST", "/admin/test-request", headers=headers, token=ADMIN_TOKEN, body=b"{}")
    ).status == 200


def test_nothing_that_the_guard_refuses_is_plain_to_it() -> None:
    guard = build_face().app.guard
    usual = {b"host": b"127.0.0.1:7443", b"content-type": b"application/json", b"user-agent": b"x"}
    assert guard.is_plain(usual)
    for name, value in {"host": "evil.example", "content-type": "text/plain", "origin": "null"}.items():
        assert not guard.is_plain({**usual, name.encode(): value.encode()})
    assert not guard.is_plain({**usual, b"sec-fetch-site": b"same-origin"})
    assert not guard.is_plain({})


async def test_refusals_speak_the_dialect_of_the_path() -> None:
    face = build_face(hot=HOT)
    openai = await ask(face.app, "POST", "/v1/chat/completions", headers=JSON, host="evil.example")
    assert set(openai.json()["error"]) == {"message", "type", "param", "code"}
    anthropic = await ask(face.app, "POST", "/v1/messages", headers=JSON, host="evil.example")
    assert anthropic.json()["type"] == "error"
    assert "evil.example" not in anthropic.body.decode()


async def test_unknown_paths_and_wrong_methods_say_so_in_the_right_shape() -> None:
    face = build_face(hot=HOT)
    assert (await ask(face.app, "HEAD", "/api/nothing")).status == 404
    wrong = await ask(face.app, "GET", "/v1/messages")
    assert (wrong.status, wrong.header("allow"), wrong.json()["type"]) == (405, "POST", "error")
    wrong = await ask(face.app, "PUT", "/ui/login", headers=JSON)
    assert (wrong.status, wrong.header("allow")) == (405, "GET, HEAD, POST")
    for path in (
        "/ui/static/../../config.toml",
        "/ui/static/x/%2e%2e/app.py",
        "//admin/status",
        "/admin//status",
        "/docs",
    ):
        assert (await ask(face.app, "GET", path, token=ADMIN_TOKEN)).status == 404


async def test_web_sockets_are_closed_before_they_open() -> None:
    face = build_face()
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    await face.app({"type": "websocket", "path": "/admin/events", "headers": []}, receive, send)  # type: ignore[arg-type]
    assert sent == ["websocket.close"]


async def test_a_client_key_opens_client_routes_only() -> None:
    face = build_face()
    assert (await ask(face.app, "GET", "/admin/status", token=CLIENT_KEY)).status == 401
