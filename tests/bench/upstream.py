"""A fast scripted upstream: fixed answers from one uvloop protocol, in a process of its own.

    python -m tests.bench.upstream PORT

The path's first part picks the answer: `/json1k`, `/json4k` answer a chat completion of that size,
`/sse` streams 200 chunks of about 190 bytes, one every 5 ms, `/burst` sends the same chunks at once,
`/fail` answers 500.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import ClassVar, cast

import uvloop

CHUNKS = 200
PACE_S = 0.005


def chat_reply(size: int) -> bytes:
    """A chat completion whose body has exactly `size` bytes."""

    def body(text: str) -> bytes:
        answer = {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "bench",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 250, "completion_tokens": 120, "total_tokens": 370},
        }
        return json.dumps(answer, separators=(",", ":")).encode()

    return body("x" * (size - len(body(""))))


def chat_chunk(text: str) -> bytes:
    """One event of a stream, about 190 bytes with a short word."""
    chunk = {
        "id": "chatcmpl-bench-0123456789",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_FINISH = (
    b'data: {"id":"chatcmpl-bench-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-bench-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[],"usage":{"prompt_tokens":250,"completion_tokens":200,"total_tokens":450}}\n\ndata: [DONE]\n\n'
)
_HEAD_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


def _json_answer(size: int) -> bytes:
    body = chat_reply(size)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


_FAILURE = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 58\r\n\r\n"
    b'{"error":{"message":"out of order","type":"server_error"}}'
)


class Upstream(asyncio.Protocol):
    """One connection; answers each request as soon as its body is there."""

    answers: ClassVar = {b"/json1k": _json_answer(1024), b"/json4k": _json_answer(4096), b"/fail": _FAILURE}
    chunk = _framed(chat_chunk("plausible words "))

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop transports do not inherit it

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._pending += data
        while True:
            end = self._pending.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._pending[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._pending) < end + 4 + length:
                return
            self._pending = self._pending[end + 4 + length :]
            path = b"/" + head.split(b" ", 2)[1].split(b"/", 2)[1]
            answer = self.answers.get(path)
            if answer is not None:
                self._transport.write(answer)
            elif path == b"/burst":
                self._transport.write(_HEAD_SSE + self.chunk * CHUNKS + _framed(_FINISH) + _END)
            else:
                task = asyncio.get_running_loop().create_task(self._stream(self._transport))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _stream(self, transport: asyncio.Transport) -> None:
        transport.write(_HEAD_SSE)
        for _ in range(CHUNKS):
            await asyncio.sleep(PACE_S)
            transport.write(self.chunk)
        transport.write(_framed(_FINISH) + _END)


async def serve(port: int) -> None:
    """Listens on loopback until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
