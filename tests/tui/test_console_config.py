"""The Config screen as a user sees it: a mistake marked, mended, applied, and rolled back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atp_console.screens.config import ConfigScreen
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import busy_source

Golden = Callable[[Driver, str], None]


async def _shown(console: Driver) -> ConfigScreen:
    await console.press("5")
    screen = console.app.screen
    assert isinstance(screen, ConfigScreen)
    await console.until(lambda: screen.live is not None)
    await console.settle()
    return screen


async def _checked(console: Driver, screen: ConfigScreen) -> None:
    screen._check_soon()
    await console.settle()


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (140, 40)])
async def test_config(golden: Golden, size: tuple[int, int]) -> None:
    async with driven(busy_source(), size=size) as console:
        screen = await _shown(console)
        await console.press("i", "down", "end")
        await console.type("WRONG")
        await _checked(console, screen)
        golden(console, "config")
        await console.press("escape", "H")
        golden(console, "config-history")


async def test_a_mistake_is_told_with_its_place_then_mended_applied_and_rolled_back() -> None:
    source = busy_source()
    async with driven(source, size=(140, 40)) as console:
        screen = await _shown(console)
        await console.press("i", "down", "end")
        await console.type("WRONG")
        await _checked(console, screen)
        assert "2:12 server.port must be a number" in console.text()
        assert "1 problem" in console.text()
        await console.press("ctrl+s")
        assert not source.acts, "nothing wrong is ever sent"
        screen.editor.move_cursor((0, 0))
        await console.press("f8")
        assert screen.editor.cursor_location == (1, 11)
        await console.press(*["delete"] * 5, "backspace")
        await _checked(console, screen)
        assert "route auto changed" in console.text()
        assert "3.1 % of the last 500 requests" in console.text()
        await console.press("ctrl+s")
        assert "Apply this config?" in console.text()
        await console.press("enter")
        assert not source.acts, "No is the default"
        await console.press("ctrl+s", "y")
        await console.until(lambda: any(act == "config.apply" for act, _ in source.acts))
        await console.until(lambda: screen.live is not None and screen.live.version == 8)
        await console.press("escape", "H", "j", "R", "y")
        await console.until(lambda: ("config.rollback", "7") in source.acts)


async def test_a_file_changed_underneath_is_never_written_over_and_the_draft_is_kept(tmp_path: Path) -> None:
    source = busy_source()
    async with driven(source, size=(140, 40), output_dir=tmp_path) as console:
        screen = await _shown(console)
        await console.press("i")
        await console.type("# mine")
        await _checked(console, screen)
        source.settings.is_changed_underneath = True
        await console.press("ctrl+s", "y")
        await console.until(lambda: "changed underneath" in console.text())
        await console.press("r")
        kept = tmp_path / "atp-config-draft.toml"
        await console.until(lambda: kept.exists() and "# mine" in kept.read_text())
        assert not source.acts


async def test_a_console_that_only_looks_can_read_but_not_change() -> None:
    source = busy_source()
    async with driven(source, size=(140, 40), is_readonly=True) as console:
        screen = await _shown(console)
        await console.press("i")
        await console.type("x")
        assert not screen.is_modified
        await console.press("ctrl+s")
        assert not source.acts
