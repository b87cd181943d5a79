"""A console that runs without a terminal and is driven by keys, as a user drives it.

    async with driven(busy_source(), size=(80, 24)) as console:
        await console.press("j", "enter")
        assert "Timeline" in console.text()

The clock stands still at NOW in UTC; everything else is the real application on the test's loop. What it
waits for only out of courtesy to the engine is cut short, and style sheets are parsed once for all tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, ParamSpec
from unittest.mock import patch

from textual._context import active_app
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.css.types import CSSLocation
from textual.pilot import Pilot

from atp_console import shots
from atp_console.app import ConsoleApp
from atp_console.global_acts import ExitChoice
from atp_console.screens.base import ConsoleScreen
from atp_console.screens.live import LiveScreen
from atp_console.source import EngineSource
from tests.support.console import NOW
from tests.support.until import until

P = ParamSpec("P")
_QUIET_ROUNDS = 4
_MOST_ROUNDS = 4
_MOST_PAINTS = 20
_A_MOMENT_S = 0.005
_parse_rules = Stylesheet._parse_rules
_rules: dict[tuple[object, ...], list[RuleSet]] = {}


def _parsed_once(
    sheet: Stylesheet,
    css: str,
    read_from: CSSLocation,
    is_default_rules: bool = False,
    tie_breaker: int = 0,
    scope: str = "",
) -> list[RuleSet]:
    """As the method of that name; the same text with the same variables is parsed once in all apps."""
    key = (css, read_from, is_default_rules, tie_breaker, scope, tuple(sheet._variables.items()))
    if key not in _rules:
        _rules[key] = _parse_rules(sheet, css, read_from, is_default_rules, tie_breaker, scope)
    return _rules[key]


class _Unbounded(dict[Any, Any]):
    """In the place of Textual's caches of lines, of which each line makes seven: takes a tenth as long to make."""

    def __init__(self, _maxsize: int) -> None:
        pass


async def nothing_left_to_do(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Returns when no task of this loop can go on by itself and the screen is laid out and painted.

    What waits for time or for a thread may be left. The pilot's own way is to sleep until the process
    has used no time for a while: slow when idle, and never sure on a busy machine.
    """
    app = active_app.get()
    for _ in range(_MOST_PAINTS):
        await _nothing_ready()
        if not app.screen_stack or not app.is_running:
            return
        screen = app.screen
        is_unpainted = (
            screen._callbacks
            or screen._layout_required
            or screen._scroll_required
            or screen._repaint_required
            or screen._recompose_required
            or screen._dirty_widgets
        )
        if app._resize_event is None and not is_unpainted:
            return
        if app._resize_event is not None:
            await asyncio.sleep(_A_MOMENT_S)
        else:
            screen._on_timer_update()


async def _nothing_ready() -> None:
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    quiet = 0
    while quiet < _QUIET_ROUNDS:
        await asyncio.sleep(0)
        quiet = 0 if ready else quiet + 1


@contextmanager
def without_waits() -> Iterator[None]:
    """Inside, the pilot and the console wait for no longer than they have to."""
    with ExitStack() as stack:
        for name, value in {
            "textual.app.wait_for_idle": nothing_left_to_do,
            "textual.pilot.wait_for_idle": nothing_left_to_do,
            "textual.css.stylesheet.Stylesheet._parse_rules": _parsed_once,
            "textual.css.model.RuleSet.__hash__": object.__hash__,
            "textual.strip.FIFOCache": _Unbounded,
            "atp_console.preview.DWELL_S": 0.0,
            "atp_console.preview.SETTLE_S": 0.0,
            "atp_console.screens.live._ASK_S": 0.02,
        }.items():
            stack.enter_context(patch(name, value))
        yield


class Driver:
    """One running console."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[ExitChoice]) -> None:
        self.app = app
        self.pilot = pilot
        self._heard = 0
        """Grows with what the engine told and with the work that began: there may be more to paint."""
        app.desk.state.apply = self._counting(app.desk.state.apply)  # type: ignore[method-assign]
        app.workers.add_worker = self._counting(app.workers.add_worker)  # type: ignore[method-assign]

    def _counting(self, call: Callable[P, None]) -> Callable[P, None]:
        def counted(*arguments: P.args, **named: P.kwargs) -> None:
            self._heard += 1
            call(*arguments, **named)

        return counted

    @property
    def live(self) -> LiveScreen:
        """The Live screen; fails when another one is on top."""
        assert isinstance(self.app.screen, LiveScreen)
        return self.app.screen

    async def press(self, *keys: str) -> None:
        """Presses keys one after the other, each when what the one before asked for is there."""
        for key in keys:
            await self.until(lambda: not self._is_working())
            await self.pilot.press(key)
        await self.settle()

    async def type(self, text: str) -> None:
        """Types characters into the field that has the focus."""
        for character in text:
            await self.pilot.press(character)
        await self.settle()

    async def settle(self) -> None:
        """Returns when nothing asked for is outstanding and everything known is painted."""
        await self.pilot.pause()
        for _ in range(_MOST_ROUNDS):  # about an open request the console asks on and on
            heard = self._heard
            self.app.paint_now()
            await self.pilot.pause()
            is_settled = not self._is_asking() and self._heard == heard
            await self.until(lambda: not self._is_asking())
            if is_settled:
                return

    def _is_asking(self) -> bool:
        state = self.app.desk.state
        if state.engine is None and state.link is None:
            return True
        if self._is_working():
            return True
        screen = self.app.screen
        if not isinstance(screen, LiveScreen) or not state.is_connected or screen.is_first_run:
            return False
        selected = screen.selected_request()
        if selected is None:
            return False
        is_shown = bool(screen.tail_pane.region)
        return screen.preview.id != selected.id or (is_shown and not screen.preview.is_known(selected))

    def _is_working(self) -> bool:
        return any(not worker.is_finished and worker.name != "follow the engine" for worker in self.app.workers)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something to become true, with a deadline; a crashed console fails at once."""

        def is_so() -> bool:
            if self.app._exception is not None:
                raise self.app._exception
            return condition()

        await until(is_so, 20.0)

    async def resize(self, columns: int, rows: int) -> None:
        """Another terminal size."""
        await self.pilot.resize_terminal(columns, rows)
        await self.settle()

    def text(self) -> str:
        """What stands on the screen."""
        return shots.text(self.app)

    def footer(self) -> str:
        """The last line."""
        return self.text().rstrip("\n").split("\n")[-1]

    def told(self) -> list[str]:
        """Messages in the corner, oldest first."""
        return [notice.message for notice in self.app._notifications]


@asynccontextmanager
async def driven(
    source: EngineSource,
    *,
    size: tuple[int, int] = (140, 40),
    output_dir: Path | None = None,
    kind: type[ConsoleApp] = ConsoleApp,
    **options: Any,
) -> AsyncIterator[Driver]:
    """Runs a console over a source; `options` go to ConsoleApp."""
    with without_waits():
        app = kind(source, now=lambda: NOW, zone=UTC, output_dir=output_dir, **options)
        async with app.run_test(size=size, notifications=True) as pilot:
            driver = Driver(app, pilot)
            await driver.settle()
            yield driver


def on_top(driver: Driver) -> ConsoleScreen:
    """The full screen on top; fails when a dialog is."""
    assert isinstance(driver.app.screen, ConsoleScreen)
    return driver.app.screen
