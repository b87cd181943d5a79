"""Every route has a stated policy, and it holds: tokens, cookies, CSRF, launch codes, throttling."""

from __future__ import annotations

import re

import pytest
from starlette.responses import Response

from atp_engine.api.auth import Call, Policy
from atp_engine.config.models import Config, ServerConfig
from tests.support.web import ADMIN_TOKEN, CLIENT_KEY, JSON, VIEWER_TOKEN, Answer, Face, ask, build_face, row

PUBLIC = {
    "/",
    "/v1",
    "/v1/",
    "/api/hello",
    "/ui",
    "/ui/login",
    "/ui/static/{version}/{name:path}",
    "/livez",
    "/readyz",
    "/healthz",
}


async def show_models(call: Call) -> Response:
    assert call.visitor.caller is not None
    return Response(call.visitor.caller.key_name)


CLIENT_ROUTES = [("GET", "/v1/models/{id:path}", show_models)]


def filled(path: str) -> str:
    return re.sub(r"{\w+(:\w+)?}", "x", path)


def cookie_of(answer: Answer) -> str:
    return (answer.header("set-cookie") or "").partition(";")[0]


async def log_in(face: Face, token: str = ADMIN_TOKEN) -> tuple[str, str]:
    """The cookie header and the CSRF token of a fresh browser session."""
    answer = await ask(face.app, "POST", "/ui/login", headers=JSON, body=b'{"token":"%s"}' % token.encode())
    assert answer.status == 200
    return cookie_of(answer), answer.json()["csrf_token"]


async def test_every_route_has_a_policy_and_refuses_strangers() -> None:
    face = build_face(client_routes=CLIENT_ROUTES)
    assert len(face.app.routes) > 20
    for route in face.app.routes:
        assert isinstance(route.policy, Policy)
        assert (route.policy is Policy.PUBLIC) == (route.path in PUBLIC), route.path
        for method in route.methods or ():
            answer = await ask(face.app, method, filled(route.path), headers=JSON)
            if route.policy is Policy.PAGE:
                assert (answer.status, answer.header("location")) == (303, f"/ui/login?next={filled(route.path)}")
            elif route.policy is not Policy.PUBLIC:
                assert answer.status == 401, (method, route.path)
                assert answer.header("www-authenticate") == "Bearer"
                assert answer.header("x-atp-request-id")


