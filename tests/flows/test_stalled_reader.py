"""A client that stops reading its stream: its place is not held for ever."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

from tests.support.running import running, upstream_config
from tests.support.until import until_answered
from tests.support.upstream import SeenRequest, Upstream, Wire, chunk, head

PIECE = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "model-only",
    "choices": [{"index": 0, "delta": {"content": "x" * 8_192}, "finish_reason": None}],
}
EVENT = chunk(b"data: " + json.dumps(PIECE).encode() + b"\n\n")


async def endless(wire: Wire, request: SeenRequest) -> None:
    """Content without an end, until the router leaves."""
    await wire.send(head(200, "content-type: text/event-stream", "transfer-encoding: chunked"))
    while not wire.has_left.is_set():
        await wire.send(EVENT)


async def test_a_client_that_stops_reading_is_let_go_and_told_of_on_record(tmp_path: Path) -> None:
    async with Upstream(endless) as upstream:
        config = upstream_config({"only": upstream.port}).replace("port = 0", "port = 0\nwrite_timeout_s = 0.5")
        async with running(tmp_path, config) as engine:
            body = json.dumps(
                {"model": "only", "stream": True, "messages": [{"role": "user", "content": "talk"}]}
            ).encode()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, ("127.0.0.1", engine.engine.port))
                await loop.sock_sendall(client, engine.head("POST", "/v1/chat/completions", len(body)) + body)

                async def is_over() -> bool:
                    page = (await engine.admin("GET", "/admin/requests?q=&limit=1&before=")).json()["requests"]
                    return bool(page) and page[0]["state"] == "cancelled"

                await until_answered(is_over, 8.0)
            status = (await engine.admin("GET", "/admin/status")).json()
            assert status["in_flight"] == 0
            view = (await engine.admin("GET", "/admin/requests?q=&limit=1&before=")).json()["requests"][0]
            assert "stopped reading" in view["error_message"]
            assert view["output_tokens"] > 0
