"""Keys and budgets in a whole engine: made by API and command, held on every request, shown to those who may see."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from atp_console import launch as endpoint
from atp_console.commands import keys
from atp_console.commands.command import Place, Refused
from atp_engine.client.errors import EngineRefused
from tests.support.process import Home, run
from tests.support.running import SIMULATED, Running, running
from tests.support.until import until_answered

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def ask(model: str = "auto", most: int = 20) -> dict[str, Any]:
    return {"model": model, "max_tokens": most, "messages": [{"role": "user", "content": "hello"}]}


async def admin(engine: Running, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, Any]:
    sent = b"" if body is None else json.dumps(body).encode()
    answer = await engine.call(method, path, sent, token=token or engine.admin_token)
    return answer.status, answer.json()


async def test_a_key_is_made_used_limited_rotated_and_ended(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        wish: dict[str, Any] = {
            "name": "ci",
            "project": "web",
            "routes": ["auto"],
            "models": ["sim-fast"],
            "tags": ["nightly"],
        }
        wish["windows"] = [{"max_tokens": 3_000, "period": "hour"}]
        status, made = await admin(engine, "POST", "/admin/keys", wish)
        assert status == 200
        secret, key = made["secret"], made["key"]
        assert secret.startswith("atp_key_")
        assert secret not in json.dumps(await admin(engine, "GET", "/admin/keys"))
        assert key["shown_as"] == f"{secret[:12]}…{secret[-4:]}"

        async def call(path: str, body: Any) -> Any:
            return await engine.call("POST", path, json.dumps(body).encode(), token=secret)

        answer = await call(CHAT, ask())
        assert (answer.status, answer.headers["x-atp-deployment"]) == (200, "sim-fast")
        detail = await engine.request(answer.headers["x-atp-request-id"])
        reasons = {c["deployment"]: c["reason"] for c in detail["decision"]["candidates"]}
        assert reasons["sim-instant"] == "this key may not use it"
        assert (await call(CHAT, ask("sim-fast"))).status == 403
        listed = await engine.call("GET", "/v1/models", token=secret)
        assert [model["id"] for model in listed.json()["data"]] == ["auto"]
        refused = await call(CHAT, ask(most=4_000))
        assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        assert "of its 3,000 tokens left" in refused.json()["error"]["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 3_600
        other = await call(MESSAGES, ask(most=4_000))
        assert (other.status, other.json()["error"]["type"]) == (429, "rate_limit_error")
        window = (await admin(engine, "GET", "/admin/windows"))[1][0]
        assert (window["scope"], window["subject"], window["max_tokens"]) == ("key", "ci", 3_000)
        assert window["used_tokens"] > 0
        assert window["reserved_tokens"] == 0

        status, rotated = await admin(engine, "POST", f"/admin/keys/{key['id']}/rotate")
        assert (await call(CHAT, ask())).status == 401
        secret = rotated["secret"]
        assert (await call(CHAT, ask())).status == 200
        assert (await admin(engine, "POST", f"/admin/keys/{key['id']}/revoke"))[1] == {"revoked": True}
        assert (await call(CHAT, ask())).status == 401
        assert (await admin(engine, "POST", f"/admin/keys/{key['id']}/revoke"))[1] == {"revoked": False}
        assert (await admin(engine, "GET", "/admin/windows"))[1] == []
        for body in ({}, {"name": ""}, {"name": "x", "windows": [{"max_usd": -1}]}, {"name": "x", "color": "red"}):
            assert (await admin(engine, "POST", "/admin/keys", body))[0] == 400
        assert (await admin(engine, "GET", "/admin/keys/key_none"))[0] == 404


async def test_each_role_may_do_what_it_says_and_a_viewer_sees_no_client_key(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        tokens = {}
        for role in ("viewer", "operator", "admin"):
            status, made = await admin(engine, "POST", "/admin/tokens", {"name": role, "role": role})
            assert status == 200
            tokens[role] = made
        may = {
            ("GET", "/admin/keys"): {"viewer", "operator", "admin"},
            ("GET", "/admin/windows"): {"viewer", "operator", "admin"},
            ("POST", "/admin/launch-code"): {"operator", "admin"},
            ("POST", "/admin/keys"): {"admin"},
            ("GET", "/admin/tokens"): {"admin"},
        }
        for (method, path), roles in may.items():
            for role, made in tokens.items():
                body = {"name": f"by {role}"} if path == "/admin/keys" and method == "POST" else None
                status, _ = await admin(engine, method, path, body, token=made["secret"])
                assert (status == 200) is (role in roles), (method, path, role)
                assert status in (200, 403)
        for path in ("/admin/snapshot", "/admin/connections"):
            for role, made in tokens.items():
                _, seen = await admin(engine, "GET", path, token=made["secret"])
                assert (engine.key in json.dumps(seen)) is (role != "viewer"), (path, role)
        ended = tokens["operator"]
        login = json.dumps({"token": ended["secret"]}).encode()
        opened = await engine.call("POST", "/ui/login", login, token="")
        cookie = {"cookie": opened.headers["set-cookie"].partition(";")[0]}
        assert (await engine.call("GET", "/admin/status", headers=cookie, token="")).status == 200
        await admin(engine, "POST", f"/admin/tokens/{ended['token']['id']}/revoke")
        assert (await admin(engine, "GET", "/admin/status", token=ended["secret"]))[0] == 401
        assert (await engine.call("GET", "/admin/status", headers=cookie, token="")).status == 401


WINDOWS = """
[windows.day]
max_usd = 1.0
[windows.one]
scope = "session"
max_parallel = 1
period = "in_flight"
"""


async def test_a_cancelled_and_a_failed_request_leave_nothing_reserved(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED + WINDOWS) as engine:
        body = json.dumps({**ask("sim-fast", 2_000), "stream": True}).encode()
        async with engine.connection() as (reader, writer):
            writer.write(engine.head("POST", CHAT, len(body)) + body)
            await reader.readuntil(b"data: ")
            windows = {view["name"]: view for view in (await admin(engine, "GET", "/admin/windows"))[1]}
            assert (windows["day"]["in_flight"], windows["one"]["in_flight"]) == (1, 1)

        async def is_over() -> bool:
            return not any(view["in_flight"] for view in (await admin(engine, "GET", "/admin/windows"))[1])

        await until_answered(is_over)
        failing = {**ask("sim-instant"), "messages": [{"role": "user", "content": "[[sim:500]]"}]}
        failed = await engine.post(CHAT, failing)
        assert failed.status >= 500
        for view in (await admin(engine, "GET", "/admin/windows"))[1]:
            assert (view["in_flight"], view["reserved_tokens"], view["reserved_nusd"]) == (0, 0, 0)


async def test_keys_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, SIMULATED) as engine:

        def command(*words: str) -> str:
            parser = ArgumentParser(exit_on_error=False)
            keys.declare(parser)
            found = endpoint.running(engine.paths.data_dir)
            assert found is not None
            place = Place(engine.paths.data_dir, engine.paths.config_file, lambda: found[0])
            assert keys.run(place, parser.parse_args(words)) == 0
            return capsys.readouterr().out

        async def told(*words: str) -> str:
            return await asyncio.to_thread(command, *words)

        secret = (
            await told("create", "laptop", "--max-usd", "5", "--period", "month", "--expires", "30d", "--tag", "mine")
        ).strip()
        assert secret.startswith("atp_key_")
        listed = await told("list")
        assert "laptop" in listed
        assert secret not in listed
        assert "$0.0000 of $5.00" in await told("show", "laptop")
        rotated = json.loads(await told("rotate", "laptop", "--json"))
        assert rotated["secret"] != secret
        assert (await engine.call("GET", "/v1/models", token=rotated["secret"])).status == 200
        assert "is revoked" in await told("revoke", "laptop")
        assert "revoked" in await told("show", "laptop")
        assert (await told("token-create", "wall", "--role", "viewer")).startswith("atp_admin_")
        assert "viewer" in await told("token-list")
        assert "is revoked" in await told("token-revoke", "wall")
        for wrong, words in (
            (("revoke", "laptop"), "there is no key 'laptop'"),
            (("create", "x", "--max-usd", "nan"), "finite number"),
            (("create", "x", "--max-tokens", "-1"), "max_tokens"),
            (("create", "x", "--expires", "soon"), "30m, 12h, 30d, 8w"),
        ):
            with pytest.raises((Refused, EngineRefused), match=words):
                await told(*wrong)


def test_the_command_is_wired(tmp_path: Path) -> None:
    refused = run(Home(tmp_path), "keys", "list")
    assert (refused.code, "no engine answers" in refused.err) == (1, True)
