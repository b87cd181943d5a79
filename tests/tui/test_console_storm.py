"""Rough handling: random keys, sizes that change all the time, a hundred requests a second."""

from __future__ import annotations

import random

import msgspec
import pytest

from atp_console.actions import ACTIONS
from atp_console.app import ConsoleApp
from atp_console.screens.live import LiveScreen
from atp_engine.core.events import DeploymentChanged, EngineChanged, RequestChanged, SessionChanged
from atp_engine.core.types import RequestState
from tests.support.console import (
    NOW,
    ReplaySource,
    deployment_view,
    engine_view,
    request_view,
    session_view,
    snapshot_of,
)
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import busy_source

_QUITS = {"ctrl+q", "ctrl+c"}
_EXTRA = ("enter", "escape", "left", "right", "space", "n", "a", "backspace", "delete", "1", "ctrl+w", "f5")


class _Stays(ConsoleApp):
    """A console that the walk cannot leave, through the palette for instance."""

    def do_quit(self) -> None:
        """Not now."""


def _send_noise(source: ReplaySource, dice: random.Random, number: int) -> None:
    state = dice.choice(list(RequestState))
    view = request_view(
        id=f"req_n{dice.randrange(60):04d}", started_at=NOW + number, state=state, session_id=f"s-{number % 5}"
    )
    session = session_view(id=f"s-{dice.randrange(5)}", in_flight=dice.randrange(3))
    deployment = deployment_view(
        key=dice.choice(["sonnet", "haiku", "new-1"]), circuit=dice.choice(["open", "closed", "half_open"])
    )
    source.send(
        lambda seq: RequestChanged(seq, view),
        lambda seq: SessionChanged(seq, session),
        lambda seq: DeploymentChanged(seq, deployment),
        lambda seq: EngineChanged(seq, engine_view(requests_per_s=dice.random() * 50)),
    )


@pytest.mark.parametrize(("seed", "size"), [(1, (140, 40)), (2, (80, 24)), (3, (60, 16))])
async def test_a_walk_of_random_keys_survives(
    seed: int, size: tuple[int, int], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> None:
    steps = 5_000 if pytestconfig.getoption("--long") else 60
    dice = random.Random(seed)
    keys = [key for action in ACTIONS for key in action.keys if key not in _QUITS] + list(_EXTRA)
    source = busy_source()
    async with driven(source, size=size, output_dir=tmp_path_factory.mktemp("out"), kind=_Stays) as console:
        for number in range(steps):
            await console.pilot.press(dice.choice(keys))
            if number % 4 == 0:
                _send_noise(source, dice, number)
            if number % 20 == 0:
                await console.pilot.resize_terminal(dice.randrange(20, 200), dice.randrange(5, 60))
            if number % 25 == 0:
                source.go_away("gone") if dice.random() < 0.5 else source.come_back()
        source.come_back()
        for _ in range(6):
            await console.press("escape")
        await console.until(lambda: console.app.desk.state.is_connected)
        await console.pilot.press("1")
        await console.settle()
        await console.pilot.press("1")
        await console.settle()
        assert isinstance(console.app.screen, LiveScreen)


async def test_sizes_that_change_all_the_time_never_break_it() -> None:
    async with driven(busy_source()) as console:
        for way in ([], ["1", "j", "j", "enter"]):
            await console.press(*way)
            for size in (
                (20, 5),
                (200, 60),
                (59, 15),
                (60, 16),
                (99, 29),
                (100, 30),
                (129, 29),
                (130, 22),
                (1, 1),
                (140, 40),
            ):
                await console.resize(*size)
                lines = console.text().split("\n")
                assert max(len(line) for line in lines) <= size[0]
            await console.settle()
        assert "Timeline" in console.text()


async def test_below_the_smallest_size_the_list_stays() -> None:
    async with driven(busy_source(), size=(50, 12)) as console:
        assert "auto → sonnet" in console.text()
        assert "Tail" not in console.text()


async def test_the_cursor_never_moves_unasked_under_a_hundred_requests_a_second() -> None:
    source = busy_source()
    async with driven(source, size=(140, 40)) as console:
        await console.press("j", "j", "j")
        pinned = console.live.requests.selected_id
        for second in range(10):
            for tenth in range(10):
                _hundred_a_second(source, second * 10 + tenth)
            await console.until(lambda last=second: _has_arrived(console, last))  # type: ignore[misc]
            console.app.paint_now()
            assert console.live.requests.selected_id == pinned
            assert console.live.requests.selected is not None
            assert console.live.requests.selected.id == pinned
        assert console.app.desk.state.request_count == 1_044


def _hundred_a_second(source: ReplaySource, tenth: int) -> None:
    views = [
        request_view(id=f"req_z{tenth * 10 + place:06d}", started_at=NOW + tenth / 10 + place / 1_000)
        for place in range(10)
    ]
    opened = [msgspec.structs.replace(view, state=RequestState.STREAMING) for view in views]
    source.send(*[lambda seq, view=view: RequestChanged(seq, view) for view in opened])
    source.send(*[lambda seq, view=view: RequestChanged(seq, view) for view in views])


def _has_arrived(console: Driver, second: int) -> bool:
    view = console.app.desk.state.request(f"req_z{second * 100 + 99:06d}")
    return view is not None and view.state.is_final


async def test_what_is_held_is_bounded() -> None:
    source = ReplaySource(snapshot_of())
    async with driven(source, size=(80, 24)) as console:
        for thousand in range(6):
            views = [
                request_view(id=f"req_{thousand}{place:04d}", started_at=NOW + thousand * 1_000 + place)
                for place in range(1_000)
            ]
            source.send(*[lambda seq, view=view: RequestChanged(seq, view) for view in views])
        await console.until(lambda: console.app.desk.state.request("req_50999") is not None)
        assert console.app.desk.state.request_count == 5_000
        assert console.app.desk.state.request("req_00000") is None
        await console.press("G")
        assert console.live.requests.selected_id == "req_10000"
