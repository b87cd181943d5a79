"""`midstream = "restart"`: a broken stream begins again on the next deployment, marked, and recorded as it was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from atp_engine.dialects.retold import MARK
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Script, Upstream, chunk, head, raw, reset, sse

STREAM = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")


def said(text: str | None, **more: Any) -> bytes:
    delta = {"role": "assistant", "content": ""} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta | more, "finish_reason": None}
    fields = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(fields).encode()


END = said("").replace(b'"finish_reason": null', b'"finish_reason": "stop"')
WHOLE = sse(said(None), said("whole "), said("answer"), END, b"data: [DONE]")
TOOL = {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]}


def named(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


START = named(
    "message_start",
    message={
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
)


def block(index: int, text: str) -> list[bytes]:
    return [
        named("content_block_start", index=index, content_block={"type": "text", "text": ""}),
        named("content_block_delta", index=index, delta={"type": "text_delta", "text": text}),
    ]


ANTHROPIC_WHOLE = sse(
    START,
    *block(0, "whole answer"),
    named("content_block_stop", index=0),
    named("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}),
    named("message_stop"),
)


def cut(*events: bytes) -> Script:
    """A stream that is reset after these events."""
    return reset(STREAM, *[chunk(event + b"\n\n") for event in events])


@asynccontextmanager
async def engine_over(
    folder: Path, first: Script, second: Script, midstream: str, dialect: str = "openai_chat"
) -> AsyncIterator[tuple[Running, Upstream]]:
    """An engine with a route over deployments `a` and `b`, and the upstream of `b`."""
    async with Upstream(first) as one, Upstream(second) as other:
        ports = {"a": one.port, "b": other.port}
        text = upstream_config(ports, dialect=dialect, extra=f'midstream = "{midstream}"\n')
        async with running(folder, text) as engine:
            yield engine, other


async def record(engine: Running) -> Any:
    (view,) = engine.engine.observatory.snapshot().requests
    return await engine.request(view.id)


async def test_a_client_of_the_openai_sdk_reads_both_answers_with_the_mark_between(tmp_path: Path) -> None:
    async with engine_over(tmp_path, cut(said(None), said("half ")), WHOLE, "restart") as (engine, _):
        async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0) as client:
            messages: Any = [{"role": "user", "content": "hello"}]
            async with client.chat.completions.stream(model="auto", messages=messages) as stream:
                answer = (await stream.get_final_completion()).choices[0].message
        assert answer.content == f"half {MARK}whole answer"
        assert answer.role == "assistant"
        detail = await record(engine)
        assert [one["outcome"] for one in detail["attempts"]] == ["truncated", "ok"]
        assert detail["attempts"][0]["usage"]["is_estimated"]
        view = detail["request"]
        assert (view["state"], view["error_code"], view["served"]) == ("ok", "restarted", "b")
        assert "a broke off" in view["error_message"]


async def test_a_client_of_the_anthropic_sdk_reads_one_message_whose_blocks_go_on(tmp_path: Path) -> None:
    async with engine_over(tmp_path, cut(START, *block(0, "half")), ANTHROPIC_WHOLE, "offer", "anthropic") as (
        engine,
        _,
    ):
        accepts = {"x-atp-midstream": "restart"}
        async with (
            anthropic.AsyncAnthropic(
                base_url=engine.url, api_key=engine.key, max_retries=0, default_headers=accepts
            ) as client,
            client.messages.stream(
                model="auto", max_tokens=9, messages=[{"role": "user", "content": "hello"}]
            ) as stream,
        ):
            answer = await stream.get_final_message()
        texts = [part.text for part in answer.content if part.type == "text"]
        assert texts == ["half", MARK, "whole answer"]
        assert answer.stop_reason == "end_turn"
        assert (await record(engine))["request"]["error_code"] == "restarted"


@pytest.mark.parametrize(
    ("midstream", "script", "accepts"),
    [
        ("end", cut(said(None), said("half")), True),
        ("offer", cut(said(None), said("half")), False),
        ("restart", cut(said(None), said("half"), said("", **TOOL)), True),
    ],
    ids=["off by default", "a client that does not ask", "a tool call was sent"],
)
async def test_a_stream_ends_in_an_error_where_it_must_not_begin_again(
    tmp_path: Path, midstream: str, script: Script, accepts: bool
) -> None:
    async with engine_over(tmp_path, script, WHOLE, midstream) as (engine, second):
        body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"x-atp-midstream": "restart"} if accepts else None
        answer = await engine.post("/v1/chat/completions", body, headers)
        assert "error" in answer.events()[-1]
        assert not second.requests
        assert (await record(engine))["request"]["state"] == "truncated"


async def test_an_answer_that_breaks_on_every_deployment_ends_in_an_error_and_as_truncated(tmp_path: Path) -> None:
    broken = cut(said(None), said("half"))
    async with engine_over(tmp_path, broken, broken, "restart") as (engine, _):
        body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        answer = await engine.post("/v1/chat/completions", body)
        events = answer.events()
        marks = [event for event in events if "atp" in event]
        assert [mark["atp"] for mark in marks] == [{"restarted": True, "broken": "a", "deployment": "b"}]
        assert "error" in events[-1]
        detail = await record(engine)
        assert detail["request"]["state"] == "truncated"
        assert detail["request"]["error_code"] != "restarted"
        assert [one["outcome"] for one in detail["attempts"]] == ["truncated", "truncated"]


async def test_a_plain_answer_is_never_restarted_but_fails_over(tmp_path: Path) -> None:
    whole = json.dumps({"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]})
    half = raw(
        head(200, "content-type: application/json", f"content-length: {len(whole)}") + whole[:20].encode(), is_last=True
    )
    good = raw(head(200, "content-type: application/json", f"content-length: {len(whole)}") + whole.encode())
    async with engine_over(tmp_path, half, good, "restart") as (engine, _):
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        answer = await engine.post("/v1/chat/completions", body)
        assert (answer.status, answer.headers["x-atp-deployment"]) == (200, "b")
        assert answer.json()["choices"][0]["message"]["content"] == "hi"
