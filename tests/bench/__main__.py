"""Measures what the engine costs: CPU per request and per chunk, added latency, start, memory.

    python -m tests.bench [--quick] [--rounds N] [--bodies] [--commit batched]     (make bench)

CPU is the process's own user and system time over all threads, not wall time. Rounds alternate between
the engine and nginx (when it is installed), each against the same upstream; figures are medians, and
ratios are medians of per-round ratios. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import chunk
from tests.bench.engine import Engine
from tests.bench.nginx import Nginx
from tests.bench.process import cpu_us, rss_bytes
from tests.bench.upstream import CHUNKS


class Case:
    """One workload: the same request to the engine and, by another path, to nginx."""

    def __init__(
        self, name: str, *, path: str, model: str, body_bytes: int, connections: int, requests: int, is_stream: bool
    ) -> None:
        self.name = name
        self.path = path
        self.model = model
        self.body_bytes = body_bytes
        self.connections = connections
        self.requests = requests
        self.is_stream = is_stream

    def spec(self, port: int, path: str, headers: dict[str, str], share: float) -> dict[str, Any]:
        """What the load generator is told; `share` shortens the run."""
        return {
            "host": "127.0.0.1",
            "port": port,
            "path": path,
            "model": self.model,
            "connections": self.connections,
            "requests": max(self.connections, int(self.requests * share)),
            "body_bytes": self.body_bytes,
            "is_stream": self.is_stream,
            "headers": headers,
        }


CASES = (
    Case(
        "1k_in_1k_out", path="/json1k", model="bench", body_bytes=1024, connections=32, requests=20_000, is_stream=False
    ),
    Case(
        "32k_in_4k_out",
        path="/json4k",
        model="bench4k",
        body_bytes=32_768,
        connections=32,
        requests=12_000,
        is_stream=False,
    ),
    Case("sse_chunk", path="/sse", model="stream", body_bytes=1024, connections=16, requests=64, is_stream=True),
    Case(
        "one_connection", path="/json1k", model="bench", body_bytes=1024, connections=1, requests=3_000, is_stream=False
    ),
)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def load(spec: dict[str, Any]) -> dict[str, Any]:
    """Runs the load generator and returns its figures; failures end the benchmark."""
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.bench.load", json.dumps(spec)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    figures: dict[str, Any] = json.loads(ran.stdout)
    if figures["failed"]:
        raise SystemExit(f"{figures['failed']} of {figures['requests']} requests failed: {figures['failures']}")
    return figures


def measure(case: Case, pids: list[int], spec: dict[str, Any]) -> dict[str, float]:
    """One round of one side: CPU us per request (per chunk for streams) and latency."""
    before = cpu_us(pids)
    figures = load(spec)
    used = cpu_us(pids) - before
    per = figures["requests"] * (CHUNKS if case.is_stream else 1)
    rps = figures["requests"] / figures["seconds"]
    return {"cpu_us": used / per, "p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"], "rps": rps}


def run_case(case: Case, engine: Engine, nginx: Nginx | None, rounds: int, share: float) -> dict[str, Any]:
    """Alternating rounds of one workload; the first of each side is a warm-up."""
    headers = {"authorization": f"Bearer {engine.key}"}
    ours = case.spec(engine.port, "/v1/chat/completions", headers, share)
    sides = [("engine", [engine.pid], ours)]
    if nginx is not None:
        sides.append(("nginx", nginx.pids(), case.spec(nginx.port, f"{case.path}/chat/completions", {}, share)))
    results: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in sides}
    for number in range(rounds + 1):
        for name, pids, spec in sides if number % 2 else reversed(sides):
            found = measure(case, pids, spec if number else {**spec, "requests": max(64, spec["requests"] // 8)})
            if number:
                results[name].append(found)
    summary: dict[str, Any] = {
        name: {key: round(statistics.median(each[key] for each in found), 3) for key in found[0]}
        for name, found in results.items()
    }
    if nginx is not None:
        pairs = list(zip(results["engine"], results["nginx"], strict=True))
        summary["cpu_ratio"] = round(statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in pairs), 2)
        summary["added_p50_ms"] = round(statistics.median(a["p50_ms"] - b["p50_ms"] for a, b in pairs), 3)
    return summary


def main() -> None:
    """Runs every case and prints the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="short runs: 1 round of a quarter of the requests")
    parser.add_argument("--bodies", action="store_true", help="keep bodies too (rate-limited, the product's default)")
    parser.add_argument("--commit", choices=["before_reply", "batched"], default="before_reply")
    parser.add_argument("--case", action="append", help="only these cases")
    arguments = parser.parse_args()
    rounds, share = (1, 0.25) if arguments.quick else (arguments.rounds, 1.0)
    result: dict[str, Any] = {"is_bodies_kept": arguments.bodies, "commit": arguments.commit, "rounds": rounds}
    result["chunk_cost"] = chunk.measured(10 if arguments.quick else 40)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        upstream_port = free_port()
        upstream = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "tests.bench.upstream", str(upstream_port)], stdout=subprocess.PIPE
        )
        assert upstream.stdout is not None
        upstream.stdout.readline()
        nginx = Nginx(folder / "nginx", free_port(), upstream_port) if Nginx.is_installed() else None
        try:
            with Engine(
                folder / "engine", free_port(), upstream_port, is_bodies_kept=arguments.bodies, commit=arguments.commit
            ) as engine:
                result["start_s"] = round(engine.ready_s, 3)
                time.sleep(1.0)
                result["idle_rss_mb"] = round(rss_bytes(engine.pid) / 1e6, 1)
                if nginx is not None:
                    nginx.__enter__()
                for case in CASES:
                    if not arguments.case or case.name in arguments.case:
                        result[case.name] = run_case(case, engine, nginx, rounds, share)
                result["loaded_rss_mb"] = round(rss_bytes(engine.pid) / 1e6, 1)
        finally:
            if nginx is not None:
                nginx.__exit__()
            upstream.terminate()
            upstream.wait(5)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
