"""The admin API answers with the views, caps and checks what comes in, and shows no secret."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from atp_engine.api.admin import BODY_CAP, shown_config
from atp_engine.config.models import Config, ProviderConfig
from atp_engine.core.types import RequestState
from atp_engine.core.views import (
    CancelReply,
    ConfigView,
    DeploymentView,
    EngineView,
    FirstRun,
    RequestDetail,
    RequestPage,
    SessionDetail,
    SessionView,
    Snapshot,
    Tail,
    TrialReply,
)
from tests.support.web import ADMIN_TOKEN, JSON, Answer, Face, ask, build_face, deployment_row, row, session_row


def staged() -> Face:
    face = build_face()
    for number in range(3):
        face.observatory.put(row(id=f"req_{number}", started_at=1_760_000_000.0 + number))
    face.observatory.put(row(id="open", state=RequestState.STREAMING, duration_ms=None, http_status=0))
    face.observatory.put_session(session_row())
    face.observatory.put_deployment(deployment_row())
    face.observatory.tails["open"] = Tail("open", RequestState.STREAMING, "so far", 3)
    return face


async def get(face: Face, path: str) -> Answer:
    return await ask(face.app, "GET", path, token=ADMIN_TOKEN)


async def post(face: Face, path: str, body: bytes = b"") -> Answer:
    return await ask(face.app, "POST", path, headers=JSON, body=body, token=ADMIN_TOKEN)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/admin/snapshot", Snapshot),
        ("/admin/status", EngineView),
        ("/admin/requests", RequestPage),
        ("/admin/requests/req_1", RequestDetail),
        ("/admin/requests/open/tail", Tail),
        ("/admin/sessions", tuple[SessionView, ...]),
        ("/admin/sessions/cc-7f3a", SessionDetail),
        ("/admin/deployments", tuple[DeploymentView, ...]),
        ("/admin/config", ConfigView),
        ("/admin/connections", FirstRun),
    ],
)
async def test_every_view_decodes_as_its_own_type_and_is_not_cached(path: str, kind: Any) -> None:
    answer = await get(staged(), path)
    assert answer.status == 200
    msgspec.json.decode(answer.body, type=kind)
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert answer.header("x-atp-request-id")


async def test_a_filter_a_limit_and_a_cursor_reach_the_observatory() -> None:
    face = staged()
    first = (await get(face, "/admin/requests?q=state:ok&limit=2")).json()
    assert [view["id"] for view in first["requests"]] == ["req_2", "req_1"]
    rest = (await get(face, f"/admin/requests?q=state:ok&limit=2&before={first['next_before']}")).json()
    assert [view["id"] for view in rest["requests"]] == ["req_0"]
    assert rest["next_before"] == ""


@pytest.mark.parametrize(
    "query", ["q=sttus:4", "q=(", "q=%FF%00:", "q=" + "a" * 600, "limit=-1", "limit=1e3", "limit="]
)
async def test_a_bad_query_is_explained(query: str) -> None:
    answer = await get(staged(), f"/admin/requests?{query}")
    assert answer.status in (200, 400)
    if answer.status == 400:
        assert answer.json()["error"]["code"] == "invalid_request"
        assert len(answer.json()["error"]["message"]) > 8


@pytest.mark.parametrize(
    "path", ["/admin/requests/none", "/admin/requests/none/tail", "/admin/sessions/none", "/admin/requests/%00%1b[31m"]
)
async def test_unknown_things_are_a_404(path: str) -> None:
    answer = await get(staged(), path)
    assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_session_id_may_hold_slashes() -> None:
    face = staged()
    face.observatory.put_session(session_row(id="team/web/7"))
    assert (await get(face, "/admin/sessions/team/web/7")).json()["session"]["id"] == "team/web/7"


async def test_cancelling_says_whether_there_was_something_to_cancel_and_who_asked() -> None:
    face = staged()
    assert (await post(face, "/admin/requests/open/cancel")).json() == {"cancelled": True}
    assert face.observatory.cancelled == [("open", "an operator with a token")]
    assert face.observatory.noted == [("an operator with a token", "request.cancelled", "open", "")]
    again = await post(face, "/admin/requests/open/cancel", b"{}")
    assert msgspec.json.decode(again.body, type=CancelReply) == CancelReply(False)


async def test_a_test_request_names_its_model_or_none() -> None:
    face = staged()
    reply = msgspec.json.decode((await post(face, "/admin/test-request")).body, type=TrialReply)
    assert (reply.request_id, reply.status) == ("req_trial", 200)
    await post(face, "/admin/test-request", b'{"model":"auto"}')
    assert face.trials == ["", "auto"]


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"model":7}', b'{"other":1}', b"\xff\xfe", b"[" * 50_000, b'{"model":"\\ud83c"}']
)
async def test_a_body_that_does_not_fit_is_a_400(body: bytes) -> None:
    answer = await post(staged(), "/admin/test-request", body)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request")


async def test_a_body_over_the_cap_is_refused_by_its_length_or_by_its_bytes() -> None:
    face = staged()
    told = [*JSON, ("content-length", str(BODY_CAP + 1))]
    assert (await ask(face.app, "POST", "/admin/test-request", headers=told, token=ADMIN_TOKEN)).status == 413
    answer = await post(face, "/admin/test-request", b" " * (BODY_CAP + 1))
    assert (answer.status, answer.json()["error"]["code"]) == (413, "prompt_too_large")
    assert face.trials == []


async def test_the_config_shows_references_but_neither_header_values_nor_users_in_urls() -> None:
    provider = ProviderConfig(
        kind="custom",
        base_url="https://user:hunter2@llm.example/v1?key=hunter3",
        api_key="env:LLM_KEY",
        headers={"x-team-token": "hunter4"},
        proxy="socks5://me:hunter5@proxy.example:1080",
    )
    shown = shown_config(Config(providers={"acme": provider}))
    text = msgspec.json.encode(shown).decode()
    assert "hunter" not in text
    assert shown["providers"]["acme"]["api_key"] == "env:LLM_KEY"
    assert shown["providers"]["acme"]["base_url"] == "https://llm.example/v1"
    assert list(shown["providers"]["acme"]["headers"]) == ["x-team-token"]
    assert "hunter" not in (await get(staged(), "/admin/config")).body.decode()


async def test_a_caller_who_leaves_while_sending_breaks_nothing() -> None:
    face = staged()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:7443"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ui/login",
        "headers": headers,
        "query_string": b"",
        "scheme": "http",
    }
    async with asyncio.timeout(5):
        await face.app(scope, receive, send)
    assert sent[0]["status"] == 499
