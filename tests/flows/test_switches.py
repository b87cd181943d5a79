"""An operator's hand on a deployment: open, close, drain, enable, disable, probe, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.running import SIMULATED, Running, running, upstream_config
from tests.support.upstream import Upstream, answer

SHORT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


async def served(engine: Running) -> str:
    answer = await engine.post("/v1/chat/completions", {"model": "auto", **SHORT})
    return answer.headers.get("x-atp-deployment", str(answer.status))


async def act(engine: Running, act: str, key: str = "sim-instant") -> dict[str, object]:
    answer = await engine.admin("POST", f"/admin/deployments/{key}/{act}")
    assert answer.status == 200
    view: dict[str, object] = json.loads(answer.body)
    return view


async def test_each_switch_takes_effect_at_once_is_shown_audited_and_kept_over_a_reload(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        assert await served(engine) == "sim-instant"
        assert (await act(engine, "open"))["is_held_open"]
        assert await served(engine) == "sim-fast"
        version = engine.engine.observatory.status().config_version
        (tmp_path / "atp.toml").write_text(SIMULATED + "strategy = 'ordered'\n")
        await engine.until(lambda: engine.engine.observatory.status().config_version > version)
        assert await served(engine) == "sim-fast"
        view = await act(engine, "close")
        assert (view["circuit"], view["block"]) == ("closed", "")
        assert await served(engine) == "sim-instant"
        assert not (await act(engine, "disable"))["is_enabled"]
        assert await served(engine) == "sim-fast"
        assert (await act(engine, "enable"))["is_enabled"]
        assert await served(engine) == "sim-instant"
        await act(engine, "drain")
        assert (await act(engine, "drain", "sim-fast"))["block"] == "draining"
        assert await served(engine) == "503"
        entries = (await engine.admin("GET", "/admin/audit")).json()["entries"]
        done = [entry["action"] for entry in entries if entry["target"].startswith("sim-")]
        assert done[:3] == ["deployment.drain", "deployment.drain", "deployment.enable"]


async def test_a_deployment_disabled_in_the_config_can_be_enabled_by_hand(tmp_path: Path) -> None:
    off = SIMULATED.replace('model = "sim-instant"', 'model = "sim-instant"\nis_enabled = false')
    async with running(tmp_path, off) as engine:
        assert await served(engine) == "sim-fast"
        assert (await act(engine, "enable"))["is_enabled"]
        assert await served(engine) == "sim-instant"


async def test_a_drain_lets_the_streams_in_flight_end_and_takes_no_new_work(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        body = {"model": "sim-fast", "stream": True, "max_tokens": 40, "messages": SHORT["messages"]}
        streaming = asyncio.create_task(engine.post("/v1/chat/completions", body))
        await engine.until(lambda: any(view.in_flight for view in engine.engine.observatory.deployments()))
        await act(engine, "drain", "sim-fast")
        refused = await engine.post("/v1/chat/completions", {"model": "sim-fast", **SHORT})
        assert refused.status == 503
        assert b"draining" in refused.body
        assert (await streaming).events()[-1] == "[DONE]"


async def test_unknown_deployments_and_acts_are_told_apart(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        for place, said in [("none/open", b"No such deployment"), ("sim-fast/explode", b"drain")]:
            target = f"/admin/deployments/{place}"
            answer = await engine.admin("POST", target)
            assert (answer.status, said in answer.body) == (404, True)


async def test_a_probe_asks_the_free_model_list_and_never_the_model(tmp_path: Path) -> None:
    listed = answer(json.dumps({"data": [{"id": "model-a"}, {"id": "other"}]}).encode())
    async with Upstream(listed, then=[listed, answer(b"{}", 500)]) as upstream:
        config = upstream_config({"a": upstream.port}) + SIMULATED.partition("port = 0")[2].partition("[routes")[0]
        async with running(tmp_path, config) as engine:
            reply = await act(engine, "probe", "a")
            assert (reply["has_list"], reply["is_ok"], reply["is_listed"]) == (True, True, True)
            reply = await act(engine, "probe", "a")
            assert (reply["has_list"], reply["is_ok"]) == (True, False)
            assert {(seen.method, seen.target) for seen in upstream.requests} == {("GET", "/v1/models")}
            reply = await act(engine, "probe")
            assert not reply["has_list"]
            assert "nothing was called" in str(reply["message"])
