"""A console that runs without a terminal and is driven by keys, as a user drives it.

    async with driven(busy_source(), size=(80, 24)) as console:
        await console.press("j", "enter")
        assert "Timeline" in console.text()

The clock stands still at NOW in UTC; everything else is the real application on the test's loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from atp_console import shots
from atp_console.app import ConsoleApp, ExitChoice
from atp_console.screens.base import ConsoleScreen
from atp_console.screens.live import LiveScreen
from atp_console.source import EngineSource
from tests.support.console import NOW
from tests.support.until import until


class Driver:
    """One running console."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[ExitChoice]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def live(self) -> LiveScreen:
        """The Live screen; fails when another one is on top."""
        assert isinstance(self.app.screen, LiveScreen)
        return self.app.screen

    async def press(self, *keys: str) -> None:
        """Presses keys one after the other and lets the screen settle."""
        for key in keys:
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
        for _ in range(2):
            await self.until(lambda: not self._is_asking())
            self.app.paint_now()
            await self.pilot.pause()

    def _is_asking(self) -> bool:
        state = self.app.desk.state
        if state.engine is None and state.link is None:
            return True
        if any(not worker.is_finished and worker.name != "follow the engine" for worker in self.app.workers):
            return True
        screen = self.app.screen
        if not isinstance(screen, LiveScreen) or not state.is_connected or screen.is_first_run:
            return False
        selected = screen.selected_request()
        if selected is None:
            return False
        is_shown = bool(screen.tail_pane.region)
        return screen.preview.id != selected.id or (is_shown and not screen.preview.is_known(selected))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something to become true, with a deadline; a crashed console fails at once."""

        def is_so() -> bool:
            if self.app._exception is not None:
                raise self.app._exception
            return condition()

        await until(is_so)

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
    app = kind(source, now=lambda: NOW, zone=UTC, output_dir=output_dir, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        driver = Driver(app, pilot)
        await driver.settle()
        yield driver


def on_top(driver: Driver) -> ConsoleScreen:
    """The full screen on top; fails when a dialog is."""
    assert isinstance(driver.app.screen, ConsoleScreen)
    return driver.app.screen
