"""Many paced streams at once through an engine process: what it adds to each chunk, and what a stream costs.

    python -m tests.faults.streams [--streams 500] [--seconds 10] [--gap-ms 20]

Upstream and clients are processes of their own. Every chunk carries the instant at which it was sent, so
its delay is known at the client. A stall is a delay over 250 ms. While the streams run through the engine,
a few go straight to the upstream as a control: a stall counts as ours as far as it exceeds what the
control saw in the same tenth of a second, which is the machine's own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import uvloop

from atp_console.wall.own_engine import OwnEngine, engine_on

STALL_MS = 250.0
_SLOTS = 20
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNK = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)
_STAMP = re.compile(rb"@(\d+)@")


def event(delta: str, finish: str = "null") -> bytes:
    """A chunk of an OpenAI stream in a chunk of its body."""
    data = f"data: {_CHUNK % (delta, finish)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_END = event("{}", '"stop"') + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_ROLE = event('{"role":"assistant","content":""}')


class Paced(asyncio.Protocol):
    """One upstream connection; joins the pace once it has a request."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head.lower())
        if blank and found and len(body) >= int(found[1]) and self.transport is not None:
            self._received = b""
            self.transport.write(_HEAD + _ROLE)
            self._pace.join(self)


class Pace:
    """Sends every stream a stamped chunk each `gap_s`, spread over twenty slots, `count` times."""

    def __init__(self, gap_s: float, count: int) -> None:
        self._gap_s = gap_s
        self._count = count
        self._slots: list[list[tuple[Paced, int]]] = [[] for _ in range(_SLOTS)]
        self._joined = 0

    def join(self, stream: Paced) -> None:
        """A stream begins."""
        self._slots[self._joined % _SLOTS].append((stream, self._count))
        self._joined += 1

    async def run(self) -> None:
        """Keeps the pace for ever."""
        started, turn = time.monotonic(), 0
        while True:
            slot = self._slots[turn % _SLOTS]
            stamp = event(f'{{"content":"@{time.monotonic_ns()}@ "}}')
            left = []
            for stream, count in slot:
                if stream.transport is None:
                    continue
                stream.transport.write(stamp if count else _END)
                if count:
                    left.append((stream, count - 1))
            self._slots[turn % _SLOTS] = left
            turn += 1
            await asyncio.sleep(max(0.0, started + turn * self._gap_s / _SLOTS - time.monotonic()))


@dataclass
class Delays:
    """The delays of some streams in ms, with the tenth of a second in which each was seen."""

    seen: list[tuple[int, float]] = field(default_factory=list)

    def worst_by_tenth(self) -> dict[int, float]:
        """The longest delay of each tenth of a second."""
        worst: dict[int, float] = {}
        for tenth, delay in self.seen:
            worst[tenth] = max(delay, worst.get(tenth, 0.0))
        return worst

    def summary(self) -> dict[str, Any]:
        """Count and percentiles."""
        found = sorted(delay for _, delay in self.seen)
        shares = {name: round(found[int(share * (len(found) - 1))], 2) for name, share in _SHARES.items()}
        return {"chunks": len(found), "stalls_over_250_ms": sum(delay > STALL_MS for delay in found), **shares}

    def stalls_beyond(self, control: Delays) -> int:
        """Delays that exceed the control's worst of the same moment by more than a stall."""
        own = control.worst_by_tenth()
        return sum(
            delay - max(own.get(tenth + near, 0.0) for near in (-1, 0, 1)) > STALL_MS for tenth, delay in self.seen
        )


class Client(asyncio.Protocol):
    """One caller; notes the delay of every chunk."""

    def __init__(self, request: bytes, delays: Delays, done: asyncio.Future[None]) -> None:
        self._request = request
        self._delays = delays
        self._done = done
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        text = self._tail + data
        for stamp in _STAMP.finditer(text):
            self._delays.seen.append((now // 100_000_000, (now - int(stamp[1])) / 1e6))
        if b"[DONE]" in text and not self._done.done():
            self._done.set_result(None)
            assert self._transport is not None
            self._transport.close()
        cut = text.rfind(b"\n\n")
        self._tail = text[cut:] if cut >= 0 else text

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"a stream was lost: {self._tail[-300:]!r}"))


