"""The scorecard's measurements, each a function that says what it found and whether the bar is met.

CPU figures are of the process or thread that does the work; wall figures need a calm machine.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from atp_console.app import ConsoleApp
from atp_console.state import ConsoleState
from atp_console.theme import THEMES, contrast, palette_of
from atp_engine.core.events import RequestChanged
from atp_engine.core.filter import parse
from atp_engine.core.types import RequestState
from atp_engine.core.views import RequestView
from tests.bench.__main__ import free_port
from tests.bench.console import Console
from tests.bench.engine import Engine
from tests.support.console import NOW, ReplaySource, request_view, snapshot_of
from tests.support.source_tree import ROOT
from tests.support.until import until

_MANY = 100_000
_TICKS = 30
_TICK_S = 0.1
_SIZE = (140, 40)
AXE = "axe-core@4.14.1"


@dataclass(frozen=True, slots=True)
class Measure:
    """What was found, in words, and whether it meets the bar; None when it could not be measured here."""

    found: str
    is_met: bool | None


def first_frame() -> Measure:
    """From the start of `atp-console attach` to its first painted screen, on a running engine."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Engine(Path(folder), free_port(), free_port()) as engine:
        for _ in range(5):
            started = time.monotonic()
            with Console.attached(engine) as console:
                took.append(console.until(b"Live") - started)
    median = statistics.median(took)
    return Measure(f"{median:.2f} s", median <= 1.0)


def first_request() -> Measure:
    """From the bare command in an empty home to the setup text, and from a request to its row."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        started = time.monotonic()
        with Console(Path(folder), "--port", str(port)) as console:
            shown_s = console.until(f"OPENAI_BASE_URL=http://127.0.0.1:{port}/v1".encode()) - started
            key = next(Path(folder).rglob("client.key")).read_text().strip()
            body = {"model": "sim-fast", "messages": [{"role": "user", "content": "hello"}]}
            call = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/chat/completions",
                msgspec.json.encode(body),
                {"authorization": f"Bearer {key}", "content-type": "application/json"},
            )
            asking = threading.Thread(target=lambda: urllib.request.urlopen(call, timeout=20).read())  # noqa: S310
            sent = time.monotonic()
            asking.start()
            row_ms = (console.until(b"TOK/S") - sent) * 1000.0
            asking.join()
            engine = json.loads(next(Path(folder).rglob("engine.json")).read_text())["pid"]
        os.kill(engine, signal.SIGTERM)
        while next(Path(folder).rglob("engine.json"), None) is not None:
            time.sleep(0.02)
    return Measure(f"{shown_s:.2f} s to the setup text, row after {row_ms:.0f} ms", shown_s <= 10 and row_ms <= 300)


def filter_100k() -> Measure:
    """The slowest of three usual filters over 100,000 rows, CPU."""
    rows = list(_rows(_MANY))
    worst = 0.0
    for query in ("model:claude* ttft>2s", "sonnet -state:ok", "cost>$0.01 | tries>2"):
        matches = parse(query).matches
        best = min(_cpu_ms(lambda: sum(1 for row in rows if matches(row, NOW))) for _ in range(3))  # noqa: B023
        worst = max(worst, best)
    return Measure(f"{worst:.0f} ms for 100,000 rows", worst <= 100)


def contrast_of_themes() -> Measure:
    """The lowest contrast of any text on any ground in any theme; frames are no text."""
    lowest = min(
        contrast(colour, behind)
        for theme in THEMES.values()
        for palette in [palette_of(theme)]
        for ground, behind in palette.grounds.items()
        for role, colour in palette.colours[ground].items()
        if role != "rule"
    )
    return Measure(f"lowest {lowest:.2f}:1 over {len(THEMES)} themes", lowest >= 4.5)


def redraw_100k() -> Measure:
    """CPU per tick of the Live screen at 140x40 with 100,000 rows, 20 of which change ten times a second."""
    ms = asyncio.run(_ticks(_MANY, 20))
    return Measure(f"{ms:.1f} ms per tick with 100,000 rows", ms <= 8.0)


def longest_callback() -> Measure:
    """The longest callback of the console's loop at 100 requests a second, CPU of its thread."""
    took: list[float] = []
    with _timed_callbacks() as all_of_them:
        asyncio.run(_ticks(5_000, 10, began=all_of_them.clear, ended=lambda: took.extend(all_of_them)))
    took.sort()
    longest, p99 = took[-1] * 1000.0, took[int(len(took) * 0.99)] * 1000.0
    return Measure(f"longest callback {longest:.1f} ms (p99 {p99:.1f})", longest <= 8.0)


