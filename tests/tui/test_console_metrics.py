"""The Metrics screen as a user sees it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from atp_console.screens.live import LiveScreen
from atp_console.screens.metrics import MetricsScreen
from atp_engine.core.metrics_views import MetricsView, TrafficGroup, TrafficPoint
from tests.support.console import NOW, ReplaySource
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import busy_source

Golden = Callable[[Driver, str], None]


def _point(step: int) -> TrafficPoint:
    wave = 1.0 + math.sin(step / 7)
    requests = 40 + int(30 * wave)
    bad = {"rate_limited": 3, "upstream_timeout": 1} if 20 < step < 35 else {}
    return TrafficPoint(
        requests=requests,
        errors=sum(bad.values()),
        errors_by_code=bad,
        prompt_tokens=requests * 900,
        output_tokens=requests * 110,
        cache_read_tokens=requests * 300,
        cost_nusd=requests * 2_000_000,
        p50_ms=700 + 100 * wave,
        p95_ms=1_900 + 500 * wave,
        p99_ms=2_900 + 900 * wave,
        ttft_p50_ms=None if step == 30 else 180 + 20 * wave,
        ttft_p95_ms=None if step == 30 else 420 + 90 * wave,
        ttft_p99_ms=None if step == 30 else 700 + 200 * wave,
    )


def _group(name: str, requests: int, **changes: object) -> TrafficGroup:
    one = TrafficGroup(
        name=name,
        requests=requests,
        errors=requests // 50,
        p50_ms=810.0,
        p95_ms=2_310.0,
        p99_ms=4_100.0,
        ttft_p95_ms=520.0,
        tokens_per_s=71.2,
        prompt_tokens=requests * 900,
        output_tokens=requests * 110,
        cache_read_tokens=requests * 300,
        cost_nusd=requests * 2_000_000,
        unknown_cost=0,
        trend=tuple(requests // 60 + step % 5 for step in range(60)),
    )
    return msgspec.structs.replace(one, **changes)


def _source() -> ReplaySource:
    source = busy_source()
    source.traffic = MetricsView(
        "15m",
        15.0,
        NOW - 885.0,
        "model",
        tuple(_point(step) for step in range(60)),
        (
            _group("claude-sonnet-4-5", 2_400),
            _group("gpt-5-mini", 1_300),
            _group("ghost\x1b[31m-1", 60, cost_nusd=0, unknown_cost=60, ttft_p95_ms=None, tokens_per_s=None),
        ),
        is_partial=False,
    )
    return source


async def _shown(console: Driver) -> MetricsScreen:
    await console.press("3")
    screen = console.app.screen
    assert isinstance(screen, MetricsScreen)
    await console.until(lambda: screen.view is not None and not screen.is_drawing)
    await console.settle()
    await console.until(lambda: not screen.is_drawing)
    return screen


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (110, 30), (140, 40)])
async def test_metrics(golden: Golden, size: tuple[int, int]) -> None:
    async with driven(_source(), size=size) as console:
        await _shown(console)
        golden(console, "metrics")


async def test_keys_choose_window_group_and_chart_and_enter_leads_to_the_requests_behind_a_row() -> None:
    source = _source()
    async with driven(source, size=(80, 24)) as console:
        screen = await _shown(console)
        assert source.windows_read == [("15m", "model")]
        await console.press("right_square_bracket")
        await console.press("v")
        assert source.windows_read[1:] == [("1h", "model"), ("1h", "provider")]
        assert "Requests/s" in console.text()
        await console.press("right")
        await console.until(lambda: not screen.is_drawing)
        assert "Latency p99 p95 p50" in console.text()
        await console.press("space")
        assert "frozen" in console.text()
        await console.press("v", "v", "v", "v", "v", "j", "enter")
        assert isinstance(console.app.screen, LiveScreen)
        await console.until(lambda: 'model="gpt-5-mini"' in console.text())


async def test_an_export_has_a_line_per_step_and_a_failure_is_told(tmp_path: Path) -> None:
    source = _source()
    async with driven(source, size=(140, 40), output_dir=tmp_path) as console:
        screen = await _shown(console)
        await console.press("y", "u")
        assert console.app.clipboard == "http://127.0.0.1:7443/ui/?q=model%3D%22claude-sonnet-4-5%22"
        await console.press("e", "w", "enter")
        (written,) = await _files(console)
        lines = written.splitlines()
        assert len(lines) == 61
        assert lines[0].startswith("start_at,requests,errors,prompt_tokens")
        assert "rate_limited=3" in lines[22]
        source.reason_gone = "the engine refuses"
        screen.read_now()
        await console.settle()
        assert "the engine refuses" in console.text()


async def _files(console: Driver) -> list[str]:
    folder = console.app.desk.output_dir
    await console.until(lambda: any(path.stat().st_size for path in folder.glob("atp-metrics-*.csv")))
    return [path.read_text() for path in folder.glob("atp-metrics-*.csv")]
