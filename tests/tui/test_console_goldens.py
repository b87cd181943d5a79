"""Every screen at the sizes that count, as text and as picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.support.console import ReplaySource, snapshot_of
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import busy_source

Golden = Callable[[Driver, str], None]
_SIZES = ((80, 24), (140, 40))
_RATES = (8.0, 9.5, 11.0, 10.2, 12.4, 13.1, 12.0, 9.4, 11.2, 12.4)


async def _at_each_size(console: Driver, golden: Golden, name: str, sizes: Iterable[tuple[int, int]] = _SIZES) -> None:
    """The golden of every size, the first of which the console has: a terminal that is made another size
    shows what one shows that had it from the start."""
    for size in sizes:
        if console.app.size != size:
            await console.resize(*size)
        golden(console, name)


@pytest.mark.parametrize("size", [*_SIZES, (60, 16), (110, 30)])
async def test_live(golden: Golden, size: tuple[int, int]) -> None:
    async with driven(busy_source(), size=size) as console:
        console.app.desk.state.rates.extend(_RATES)
        await console.settle()
        golden(console, "live")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("live-pinned", ["j", "j"]),
        ("live-frozen", ["j", "space"]),
        ("live-errors", ["z"]),
        ("sessions", ["2"]),
        ("session", ["2", "enter"]),
        ("models", ["4", "j", "j"]),
        ("request", ["j", "j", "enter"]),
        ("request-open", ["j", "k", "enter"]),
        ("request-why", ["j", "j", "enter", "b"]),
        ("request-sent", ["j", "j", "enter", "c"]),
        ("request-answer-raw", ["j", "j", "enter", "d", "v"]),
    ],
)
async def test_after_keys(golden: Golden, name: str, keys: list[str]) -> None:
    async with driven(busy_source(), size=_SIZES[0]) as console:
        for key in keys:
            await console.press(key)
        await _at_each_size(console, golden, name)


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("live-zoom", ["tab", "tab", "tab", "plus"]),
        ("help", ["question_mark"]),
        ("palette", ["colon", "c", "a", "n"]),
        ("cancel", ["j", "k", "x"]),
        ("copy", ["y"]),
    ],
)
async def test_one_pane_or_a_dialog_after_keys(
    golden: Golden, size: tuple[int, int], name: str, keys: list[str]
) -> None:
    async with driven(busy_source(), size=size) as console:
        for key in keys:
            await console.press(key)
        golden(console, name)


@pytest.mark.parametrize(
    ("name", "query"),
    [("filter", "provider:openai|anthropic ttft>0.3s -state:ok"), ("filter-mistake", "cost>$0.01 modle:x")],
)
async def test_filter(golden: Golden, name: str, query: str) -> None:
    async with driven(busy_source(), size=_SIZES[0]) as console:
        await console.press("slash")
        await console.type(query)
        await _at_each_size(console, golden, name)


async def test_first_run(golden: Golden) -> None:
    async with driven(ReplaySource(snapshot_of()), size=_SIZES[0]) as console:
        await _at_each_size(console, golden, "first-run")


async def test_engine_away(golden: Golden) -> None:
    source = busy_source()
    async with driven(source, size=_SIZES[0]) as console:
        source.go_away("127.0.0.1:7443 refuses connections.")
        await console.until(
            lambda: console.app.desk.state.link is not None and console.app.desk.state.link.retry_s == 1.0
        )
        await console.settle()
        await _at_each_size(console, golden, "engine-away")


async def test_readonly_and_ascii(golden: Golden) -> None:
    async with driven(busy_source(), size=_SIZES[0], is_readonly=True, is_ascii=True, place="edge-1:7443") as console:
        await console.press("j", "j")
        await _at_each_size(console, golden, "ascii-readonly")


async def test_light_theme(golden: Golden) -> None:
    async with driven(busy_source(), theme="atp-light") as console:
        golden(console, "light")