async def serve(port: int, gap_s: float, count: int) -> None:
    """The upstream's process."""
    pace = Pace(gap_s, count)
    server = await asyncio.get_running_loop().create_server(lambda: Paced(pace), "127.0.0.1", port, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await pace.run()


async def load(engine_port: int, key: str, streams: int, upstream_port: int, controls: int) -> dict[str, Any]:
    """The clients' process: all streams to their ends, the control's among them."""
    through, control = Delays(), Delays()
    ends = []
    every = max(1, streams // controls) if controls else streams + 1
    for number in range(streams):
        ends.append(await begin(engine_port, key, through))
        if number % every == 0 and controls:
            await begin(upstream_port, key, control)
    results = await asyncio.gather(*ends, return_exceptions=True)
    return {
        "whole": sum(result is None for result in results),
        "failed": [str(result) for result in results if result is not None][:3],
        **through.summary(),
        "stalls_added_by_us": through.stalls_beyond(control),
        "control": control.summary() if controls else {},
    }


async def begin(port: int, key: str, delays: Delays) -> asyncio.Future[None]:
    """Starts one stream; the future is done at its end."""
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "go"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    await loop.create_connection(lambda: Client(head.encode() + body, delays, done), "127.0.0.1", port)
    return done


_SHARES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}


def clients(*arguments: object) -> subprocess.Popen[bytes]:
    """Starts the clients' process with the arguments of `load`."""
    command = [sys.executable, "-m", "tests.faults.streams", "--load", json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own command


def result_of(process: subprocess.Popen[bytes], limit_s: float) -> dict[str, Any]:
    """What the clients saw."""
    output, _ = process.communicate(timeout=limit_s)
    found: dict[str, Any] = json.loads(output)
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    count = int(options.seconds * 1000 / options.gap_ms)
    command = [sys.executable, "-m", "tests.faults.streams", "--serve", str(options.gap_ms), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as upstream:  # noqa: S603 - our own command
        try:
            assert upstream.stdout is not None
            port = int(upstream.stdout.readline())
            config = f'[server]\nport = 0\n[providers.u]\nkind = "custom"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
            config += '[deployments.m]\nprovider = "u"\nmodel = "m"\nmax_parallel = 2048\n'
            config += "[limits.adaptive]\nbase = 2048\n"  # how many it bears is not what is measured
            config += "[storage]\nis_bodies_kept = false\n" if options.without_bodies else ""
            with tempfile.TemporaryDirectory() as folder, engine_on(Path(folder), config) as engine:
                seen = _through(engine, port, options)
        finally:
            upstream.kill()
    return {"streams": options.streams, "gap_ms": options.gap_ms, "seconds": options.seconds, **seen}


def _through(engine: OwnEngine, upstream_port: int, options: argparse.Namespace) -> dict[str, Any]:
    """The streams through the engine, and its memory before and shortly before their end."""
    target, limit_s = engine.target, options.seconds + 60
    result_of(clients(target.port, target.key, 20, upstream_port, 0), limit_s)
    before = engine.memory_kib() or 0
    running = clients(target.port, target.key, options.streams, upstream_port, 10)
    time.sleep(0.9 * options.seconds)
    during = engine.memory_kib() or 0
    result = result_of(running, limit_s)
    ticks = Path(f"/proc/{engine.pid}/stat").read_text().split()[13:15]
    waited_ns = int(Path(f"/proc/{engine.pid}/schedstat").read_text().split()[1])
    return {
        **result,
        "rss_before_kib": before,
        "rss_during_kib": during,
        "kib_per_stream": round((during - before) / options.streams, 1),
        "engine_cpu_s": sum(map(int, ticks)) / 100,
        "engine_waited_for_a_cpu_s": round(waited_ns / 1e9, 2),
        "still_held": engine.leaks(),
    }


def main() -> None:
    """Plays the part that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--gap-ms", type=float, default=20.0)
    parser.add_argument("--without-bodies", action="store_true", help="bodies are not kept (default: they are)")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(0, float(arguments.serve[0]) / 1000, int(arguments.serve[1])))
    elif arguments.load:
        print(json.dumps(uvloop.run(load(*json.loads(arguments.load)))))
    else:
        print(json.dumps(measure(arguments), indent=2))


if __name__ == "__main__":
    main()
