"""ATP's own calls end to end: frames, wishes, plans and feedback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.running import SIMULATED, Running, running, upstream_config
from tests.support.upstream import Upstream, answer, reset

PRICED = SIMULATED.replace(
    'model = "sim-instant"', 'model = "sim-instant"\nprice = { input = 1.0, output = 10.0 }'
).replace('model = "sim-fast"', 'model = "sim-fast"\nprice = { input = 4.0, output = 40.0 }')
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "model-b",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def chunks(*texts: str) -> bytes:
    """A streamed answer in OpenAI's dialect."""
    lines: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]} for text in texts
    ]
    lines.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    lines.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}})
    shared = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "model-b"}
    return b"".join(b"data: %b\n\n" % json.dumps({**shared, **line}).encode() for line in lines) + b"data: [DONE]\n\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One engine for what leaves no trace."""
    async with running(tmp_path_factory.mktemp("ask"), SIMULATED) as engine:
        yield engine


async def ask(engine: Running, path: str = "/v1/ask", headers: dict[str, str] | None = None, **body: Any) -> Any:
    return await engine.post(path, {"prompt": "What does a router do?", "max_tokens": 20, **body}, headers)


async def test_an_ask_is_answered_in_frames_whose_figures_are_the_ledgers(tmp_path: Path) -> None:
    async with running(tmp_path, PRICED) as engine:
        told = await ask(engine, session_id="s-1", tenant="blue", task_type="chat")
        assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
        names = [line[7:] for line in told.body.decode().splitlines() if line.startswith("event: ")]
        frames = told.events()
        assert names == [frame["type"] for frame in frames]
        assert (names[0], names[1], names[-1]) == ("plan", "event", "final")
        plan, final = frames[0], frames[-1]
        assert plan["chosen"] == "sim-instant"
        assert [candidate["reason"] for candidate in plan["candidates"]] == ["first in order", "2nd in order"]
        pieces = [frame for frame in frames if frame["type"] == "chunk"]
        assert [frame["seq"] for frame in pieces] == list(range(len(pieces)))
        assert "".join(frame["text"] for frame in pieces) == final["text"] != ""
        assert (final["quality_score"], final["cluster_hint"], final["phase"]) == (None, "chat", "ok")
        detail = await engine.request(final["request_id"])
        view = detail["request"]
        assert final["tokens_in"] == view["prompt_tokens"]
        assert final["tokens_out"] == view["output_tokens"]
        assert final["cost_usd"] == pytest.approx(view["cost_nusd"] / 1e9)
        assert (final["savings_pct"], final["savings_vs"]) == (75.0, "sim-fast")
        assert (final["escalation_count"], final["session_id"]) == (0, view["session_id"])
        assert detail["decision"]["id"] == plan["decision_id"]
        again = await ask(engine, session_id="s-1", tenant="blue", prompt="Another one")
        other = await ask(engine, session_id="s-1", tenant="red", prompt="Another one")
        assert again.events()[-1]["session_id"] == final["session_id"] != other.events()[-1]["session_id"]


