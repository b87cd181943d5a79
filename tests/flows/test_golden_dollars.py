"""What broken calls cost, worked out by hand: a stream that was cancelled, a request that took two attempts.

Prices are dollars per million tokens, so that a token times a price is micro-dollars.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from atp_engine.core.types import RequestState
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Upstream, chunk, hang, head, reset, sse

STREAM = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")
BODY = {"model": "auto", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
PRICES = """
midstream = "restart"
[deployments.a.price]
input = 3.0
output = 15.0
cache_read = 0.3
[deployments.b.price]
input = 2.0
output = 10.0
[deployments.c.price]
input = 3.0
output = 15.0
cache_read = 0.3
[routes.slow]
deployments = ["c"]
"""


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def start(**usage: int) -> bytes:
    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    return event("message_start", message={**message, "stop_sequence": None, "usage": usage})


def said(text: str) -> list[bytes]:
    return [
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
    ]


LONG_PROMPT = start(input_tokens=1_000, cache_read_input_tokens=2_000, output_tokens=1)
# The vendor has told the prompt and one token; 40 characters came before the break: 40 / 4 = 10 tokens, estimated.
# 1000 x 3 + 2000 x 0.3 + 10 x 15 = 3000 + 600 + 150 = 3750 micro-dollars, assumed.
BROKEN = [LONG_PROMPT, *said("x" * 40)]
FIRST_ATTEMPT = (1_000, 2_000, 10, 3_750_000, "assumed")
# 500 x 2 + 20 x 10 = 1000 + 200 = 1200 micro-dollars, as reported.
WHOLE = [
    start(input_tokens=500, output_tokens=1),
    *said("the whole answer"),
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 20}),
    event("message_stop"),
]
SECOND_ATTEMPT = (500, 0, 20, 1_200_000, "known")
# 3750 + 1200 = 4950 micro-dollars, of which a part is assumed.
BOTH = (4_950_000, "assumed")
# Cancelled after 60 characters: 60 / 4 = 15 tokens.
# 1000 x 3 + 2000 x 0.3 + 15 x 15 = 3000 + 600 + 225 = 3825 micro-dollars, assumed: never nothing.
LEFT = [LONG_PROMPT, *said("y" * 60)]
CANCELLED = (1_000, 2_000, 15, 3_825_000, "assumed")


def framed(events: list[bytes]) -> list[bytes]:
    return [chunk(one + b"\n\n") for one in events]


async def told(engine: Running, request_id: str) -> tuple[list[tuple[Any, ...]], tuple[int, str], str]:
    """The ledger's lines, the request's cost, and its state."""
    detail = (await engine.admin("GET", f"/admin/requests/{request_id}")).json()
    lines = [
        (
            one["usage"]["input_tokens"],
            one["usage"]["cache_read_tokens"],
            one["usage"]["output_tokens"],
            one["cost_nusd"],
            one["price_state"],
        )
        for one in detail["attempts"]
    ]
    request = detail["request"]
    return lines, (request["cost_nusd"], request["price_state"]), request["state"]


async def test_broken_calls_cost_what_they_used_to_the_nano_dollar(tmp_path: Path) -> None:
    scripts = (reset(STREAM, *framed(BROKEN)), sse(*WHOLE), hang(STREAM, *framed(LEFT)))
    async with Upstream(scripts[0]) as one, Upstream(scripts[1]) as two, Upstream(scripts[2]) as three:
        ports = {"a": one.port, "b": two.port}
        config = upstream_config(ports, dialect="anthropic", extra=PRICES)
        config = config.replace("[routes.slow]", _third(three.port) + "[routes.slow]")
        async with running(tmp_path, config) as engine:
            answer = await engine.post("/v1/messages", BODY)
            assert answer.status == 200 and b"the whole answer" in answer.body
            lines, cost, state = await told(engine, answer.headers["x-atp-request-id"])
            assert (lines, cost, state) == ([FIRST_ATTEMPT, SECOND_ATTEMPT], BOTH, "ok")

            leaving = asyncio.create_task(engine.post("/v1/messages", {**BODY, "model": "slow"}))

            observatory = engine.engine.observatory

            def heard() -> list[str]:
                views = [view for view in observatory.snapshot().requests if view.state is RequestState.STREAMING]
                return [view.id for view in views if (tail := observatory.tail(view.id)) and "y" * 60 in tail.text]

            await engine.until(lambda: bool(heard()))
            (request_id,) = heard()
            assert (await engine.admin("POST", f"/admin/requests/{request_id}/cancel")).json() == {"cancelled": True}
            await leaving
            lines, cost, state = await told(engine, request_id)
            assert (lines, cost, state) == ([CANCELLED], CANCELLED[3:], "cancelled")
            verdict = (await engine.admin("POST", "/admin/ledger/verify")).json()
            assert verdict["differences"] == []


def _third(port: int) -> str:
    return (
        f'[providers.c]\nkind = "custom"\nbase_url = "http://127.0.0.1:{port}/v1"\ndialect = "anthropic"\n'
        'is_local = true\n[deployments.c]\nprovider = "c"\nmodel = "model-c"\n'
    )
