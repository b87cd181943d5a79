"""What a console costs: an engine at a steady rate, with and without `atp-console attach` in a terminal.

    python -m tests.bench.console [--rate 100] [--seconds 10] [--rounds 5]

Rounds alternate: load alone, load with a console of 140x40 really attached in a pseudo-terminal whose
output is read as fast as it comes. Prints one JSON object: latencies of both sides, what the console
adds to p99 (median over rounds), its share of a core and its memory; ends with 1 when a promise is
broken: 10 % of a core, 80 MB, 2 ms.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.__main__ import free_port, load
from tests.bench.engine import Engine
from tests.bench.process import cpu_us, rss_bytes

ROWS, COLUMNS = 40, 140
SETTLE_S = 4.0
"""Until a new console has drawn its first screens."""
MOST_CPU_SHARE = 0.10
MOST_RSS_MB = 80.0
MOST_ADDED_P99_MS = 2.0


class Console:
    """`atp-console` in a pseudo-terminal of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._home = home
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._terminal = -1
        self._reader: threading.Thread | None = None
        self.painted_bytes = 0
        self.screen = b""
        """The last of what it painted."""

    @classmethod
    def attached(cls, engine: Engine) -> Self:
        """One that is attached to this engine."""
        return cls(engine.folder, "attach", "--data-dir", str(engine.folder / "data"))

    def __enter__(self) -> Self:
        self._terminal, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        command = [sys.executable, "-m", "atp_console", *self._arguments]
        environment = {**os.environ, "HOME": str(self._home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True
        )
        os.close(child)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None and self._reader is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._reader.join(5)
        os.close(self._terminal)

    @property
    def pid(self) -> int:
        """Process id of the console."""
        assert self._process is not None
        return self._process.pid

    def until(self, *wanted: bytes, within_s: float = 20.0) -> float:
        """Waits until all of it was painted; returns the monotonic time at which it was."""
        deadline = time.monotonic() + within_s
        while not all(text in self.screen for text in wanted):
            if time.monotonic() > deadline:
                raise SystemExit(f"the console never painted {wanted}: {self.screen[-2000:]!r}")
            time.sleep(0.002)
        return time.monotonic()

    def _read(self) -> None:
        """A terminal that is always ready; answers nothing."""
        while True:
            ready, _, _ = select.select([self._terminal], [], [], 0.5)
            assert self._process is not None
            if not ready:
                if self._process.poll() is not None:
                    return
                continue
            try:
                painted = os.read(self._terminal, 65_536)
            except OSError:  # the other side is closed
                return
            self.painted_bytes += len(painted)
            self.screen = (self.screen + painted)[-200_000:]


def side(spec: dict[str, Any], engine: Engine, console: Console | None, seconds: float) -> dict[str, float]:
    """One round of one side."""
    processes = {"engine": engine.pid, **({"console": console.pid} if console is not None else {})}
    before = {name: cpu_us([pid]) for name, pid in processes.items()}
    painted = console.painted_bytes if console is not None else 0
    started = time.monotonic()
    figures = load(spec)
    elapsed_us = (time.monotonic() - started) * 1e6
    found = {"p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"], "rps": figures["requests"] / figures["seconds"]}
    for name, pid in processes.items():
        found[f"{name}_cpu_share"] = (cpu_us([pid]) - before[name]) / elapsed_us
    if console is not None:
        found["console_rss_mb"] = rss_bytes(console.pid) / 1e6
        found["painted_kb_per_s"] = (console.painted_bytes - painted) / 1000.0 / seconds
    return found


def median_of(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: round(statistics.median(each[name] for each in rounds), 4) for name in rounds[0]}


def main() -> int:
    """Runs the rounds and prints the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console", description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one side of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--show", action="store_true", help="print what the console painted last, on standard error")
    arguments = parser.parse_args()
    alone: list[dict[str, float]] = []
    watched: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        upstream_port = free_port()
        command = [sys.executable, "-m", "tests.bench.upstream", str(upstream_port)]
        upstream = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own program
        assert upstream.stdout is not None
        upstream.stdout.readline()
        try:
            with Engine(Path(folder), free_port(), upstream_port) as engine:
                spec = {
                    "host": "127.0.0.1",
                    "port": engine.port,
                    "path": "/v1/chat/completions",
                    "model": "bench",
                    "connections": 8,
                    "requests": int(arguments.rate * arguments.seconds),
                    "body_bytes": 1024,
                    "is_stream": False,
                    "headers": {"authorization": f"Bearer {engine.key}"},
                    "rate": arguments.rate,
                }
                load({**spec, "requests": 200, "rate": 0})
                for number in range(arguments.rounds):
                    for is_watched in (False, True) if number % 2 else (True, False):
                        if not is_watched:
                            alone.append(side(spec, engine, None, arguments.seconds))
                            continue
                        with Console.attached(engine) as console:
                            time.sleep(SETTLE_S)
                            watched.append(side(spec, engine, console, arguments.seconds))
                            screen = console.screen
        finally:
            upstream.terminate()
            upstream.wait(5)
    if arguments.show:
        print(screen.decode("utf-8", "replace"), file=sys.stderr)
    added_ms = statistics.median(b["p99_ms"] - a["p99_ms"] for a, b in zip(alone, watched, strict=True))
    result: dict[str, Any] = {
        "rate": arguments.rate,
        "rounds": arguments.rounds,
        "load_average": round(os.getloadavg()[0], 2),
        "alone": median_of(alone),
        "watched": median_of(watched),
        "added_p99_ms": round(added_ms, 3),
    }
    broken = []
    if result["watched"]["console_cpu_share"] > MOST_CPU_SHARE:
        broken.append("the console takes more than 10 % of a core")
    if result["watched"]["console_rss_mb"] > MOST_RSS_MB:
        broken.append("the console takes more than 80 MB")
    if added_ms > MOST_ADDED_P99_MS:
        broken.append("the console adds more than 2 ms to the engine's p99")
    if b"bench" not in screen:
        broken.append("the console shows no requests")
    print(json.dumps({**result, "broken": broken}, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
