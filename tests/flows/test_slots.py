"""Requests that wait for a deployment's slot: who waits, who goes first, who goes elsewhere, who is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.calls import Answer
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Script, SeenRequest, Upstream, Wire, answer, head

REPLY = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
).encode()
OK = answer(REPLY)
LIMITED = answer(b'{"error": {"message": "slow down"}}', 429, "retry-after: 1")
LONG_LIMITED = answer(b'{"error": {"message": "slow down"}}', 429, "retry-after: 50")
ADAPTIVE = "\n[limits.adaptive]\nbase = 1\n"


def held(until: asyncio.Event) -> Script:
    """An answer that is not sent before `until`."""

    async def script(wire: Wire, _: SeenRequest) -> None:
        await until.wait()
        await wire.send(head(200, f"content-length: {len(REPLY)}", "content-type: application/json") + REPLY)

    return script


async def ask(engine: Running, text: str = "hello", **more: object) -> Answer:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
    return await engine.post("/v1/chat/completions", body)


def queued(engine: Running) -> int:
    return sum(view.queued for view in engine.engine.observatory.deployments())


async def test_a_request_waits_for_a_slot_visibly_and_is_not_sent_elsewhere(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with Upstream(held(release)) as first, Upstream(OK) as second:
        config = upstream_config({"a": first.port, "b": second.port}) + ADAPTIVE
        async with running(tmp_path, config) as engine:
            calls = [asyncio.create_task(ask(engine)) for _ in range(3)]
            await engine.until(lambda: queued(engine) == 2)
            views = [view for view in engine.engine.observatory.snapshot().requests if view.state == "queued"]
            assert sorted(view.queue_position for view in views) == [1, 2]
            (shown, _) = engine.engine.observatory.deployments()
            assert (shown.in_flight, shown.limit, shown.queued) == (1, 1, 2)
            assert engine.engine.observatory.status().in_flight == 1, "who waits holds no place"
            text = (await engine.admin("GET", "/metrics")).body.decode()
            assert 'atp_deployment_queue{deployment="a"} 2' in text
            assert 'atp_queue_depth{qos="silver"} 2' in text
            release.set()
            answers = await asyncio.gather(*calls)
            assert [one.status for one in answers] == [200, 200, 200]
            assert {one.headers["x-atp-deployment"] for one in answers} == {"a"}
            assert not second.requests
            details = [await engine.request(one.headers["x-atp-request-id"]) for one in answers]
            waits = sorted(detail["request"]["queue_wait_ms"] for detail in details)
            assert waits[0] == 0 < waits[1]
            said = [detail["decision"]["explanation"] for detail in details]
            assert sum("a: all 1 slots taken, waited for one" in one for one in said) == 2
            (shown, _) = engine.engine.observatory.deployments()
            assert (shown.in_flight, shown.limit, shown.queued) == (0, 4, 0), "three answers in time"


async def test_a_route_may_go_on_to_the_next_deployment_when_one_is_full(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with Upstream(held(release)) as first, Upstream(OK) as second:
        config = upstream_config({"a": first.port, "b": second.port}, extra='when_full = "next"\n') + ADAPTIVE
        async with running(tmp_path, config) as engine:
            call = asyncio.create_task(ask(engine))
            await first.until(lambda upstream: bool(upstream.requests))
            other = await ask(engine)
            assert other.headers["x-atp-deployment"] == "b"
            reasons = (await engine.request(other.headers["x-atp-request-id"]))["decision"]["candidates"]
            assert "passed over" in reasons[0]["reason"]
            release.set()
            assert (await call).headers["x-atp-deployment"] == "a"


async def test_a_wait_ends_with_its_deadline_a_full_queue_or_its_client_and_leaves_nothing(tmp_path: Path) -> None:
    release = asyncio.Event()
    limits = "\n[limits]\nmax_queued = 1\nqueue_timeout_s = 0.2\nrequests_per_minute = 3\n"
    async with (
        Upstream(held(release)) as upstream,
        running(tmp_path, upstream_config({"a": upstream.port}) + limits + ADAPTIVE) as engine,
    ):
        first = asyncio.create_task(ask(engine))
        await upstream.until(lambda one: bool(one.requests))
        second = asyncio.create_task(ask(engine))
        await engine.until(lambda: queued(engine) == 1)
        full = await ask(engine)
        assert (full.status, full.json()["error"]["code"]) == (503, "backpressure")
        assert "retry-after" in full.headers
        late = await second
        assert (late.status, "within 0.2 s" in late.json()["error"]["message"]) == (503, True)
        third = asyncio.create_task(ask(engine))  # neither refusal cost one of the three a minute
        await engine.until(lambda: queued(engine) == 1)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        await engine.until(lambda: queued(engine) == 0)
        release.set()
        assert (await first).status == 200
        (shown,) = engine.engine.observatory.deployments()
        assert (shown.in_flight, engine.engine.observatory.status().in_flight) == (0, 0)
        assert len(upstream.requests) == 1


async def test_requests_wait_while_the_only_deployment_rests_after_a_rate_limit(tmp_path: Path) -> None:
    async with (
        Upstream(OK, then=[LIMITED]) as upstream,
        running(tmp_path, upstream_config({"a": upstream.port})) as engine,
    ):
        first = asyncio.create_task(ask(engine))
        await upstream.until(lambda one: bool(one.requests))
        await engine.until(lambda: engine.engine.observatory.deployments()[0].retry_in_s > 0)
        others = [asyncio.create_task(ask(engine)) for _ in range(3)]
        await engine.until(lambda: queued(engine) == 3)
        assert len(upstream.requests) == 1, "nothing is sent while it rests"
        assert [one.status for one in await asyncio.gather(first, *others)] == [200] * 4
        detail = await engine.request((await others[0]).headers["x-atp-request-id"])
        assert "rate limited" in detail["decision"]["explanation"]
        assert detail["request"]["queue_wait_ms"] > 200


async def test_a_rest_longer_than_the_wait_is_refused_at_once_with_the_time_left(tmp_path: Path) -> None:
    limits = "\n[limits]\nmax_attempts = 1\n"
    async with (
        Upstream(OK, then=[LONG_LIMITED]) as upstream,
        running(tmp_path, upstream_config({"a": upstream.port}) + limits) as engine,
    ):
        assert (await ask(engine)).status == 429
        refused = await ask(engine)
        assert (refused.status, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 45 < int(refused.headers["retry-after"]) <= 56
        assert "rests after a rate limit" in refused.json()["error"]["message"]
        assert len(upstream.requests) == 1
        view = (await engine.request(refused.headers["x-atp-request-id"]))["request"]
        assert (view["state"], view["tries"]) == ("rejected", 0)


async def test_who_waits_decides_anew_when_the_deployment_is_taken_out(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with Upstream(held(release)) as first, Upstream(OK) as second:
        config = upstream_config({"a": first.port, "b": second.port}) + ADAPTIVE
        async with running(tmp_path, config) as engine:
            call = asyncio.create_task(ask(engine))
            await first.until(lambda one: bool(one.requests))
            waiting = asyncio.create_task(ask(engine))
            await engine.until(lambda: queued(engine) == 1)
            await engine.admin("POST", "/admin/deployments/a/drain")
            assert (await waiting).headers["x-atp-deployment"] == "b"
            release.set()
            assert (await call).headers["x-atp-deployment"] == "a"


async def test_what_cannot_be_carried_leaves_no_ledger_line_since_nothing_was_sent(tmp_path: Path) -> None:
    audio = [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]
    async with (
        Upstream(OK) as upstream,
        running(tmp_path, upstream_config({"a": upstream.port}, dialect="anthropic")) as engine,
    ):
        body = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": audio}]}
        refused = await engine.post("/v1/chat/completions", body)
        assert refused.status == 400
        detail = await engine.request(refused.headers["x-atp-request-id"])
        assert (detail["attempts"], detail["request"]["tries"], detail["request"]["served"]) == ([], 0, "")
        assert detail["request"]["state"] == "rejected"
        assert not upstream.requests
        assert engine.engine.observatory.deployments()[0].in_flight == 0