async def test_the_same_frames_come_as_ndjson_or_as_one_object(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        lines = await ask(engine, headers={"accept": "application/x-ndjson"})
        assert lines.headers["content-type"] == "application/x-ndjson"
        frames = [json.loads(line) for line in lines.body.splitlines()]
        assert (frames[0]["type"], frames[-1]["type"]) == ("plan", "final")
        whole = await ask(engine, stream=False)
        final = whole.json()
        assert whole.headers["content-type"] == "application/json"
        assert final["type"] == "final"
        assert final["text"]
        assert final["deployment"] == whole.headers["x-atp-deployment"] == "sim-instant"


async def test_wishes_drop_and_order_candidates_with_reasons_that_hold(tmp_path: Path) -> None:
    async with running(tmp_path, PRICED) as engine:
        dear = (await ask(engine, "/v1/plan", quality="high")).json()
        assert dear["is_dry_run"]
        assert [candidate["deployment"] for candidate in dear["candidates"]] == ["sim-fast", "sim-instant"]
        assert dear["candidates"][0]["reason"].startswith("high: by price, as no quality is stated: $40")
        capped = (await ask(engine, "/v1/plan", quality="high", max_cost_usd=0.0005)).json()
        assert capped["chosen"] == "sim-instant"
        dropped = capped["candidates"][1]
        assert dropped["rank"] == 0
        assert "over the cap of $0.0005" in dropped["reason"]
        assert dropped["max_cost_usd"] > 0.0005 > capped["candidates"][0]["max_cost_usd"]
        nothing = await ask(engine, max_cost_usd=0)
        assert nothing.status == 503
        assert nothing.json()["error"]["code"] == "no_models_available"
        assert "over the cap of $0" in nothing.json()["error"]["message"]
        assert (await ask(engine, model="sim-fast", quality="high")).events()[-1]["deployment"] == "sim-fast"
        slow = (await ask(engine, "/v1/plan", latency_slo_ms=0.001)).json()
        reasons = {candidate["deployment"]: candidate["reason"] for candidate in slow["candidates"]}
        assert "to the first token is over the 0.001 ms asked for" in reasons["sim-fast"]
        assert reasons["sim-instant"] == "first in order"  # nothing was measured of it
        fast = (await ask(engine, "/v1/plan", quality="fast")).json()["candidates"]
        assert fast[0]["reason"].endswith("to the first token at the median")
        assert fast[1]["reason"] == "fast: no latency measured yet"
        page = (await engine.admin("GET", "/admin/requests?q=&limit=10")).json()["requests"]
        assert len(page) == 2  # plans are no requests


async def test_failover_is_told_as_it_happens_and_counted(tmp_path: Path) -> None:
    broken = answer(b'{"error":{"message":"down"}}', 500, "content-type: application/json")
    stream = answer(chunks("hel", "lo"), 200, "content-type: text/event-stream")
    async with Upstream(broken) as bad, Upstream(stream) as good:
        config = upstream_config({"a": bad.port, "b": good.port})
        async with running(tmp_path, config) as engine:
            frames = (await ask(engine)).events()
            told = [frame for frame in frames if frame["type"] == "event"]
            happened = [(frame["event"], frame["deployment"]) for frame in told]
            assert (happened[0], happened[-1]) == (("attempt", "a"), ("attempt_ended", "b"))
            assert happened.index(("attempt_ended", "a")) < happened.index(("escalate", "b"))
            final = frames[-1]
            assert (final["text"], final["escalation_count"], final["deployment"]) == ("hello", 1, "b")
            sent = good.requests[0]
            assert json.loads(sent.body)["messages"] == [{"role": "user", "content": "What does a router do?"}]
            assert not {"prompt", "quality", "tenant"} & set(json.loads(sent.body))


async def test_a_stream_that_fails_ends_in_an_error_frame_never_in_a_final_one(tmp_path: Path) -> None:
    async with Upstream(reset()) as bad, running(tmp_path, upstream_config({"a": bad.port})) as engine:
        frames = (await ask(engine)).events()
        assert frames[-1]["type"] == "error"
        assert frames[-1]["status"] == 502
        assert not frames[-1]["is_truncated"]
        assert "final" not in [frame["type"] for frame in frames]


async def test_silence_is_filled_with_heartbeats(tmp_path: Path) -> None:
    async def late(wire: Any, seen: Any) -> None:
        await asyncio.sleep(0.3)
        await answer(chunks("hello"), 200, "content-type: text/event-stream")(wire, seen)

    async with Upstream(late) as slow, running(tmp_path, upstream_config({"a": slow.port})) as engine:
        endpoint: Any = engine.engine._app.hot["POST", "/v1/ask"]
        endpoint.heartbeat_s = 0.05
        frames = (await ask(engine)).events()
        beats = [frame for frame in frames if frame["type"] == "heartbeat"]
        assert len(beats) >= 2
        assert frames[-1]["text"] == "hello"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "messages": []}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"prompt": "x", "quality": "best"}, "quality"),
        ({"prompt": "x", "max_cost_usd": -1}, "max_cost_usd"),
        ({"prompt": "x", "latency_slo_ms": "fast"}, "latency_slo_ms"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
        ({"prompt": "x", "model": ""}, "model"),
        ({"prompt": "x", "max_tokens": -4}, "max_tokens"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_wrong_ask_names_its_field(own: Running, body: dict[str, Any], field: str) -> None:
    for path in ("/v1/ask", "/v1/plan"):
        told = await own.post(path, body)
        assert told.status == 400, told.body
        assert told.json()["error"]["param"] == field
        assert told.json()["error"]["code"] == "invalid_request"


@pytest.mark.asyncio(loop_scope="module")
async def test_unknown_models_bad_json_and_strangers_get_their_4xx(own: Running) -> None:
    for path in ("/v1/ask", "/v1/plan"):
        assert (await own.post(path, {"prompt": "x", "model": "nope"})).status == 404
        assert (await own.call("POST", path, b"{not json")).status == 400
        assert (await own.call("POST", path, b"{}", token="wrong")).status == 401
        assert (await own.call("GET", path)).status == 405


@pytest.mark.asyncio(loop_scope="module")
async def test_feedback_is_kept_with_its_request_and_only_its_own_key_may_give_it(own: Running) -> None:
    request_id = (await ask(own, stream=False)).json()["request_id"]
    said = {"request_id": request_id, "score": 0.25, "labels": ["wrong", "wrong", "slow"], "accepted": False}
    kept = await own.post("/v1/observe", said)
    assert kept.status == 200
    assert kept.json()["recorded"]
    await own.post("/v1/observe", {"request_id": request_id, "regenerated": True, "comment": "second try"})
    first, second = (await own.request(request_id))["feedback"]
    assert (first["score"], first["labels"], first["is_accepted"]) == (0.25, ["wrong", "slow"], False)
    assert (second["score"], second["is_regenerated"], second["comment"]) == (None, True, "second try")
    for body, field, status in [
        ({"request_id": "req_nothing", "score": 1}, "request_id", 404),
        ({"request_id": request_id}, "score", 400),
        ({"request_id": request_id, "score": 1.5}, "score", 400),
        ({"score": 1}, "request_id", 400),
        ({"request_id": request_id, "labels": "good"}, "labels", 400),
        ({"request_id": request_id, "accepted": "yes"}, "accepted", 400),
    ]:
        told = await own.post("/v1/observe", body)
        assert (told.status, told.json()["error"]["param"]) == (status, field)