async def test_wrong_credentials_of_any_form_are_refused_everywhere() -> None:
    vectors = [
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", f"Bearer {ADMIN_TOKEN}x"),
        ("authorization", f"Bearer {ADMIN_TOKEN.upper()}"),
        ("authorization", f"Basic {ADMIN_TOKEN}"),
        ("authorization", ADMIN_TOKEN),
        ("authorization", "Bearer " + "a" * 100_000),
        ("authorization", "Bearer \xff\xfe"),
        ("x-api-key", ADMIN_TOKEN),
        ("cookie", f"atp_session_7443={ADMIN_TOKEN}"),
        ("cookie", "atp_session_7443=; ; =x; atp_session_7443"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-original-url", "/livez"),
        ("x-http-method-override", "GET"),
    ]
    face = build_face(client_routes=CLIENT_ROUTES)
    for route in face.app.routes:
        if route.policy in (Policy.PUBLIC, Policy.PAGE):
            continue
        for header in vectors:
            for method in route.methods or ():
                answer = await ask(face.app, method, filled(route.path), headers=[*JSON, header])
                assert answer.status in (401, 429), (method, route.path, header[0])


async def test_a_viewer_may_look_but_not_act() -> None:
    face = build_face()
    for route in face.app.routes:
        if route.policy in (Policy.VIEW, Policy.SCRAPE) and route.path not in ("/admin/events", "/ui/logout"):
            for_viewer = await ask(face.app, "GET", filled(route.path), token=VIEWER_TOKEN)
            assert for_viewer.status in (200, 404), route.path
        if route.policy is Policy.ACT:
            refused = await ask(face.app, "POST", filled(route.path), headers=JSON, token=VIEWER_TOKEN)
            assert (refused.status, refused.json()["error"]["code"]) == (403, "permission_denied")


async def test_a_client_key_is_no_admin_token_and_the_other_way_round() -> None:
    face = build_face(client_routes=CLIENT_ROUTES)
    assert (await ask(face.app, "GET", "/v1/models/auto", token=CLIENT_KEY)).body == b"laptop"
    refused = await ask(face.app, "GET", "/v1/models/auto", token=ADMIN_TOKEN)
    assert (refused.status, refused.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_the_cookie_is_for_this_browser_and_this_site_only() -> None:
    face = build_face()
    answer = await ask(face.app, "POST", "/ui/login", headers=JSON, body=b'{"token":"%s"}' % ADMIN_TOKEN.encode())
    cookie = (answer.header("set-cookie") or "").lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie
    assert ADMIN_TOKEN not in answer.body.decode() + cookie
    assert len(cookie_of(answer).partition("=")[2]) >= 43


async def test_a_cookie_reads_at_once_and_writes_with_its_csrf_token_only() -> None:
    face = build_face()
    cookie, csrf = await log_in(face)
    path = "/admin/launch-code"
    assert (await ask(face.app, "GET", "/admin/status", headers=[("cookie", cookie)])).status == 200
    assert (await ask(face.app, "POST", path, headers=[*JSON, ("cookie", cookie)])).status == 403
    wrong = [*JSON, ("cookie", cookie), ("x-csrf-token", csrf[:-1])]
    assert (await ask(face.app, "POST", path, headers=wrong)).status == 403
    other, _ = await log_in(face)
    crossed = [*JSON, ("cookie", other), ("x-csrf-token", csrf)]
    assert (await ask(face.app, "POST", path, headers=crossed)).status == 403
    right = [*JSON, ("cookie", f"theme=dark; {cookie}"), ("x-csrf-token", csrf)]
    assert (await ask(face.app, "POST", path, headers=right)).status == 200


async def test_a_planted_cookie_of_the_same_name_does_not_lock_the_owner_out() -> None:
    face = build_face()
    cookie, _ = await log_in(face)
    planted = [("cookie", f"atp_session_7443=planted; {cookie}")]
    assert (await ask(face.app, "GET", "/admin/status", headers=planted)).status == 200


async def test_a_wrong_bearer_is_not_saved_by_a_good_cookie() -> None:
    face = build_face()
    cookie, _ = await log_in(face)
    assert (await ask(face.app, "GET", "/admin/status", headers=[("cookie", cookie)], token="wrong")).status == 401


async def test_sessions_end_by_logout_by_time_and_by_number() -> None:
    face = build_face()
    cookie, csrf = await log_in(face)
    held = [("cookie", cookie)]
    assert (await ask(face.app, "GET", "/ui/session", headers=held)).json() == {"role": "admin", "csrf_token": csrf}
    out = await ask(face.app, "POST", "/ui/logout", headers=[*JSON, *held, ("x-csrf-token", csrf)])
    assert out.status == 200
    assert (await ask(face.app, "GET", "/admin/status", headers=held)).status == 401

    cookie, _ = await log_in(face)
    face.clock.step(12 * 3600 - 1)
    assert (await ask(face.app, "GET", "/admin/status", headers=[("cookie", cookie)])).status == 200
    face.clock.step(2)
    assert (await ask(face.app, "GET", "/admin/status", headers=[("cookie", cookie)])).status == 401

    first, _ = await log_in(face)
    for _ in range(64):
        last, _ = await log_in(face)
    assert (await ask(face.app, "GET", "/admin/status", headers=[("cookie", first)])).status == 401
    assert (await ask(face.app, "GET", "/admin/status", headers=[("cookie", last)])).status == 200


async def test_a_viewers_login_stays_a_viewer() -> None:
    face = build_face()
    cookie, csrf = await log_in(face, VIEWER_TOKEN)
    headers = [*JSON, ("cookie", cookie), ("x-csrf-token", csrf)]
    assert (await ask(face.app, "GET", "/admin/status", headers=headers)).status == 200
    assert (await ask(face.app, "POST", "/admin/requests/x/cancel", headers=headers)).status == 403


async def launch_code(face: Face) -> str:
    answer = await ask(face.app, "POST", "/admin/launch-code", headers=JSON, token=ADMIN_TOKEN)
    assert answer.json()["expires_s"] == 60
    return str(answer.json()["code"])


async def redeem(face: Face, code: str) -> int:
    return (await ask(face.app, "POST", "/ui/login", headers=JSON, body=b'{"code":"%s"}' % code.encode())).status


async def test_a_launch_code_opens_the_dashboard_once_within_a_minute() -> None:
    face = build_face()
    code = await launch_code(face)
    assert await redeem(face, code) == 200
    assert await redeem(face, code) == 401
    code = await launch_code(face)
    face.clock.step(59)
    assert await redeem(face, code) == 200
    code = await launch_code(face)
    face.clock.step(61)
    assert await redeem(face, code) == 401


async def test_launch_codes_are_few_and_differ() -> None:
    face = build_face()
    codes = [await launch_code(face) for _ in range(20)]
    assert len(set(codes)) == 20
    assert await redeem(face, codes[0]) == 401
    assert await redeem(face, codes[-1]) == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"code":1}', b'{"code":"a","token":"b"}', b'{"code":""}', b"{", b"\xff", b'{"x":1}'],
)
async def test_a_login_that_names_no_single_credential_is_a_bad_request(body: bytes) -> None:
    face = build_face()
    assert (await ask(face.app, "POST", "/ui/login", headers=JSON, body=body)).status == 400


