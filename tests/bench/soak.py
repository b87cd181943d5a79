"""Does memory grow with requests? Mixed traffic against one engine, its resident memory sampled all along.

    python -m tests.bench.soak [--requests 100000] [--connections 32] [--bodies] [--seed 7443]

Plain calls, streams, upstream failures, unknown models, wrong keys and clients that leave, each with
texts, names and keys of its own, so that every map meets new entries for ever. After a warm-up of 20 %,
40 000 requests at least (10 000 sessions and SQLite's caches fill in it), a robust line (Theil-Sen)
through the floors of 40 stretches gives the slope in KB per 1000 requests, with the interval that holds
it in 95 of 100 cases: about +-10 KB for 100 000 requests, +-1 KB for a million. Prints one JSON object and
ends with 1 when a promise is broken: a slope that is above 1 KB beyond doubt, something dropped, a
database that is not intact or has not one row per recorded request.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import math
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.__main__ import free_port
from tests.bench.engine import Engine
from tests.bench.process import rss_bytes

WARM_UP = 0.2
WARM_UP_LEAST = 40_000
SAMPLES = 400
STRETCHES = 40
MOST_KB_PER_1000 = 1.0
MIX = {
    "plain": 50,
    "messages": 10,
    "stream": 15,
    "failing": 10,
    "unknown_model": 5,
    "wrong_key": 5,
    "not_json": 3,
    "leaving": 2,
}
EXPECTED = {
    "plain": {200},
    "messages": {200},
    "stream": {200},
    "failing": {500, 502, 503},  # 503 while the breaker is open
    "unknown_model": {404},
    "wrong_key": {401, 429},
    "not_json": {400},
}
NOT_RECORDED = frozenset({"wrong_key", "leaving"})
"""Refused before there is a request, or gone before anybody can tell which."""


@dataclass
class Soak:
    """The traffic and what came of it."""

    port: int
    key: str
    seed: int
    wanted: int
    begun: int = 0
    done: int = 0
    statuses: collections.Counter[tuple[str, int]] = field(default_factory=collections.Counter)
    unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._numbers = itertools.count()
        self._kinds = list(MIX)
        self._weights = list(MIX.values())

    async def client(self) -> None:
        """One connection after the other; kept alive until a call ends it."""
        while self.begun < self.wanted:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    await self._use(reader, writer)
                finally:
                    writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.begun < self.wanted:
            self.begun += 1
            kind = self._dice.choices(self._kinds, self._weights)[0]
            writer.write(self._request(kind))
            if kind == "leaving":
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                self.done += 1
                writer.transport.abort()
                return
            status, body = await asyncio.wait_for(_answer(reader), 30)
            self.done += 1
            self.statuses[kind, status] += 1
            is_whole = kind != "stream" or body.endswith(b"data: [DONE]\n\n")
            if (status not in EXPECTED[kind] or not is_whole) and len(self.unexpected) < 5:
                self.unexpected.append(f"{kind}: {status} {body[-200:]!r}")

    def _request(self, kind: str) -> bytes:
        number = next(self._numbers)
        model = {"stream": "burst", "leaving": "stream", "failing": "failing"}.get(kind, "bench")
        call: dict[str, Any] = {
            "model": f"no-such-model-{number}" if kind == "unknown_model" else model,
            "max_tokens": 50,
            "messages": [
                {"role": "user", "content": f"conversation {number}: " + "words " * self._dice.randint(5, 200)}
            ],
        }
        if kind in ("stream", "leaving"):
            call["stream"] = True
        body = json.dumps(call).encode()
        if kind == "not_json":
            body = body[:-1]
        key = f"atp_key_wrong{number}" if kind == "wrong_key" else self.key
        path = "/v1/messages" if kind == "messages" else "/v1/chat/completions"
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {key}\r\n"
            f"user-agent: soak/{number}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer on a kept connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    at = head.find(b"content-length:")
    if at >= 0:
        return status, await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, body


async def run(soak: Soak, pid: int, connections: int) -> list[tuple[int, float]]:
    """All the traffic; the samples of (requests so far, resident KB)."""
    samples: list[tuple[int, float]] = []
    step = max(1, soak.wanted // SAMPLES)

    async def sample() -> None:
        while True:
            if not samples or soak.done >= samples[-1][0] + step:
                samples.append((soak.done, rss_bytes(pid) / 1024.0))
            await asyncio.sleep(0.02)

    sampling = asyncio.create_task(sample())
    await asyncio.gather(*(soak.client() for _ in range(connections)))
    sampling.cancel()
    samples.append((soak.done, rss_bytes(pid) / 1024.0))
    return samples


def warmed(samples: list[tuple[int, float]], requests: int) -> list[tuple[int, float]]:
    """The samples after the warm-up, which is never more than half of the run."""
    begin = min(requests / 2, max(requests * WARM_UP, WARM_UP_LEAST))
    return [sample for sample in samples if sample[0] >= begin]


def slope_per_1000(samples: list[tuple[int, float]]) -> tuple[float, float, float]:
    """Slope in KB per 1000 requests, between its lower and upper bound (Sen's, 95 %).

    Each stretch of the run counts with its lowest sample: what the allocator holds on to for a moment
    is no growth. The median of the slopes of all pairs is not pulled away by single steps.
    """
    size = max(1, len(samples) // STRETCHES)
    floors = [min(samples[at : at + size], key=lambda sample: sample[1]) for at in range(0, len(samples), size)]
    pairs = itertools.combinations(floors, 2)
    slopes = sorted(1000.0 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0])
    count = len(floors)
    spread = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18.0)
    low = max(0, round((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, round((len(slopes) + spread) / 2))
    return slopes[low], statistics.median(slopes), slopes[high]


def status(engine: Engine) -> dict[str, Any]:
    """The engine's vital signs."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{engine.port}/admin/status", headers={"authorization": f"Bearer {engine.admin_token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def audit(engine: Engine) -> tuple[str, int]:
    """Integrity and number of rows of the database of an engine that has ended."""
    with contextlib.closing(sqlite3.connect(engine.folder / "data" / "atp.db")) as connection:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        (rows,) = connection.execute("SELECT count(DISTINCT id) FROM requests").fetchone()
    return str(integrity), int(rows)


def verdict(soak: Soak, samples: list[tuple[int, float]], vital: dict[str, Any], audited: tuple[str, int]) -> list[str]:
    """Every promise that was broken."""
    least, slope, most = slope_per_1000(warmed(samples, soak.wanted))
    recorded = sum(count for (kind, _), count in soak.statuses.items() if kind not in NOT_RECORDED)
    leaving = soak.done - sum(soak.statuses.values())
    broken = list(soak.unexpected)
    if least >= MOST_KB_PER_1000:
        broken.append(f"memory grows by {slope:.2f} KB per 1000 requests ({least:.2f} to {most:.2f})")
    dropped = {name: count for name, count in vital["dropped"].items() if count and name != "sessions"}
    if dropped:  # sessions leave their full map by design
        broken.append(f"dropped: {dropped}")
    if audited[0] != "ok":
        broken.append(f"integrity: {audited[0]}")
    if not recorded <= audited[1] <= recorded + leaving:
        broken.append(f"{audited[1]} rows for {recorded} to {recorded + leaving} requests")
    return broken


def main() -> int:
    """Runs the soak and prints the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--bodies", action="store_true", help="keep bodies too")
    parser.add_argument("--seed", type=int, default=7443)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        upstream_port = free_port()
        command = [sys.executable, "-m", "tests.bench.upstream", str(upstream_port)]
        upstream = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own program
        assert upstream.stdout is not None
        upstream.stdout.readline()
        try:
            engine = Engine(Path(folder), free_port(), upstream_port, is_bodies_kept=arguments.bodies)
            with engine:
                soak = Soak(engine.port, engine.key, arguments.seed, arguments.requests)
                started = time.monotonic()
                samples = uvloop.run(run(soak, engine.pid, arguments.connections))
                seconds = time.monotonic() - started
                vital = status(engine)
            audited = audit(engine)
        finally:
            upstream.terminate()
            upstream.wait(5)
    warm = warmed(samples, soak.wanted)
    least, slope, most = slope_per_1000(warm)
    broken = verdict(soak, samples, vital, audited)
    result = {
        "requests": soak.done,
        "seconds": round(seconds, 1),
        "kb_per_1000": {"slope": round(slope, 3), "from": round(least, 3), "to": round(most, 3)},
        "rss_mb": {
            "first": round(samples[0][1] / 1024, 2),
            "warm": round(warm[0][1] / 1024, 2),
            "last": round(samples[-1][1] / 1024, 2),
            "highest": round(max(sample[1] for sample in samples) / 1024, 2),
        },
        "statuses": {f"{kind} {code}": count for (kind, code), count in sorted(soak.statuses.items())},
        "rows": audited[1],
        "integrity": audited[0],
        "dropped": vital["dropped"],
        "in_flight": vital["in_flight"],
        "load_average": round(os.getloadavg()[0], 2),
        "broken": broken,
        "curve_mb": [[count, round(kb / 1024, 2)] for count, kb in samples[:: max(1, len(samples) // 20)]],
    }
    print(json.dumps(result, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
