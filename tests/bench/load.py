"""A load generator: N kept-alive connections sending the same request back to back, in its own process.

    python -m tests.bench.load '{"host": ..., "port": ..., "path": ..., "connections": 32, "requests": 20000,
                                 "body_bytes": 1024, "is_stream": false, "headers": {...}, "rate": 0}'

Prints one JSON object: requests, seconds, latencies in ms (p50, p99, max), bytes, and failures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, cast

import uvloop


def chat_request(body_bytes: int, is_stream: bool, model: str) -> bytes:
    """A chat request of exactly `body_bytes` bytes."""

    def body(text: str) -> bytes:
        call: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
        if is_stream:
            call |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(call, separators=(",", ":")).encode()

    return body("y" * max(1, body_bytes - len(body(""))))


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, sends the next while there are any."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._head_read = False
        self._left = 0
        self._is_chunked = False
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop transports do not inherit it
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.closed(self._started > 0)

    def _next(self) -> None:
        assert self._transport is not None
        if not self._run.take():
            self._started = 0.0
            self._transport.close()
            return
        self._buffer, self._head_read, self._is_chunked = b"", False, False
        self._started = time.perf_counter()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        if not self._head_read:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            data = self._buffer[end + 4 :]
            self._head_read = True
            if not head.startswith(b"http/1.1 200"):
                self._run.failed(self._buffer[:200])
            at = head.find(b"content-length:")
            self._is_chunked = at < 0
            self._left = 0 if at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0])
            self._buffer = b""
        self._run.received += len(data)
        if self._is_chunked:
            self._buffer = (self._buffer + data)[-5:]
            if self._buffer != b"0\r\n\r\n":
                return
        else:
            self._left -= len(data)
            if self._left > 0:
                return
        self._run.finished(time.perf_counter() - self._started)
        if self._run.interval_s:
            asyncio.get_running_loop().call_later(self._run.interval_s, self._next)
        else:
            self._next()


class _Run:
    """The shared count of one run."""

    def __init__(self, spec: dict[str, Any]) -> None:
        body = chat_request(spec["body_bytes"], spec["is_stream"], spec.get("model", "bench"))
        lines = [
            f"POST {spec['path']} HTTP/1.1",
            f"host: {spec['host']}:{spec['port']}",
            "content-type: application/json",
        ]
        lines += [f"{name}: {value}" for name, value in spec.get("headers", {}).items()]
        lines += [f"content-length: {len(body)}", "", ""]
        self.request = "\r\n".join(lines).encode() + body
        self._left = int(spec["requests"])
        self._open = int(spec["connections"])
        rate = float(spec.get("rate", 0.0))
        self.interval_s = self._open / rate if rate else 0.0
        self.latencies: list[float] = []
        self.received = 0
        self.failures: list[str] = []
        self.failed_count = 0
        self.done = asyncio.Event()

    def take(self) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def finished(self, seconds: float) -> None:
        self.latencies.append(seconds)

    def failed(self, head: bytes) -> None:
        self.failed_count += 1
        if len(self.failures) < 3:
            self.failures.append(head.decode("latin-1"))

    def closed(self, is_early: bool) -> None:
        if is_early:
            self.failed(b"connection closed early")
        self._open -= 1
        if self._open == 0:
            self.done.set()


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Runs one load and returns its figures."""
    loop = asyncio.get_running_loop()
    state = _Run(spec)
    started = time.perf_counter()
    for index in range(spec["connections"]):
        await loop.create_connection(lambda: _Connection(state), spec["host"], spec["port"])
        if state.interval_s and index % 8 == 7:
            await asyncio.sleep(state.interval_s / 16)
    async with asyncio.timeout(spec.get("timeout_s", 240)):
        await state.done.wait()
    seconds = time.perf_counter() - started
    ordered = sorted(state.latencies)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 4) if ordered else 0.0

    return {
        "requests": len(ordered),
        "seconds": round(seconds, 3),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "bytes": state.received,
        "failed": state.failed_count,
        "failures": state.failures,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.loads(sys.argv[1])))))