async def test_guessing_is_slowed_down_and_the_right_secret_is_not() -> None:
    face = build_face()
    statuses = [
        (await ask(face.app, "POST", "/ui/login", headers=JSON, body=b'{"token":"guess%d"}' % i)).status
        for i in range(30)
    ]
    assert statuses[:10] == [401] * 10
    assert set(statuses[10:]) == {429}
    answer = await ask(face.app, "GET", "/admin/status", token="guess")
    assert answer.status == 429
    assert int(answer.header("retry-after") or 0) >= 1
    assert (await ask(face.app, "GET", "/admin/status", token=ADMIN_TOKEN)).status == 200
    await log_in(face)
    face.clock.step(60)
    assert (await ask(face.app, "GET", "/admin/status", token="guess")).status == 401


async def test_metrics_are_open_only_when_the_config_says_so() -> None:
    current = [Config()]
    face = build_face(config=lambda: current[0])
    assert (await ask(face.app, "GET", "/metrics")).status == 401
    assert (await ask(face.app, "GET", "/metrics", token=VIEWER_TOKEN)).status == 200
    current[0] = Config(server=ServerConfig(is_metrics_public=True))
    answer = await ask(face.app, "GET", "/metrics")
    assert (answer.status, answer.body) == (200, b"atp_requests_total 0\n")
    assert (answer.header("content-type") or "").startswith("text/plain; version=0.0.4")


async def test_an_unexpected_failure_is_a_plain_500_and_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def break_down(call: Call) -> Response:
        raise KeyError("hunter2")

    face = build_face(client_routes=[("GET", "/v1/broken", break_down)])
    answer = await ask(face.app, "GET", "/v1/broken", token=CLIENT_KEY)
    assert answer.status == 500
    assert "hunter2" not in answer.body.decode()
    assert answer.json()["error"]["code"] == "internal_error"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert getattr(caplog.records[0], "request_id", "") == answer.header("x-atp-request-id")


async def test_refusals_write_no_stack(caplog: pytest.LogCaptureFixture) -> None:
    face = build_face()
    face.observatory.put(row())
    for path in ("/admin/requests?q=nonsense:1", "/admin/requests/none", "/nope", "/admin/requests?limit=x"):
        assert (await ask(face.app, "GET", path, token=ADMIN_TOKEN)).status in (400, 404)
    assert (await ask(face.app, "GET", "/admin/status", token="wrong")).status == 401
    assert not [record for record in caplog.records if record.exc_info]
    assert "wrong" not in caplog.text
