"""An operator's hand on a session: pause, resume, pin, class, budget, drop, end, and what each leaves behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.flows.test_slots import REPLY
from tests.support.running import SIMULATED, Running, running, upstream_config
from tests.support.upstream import SeenRequest, Upstream, Wire, answer

SHORT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


async def ask(engine: Running, model: str = "auto", session: str = "one") -> tuple[int, str, dict[str, str]]:
    answer = await engine.post("/v1/chat/completions", {"model": model, **SHORT}, headers={"x-session-id": session})
    return answer.status, answer.headers.get("x-atp-deployment", answer.body.decode()), answer.headers


async def act(engine: Running, held: str, name: str, **value: object) -> dict[str, object]:
    answer = await engine.admin("POST", f"/admin/sessions/{held}/{name}", json.dumps(value).encode())
    assert answer.status == 200, answer.body
    view: dict[str, object] = json.loads(answer.body)
    return view


async def test_each_act_takes_effect_at_once_is_shown_and_audited(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        assert (await ask(engine))[:2] == (200, "sim-instant")
        assert (await ask(engine, session="other"))[0] == 200
        sessions = engine.engine.observatory.sessions(9)
        held = next(view.id for view in sessions if view.id.startswith("one"))

        assert (await act(engine, held, "pause"))["hold"] == "paused"
        status, said, headers = await ask(engine)
        assert (status, "paused by an operator" in said) == (503, True)
        assert int(headers["retry-after"]) > 0
        assert (await ask(engine, session="other"))[0] == 200
        assert (await act(engine, held, "resume"))["hold"] == ""

        assert (await act(engine, held, "pin", deployment="sim-fast"))["pinned"] == "sim-fast"
        assert (await ask(engine))[:2] == (200, "sim-fast")
        assert (await ask(engine, model="sim-instant"))[:2] == (200, "sim-fast"), "also where the route leads elsewhere"
        assert (await act(engine, held, "pin"))["pinned"] == ""
        assert (await ask(engine))[:2] == (200, "sim-instant")

        assert (await act(engine, held, "qos", qos="gold"))["qos"] == "gold"
        assert (await act(engine, held, "qos"))["qos"] == ""

        assert (await act(engine, held, "drop"))["hold"] == "dropped"
        status, said, headers = await ask(engine)
        assert (status, "dropped by an operator" in said, "retry-after" in headers) == (403, True, False)

        await act(engine, held, "end")
        assert (await ask(engine))[0] == 200, "its next request begins a new session"
        entries = (await engine.admin("GET", "/admin/audit")).json()["entries"]
        done = [entry["action"] for entry in entries if entry["target"] == held]
        acts = ["pause", "resume", "pin", "pin", "qos", "qos", "drop", "end"]
        assert done[::-1] == [f"session.{one}" for one in acts]


async def test_a_capped_session_is_refused_when_its_dollars_are_spent_and_no_other(tmp_path: Path) -> None:
    priced = SIMULATED.replace('model = "sim-instant"', 'model = "sim-instant"\nprice = { input = 1.0, output = 1.0 }')
    async with running(tmp_path, priced) as engine:
        assert (await ask(engine, "sim-instant"))[0] == 200
        held = engine.engine.observatory.sessions(9)[0].id
        assert (await act(engine, held, "budget", max_usd=0.0))["budget_usd"] == 0.0
        status, said, _ = await ask(engine, "sim-instant")
        assert (status, f"session:{held}" in said) == (429, True)
        assert (await ask(engine, "sim-instant", "other"))[0] == 200
        windows = (await engine.admin("GET", "/admin/windows")).json()
        assert f"session:{held}" in json.dumps(windows)
        assert (await act(engine, held, "budget"))["budget_usd"] is None
        assert (await ask(engine, "sim-instant"))[0] == 200
        await act(engine, held, "budget", max_usd=5.0)
        await act(engine, held, "end")
        assert f"session:{held}" not in json.dumps((await engine.admin("GET", "/admin/windows")).json())


async def test_ending_cancels_what_is_in_flight_and_wrong_values_are_told(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        body = {"model": "sim-fast", "stream": True, "max_tokens": 4_000, "messages": SHORT["messages"]}
        streaming = asyncio.create_task(engine.post("/v1/chat/completions", body))
        await engine.until(lambda: any(view.in_flight for view in engine.engine.observatory.deployments()))
        held = engine.engine.observatory.sessions(9)[0].id
        for target, value, status, said in [
            (f"{held}/explode", {}, 404, b"pause"),
            ("none/pause", {}, 404, b"No such session"),
            (f"{held}/pin", {"deployment": "nowhere"}, 400, b"sim-fast"),
            (f"{held}/qos", {"qos": "iron"}, 400, b"bronze"),
            (f"{held}/budget", {"max_usd": -1}, 400, b"max_usd"),
            (f"{held}/budget", {"dollars": 1}, 400, b"dollars"),
        ]:
            answer = await engine.admin("POST", f"/admin/sessions/{target}", json.dumps(value).encode())
            assert (answer.status, said in answer.body) == (status, True), answer.body
        await act(engine, held, "end")
        assert b"cancelled by" in (await streaming).body
        assert not engine.engine.observatory.sessions(9)


async def test_a_session_s_class_decides_its_place_in_the_queue(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def held(wire: Wire, seen: SeenRequest) -> None:
        await release.wait()
        await answer(REPLY)(wire, seen)

    async with (
        Upstream(held) as upstream,
        running(tmp_path, upstream_config({"a": upstream.port}) + "\n[limits.adaptive]\nbase = 1\n") as engine,
    ):

        def queued() -> int:
            return sum(view.queued for view in engine.engine.observatory.deployments())

        calls = [asyncio.create_task(ask(engine, session="urgent"))]
        await upstream.until(lambda one: bool(one.requests))
        urgent = engine.engine.observatory.sessions(9)[0].id
        await act(engine, urgent, "qos", qos="gold")
        for waiting, session in enumerate(("slow", "slower", "urgent"), 1):
            calls.append(asyncio.create_task(ask(engine, session=session)))
            await engine.until(lambda most=waiting: queued() == most)  # type: ignore[misc]
        views = [view for view in engine.engine.observatory.snapshot().requests if view.state == "queued"]
        assert [view.session_id for view in views if view.queue_position == 1] == [urgent], "it came last"
        text = (await engine.admin("GET", "/metrics")).body.decode()
        assert 'atp_queue_depth{qos="gold"} 1' in text
        assert 'atp_queue_depth{qos="silver"} 2' in text
        release.set()
        answers = await asyncio.gather(*calls)
        assert [status for status, *_ in answers] == [200] * 4
        waits = [(await engine.request(one[2]["x-atp-request-id"]))["request"]["queue_wait_ms"] for one in answers]
        assert waits[3] < min(waits[1:3]), "it went first"