def attached() -> Measure:
    """What a console attached at 100 requests a second costs; see `tests.bench.console`."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.console", "--rounds", "3", "--seconds", "6"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if not ran.stdout:
        return Measure(ran.stderr.strip()[-200:], is_met=False)
    figures = json.loads(ran.stdout)
    watched = figures["watched"]
    found = (
        f"{watched['console_cpu_share']:.1%} of a core, {watched['console_rss_mb']:.0f} MB, "
        f"p99 {figures['added_p99_ms']:+.1f} ms"
    )
    return Measure(found, not figures["broken"])


def page_size() -> Measure:
    """Everything the dashboard ships, compressed."""
    files = [path for path in (ROOT / "atp_engine" / "api" / "static").iterdir() if path.is_file()]
    size = sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) / 1000.0
    return Measure(f"{size:.0f} KB compressed", size <= 60)


def axe() -> Measure:
    """Issues that axe-core finds on every page of the dashboard; it comes from npm into a cache."""
    from tests.scorecard.pages import issues

    source = _axe_source()
    if source is None:
        return Measure("axe not run: no npm or no Chromium", is_met=None)
    found = asyncio.run(issues(source))
    return Measure(
        f"{sum(map(len, found.values()))} axe issues on {len(found)} pages" + _named(found), not any(found.values())
    )


MEASURES: dict[str, Callable[[], Measure]] = {
    "first_frame": first_frame,
    "first_request": first_request,
    "filter_100k": filter_100k,
    "contrast": contrast_of_themes,
    "redraw_100k": redraw_100k,
    "longest_callback": longest_callback,
    "attached": attached,
    "page_size": page_size,
    "axe": axe,
}


def _named(found: dict[str, list[str]]) -> str:
    named = [f"{page}: {', '.join(rules)}" for page, rules in found.items() if rules]
    return f" ({'; '.join(named)})" if named else ""


def _axe_source() -> str | None:
    """The script of axe-core, fetched once by npm's own means."""
    folder = Path.home() / ".cache" / "atp-console-scorecard"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    npm = shutil.which("npm")
    if not script.exists() and npm is not None:
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error", AXE]
        subprocess.run(command, check=False, timeout=120, capture_output=True)  # noqa: S603
    return script.read_text() if script.exists() else None


def _cpu_ms(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000.0


def _rows(count: int) -> Iterator[RequestView]:
    first = request_view()
    for number in range(count):
        yield msgspec.structs.replace(
            first, id=f"req_{number:07d}", started_at=NOW - count + number, ttft_ms=float(number % 4_000)
        )


async def _ticks(
    count: int, changed: int, began: Callable[[], object] = lambda: None, ended: Callable[[], object] = lambda: None
) -> float:
    """Median CPU of a tick of the Live screen, ms; `began` and `ended` are called around the ticks."""
    rows = list(_rows(count))
    source = ReplaySource(snapshot_of(rows))
    app = ConsoleApp(source, now=lambda: NOW)
    app.desk.state = ConsoleState(count)
    took: list[float] = []
    async with app.run_test(size=_SIZE) as pilot:
        await until(lambda: app.desk.state.is_connected, 20.0)
        await pilot.pause()
        await asyncio.sleep(1.0)
        gc.collect()
        gc.freeze()
        await asyncio.sleep(0)  # what was just done is no callback of the console's
        began()
        for tick in range(_TICKS):
            views = [
                msgspec.structs.replace(
                    rows[-1 - number],
                    state=RequestState.STREAMING,
                    output_tokens=tick * 7 + number,
                    tokens_per_s=40.0 + tick + number,
                )
                for number in range(changed)
            ]
            before = time.process_time()
            source.send(*[lambda seq, view=view: RequestChanged(seq, view) for view in views])
            await asyncio.sleep(_TICK_S)
            took.append((time.process_time() - before) * 1000.0)
        ended()
        gc.unfreeze()
    return statistics.median(took)


@contextmanager
def _timed_callbacks() -> Iterator[list[float]]:
    """Inside, every callback of asyncio's loops is timed by the CPU clock of its thread."""
    took: list[float] = []
    plain = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        before = time.thread_time()
        plain(handle)
        took.append(time.thread_time() - before)

    asyncio.Handle._run = timed  # type: ignore[method-assign,assignment]
    try:
        yield took
    finally:
        asyncio.Handle._run = plain  # type: ignore[method-assign]
