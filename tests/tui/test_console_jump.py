"""Keys of one's own, jump mode, zoom and the last screen, as a user meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atp_console.screens import catalog
from atp_console.screens.jump import Jump
from atp_console.settings import Settings, parse
from atp_console.theme import THEMES
from tests.support.console_driver import Driver, driven, on_top
from tests.support.console_scene import busy_source

Golden = Callable[[Driver, str], None]
_WAYS = {
    "live": ["1"],
    "sessions": ["2"],
    "metrics": ["3"],
    "models": ["4"],
    "config": ["5"],
    "logs": ["7"],
    "play": ["8"],
    "keys": ["9"],
    "session": ["2", "enter"],
    "request": ["1", "j", "j", "enter"],
}


def _chosen(text: str) -> Settings:
    return parse(text, Path("/home/me/console.toml"), catalog.SCOPES, THEMES)


async def test_new_keys_work_and_show_in_footer_help_palette_and_texts() -> None:
    text = '[keys]\nfreeze = "F"\nerrors = ["ctrl+e", "f9"]\ntheme = "f7"\n'
    text += '"screen.models" = "ctrl+g"\nback = "backspace"\n'
    async with driven(busy_source(), chosen=_chosen(text)) as console:
        assert "F freeze" in console.footer()
        assert "^e errors" in console.footer()
        assert "^g Models" in console.text()
        await console.press("z", "space")
        assert "errors only" not in console.text()
        assert "‖" not in console.text()
        await console.press("f9", "F")
        assert "errors only" in console.text()
        assert "‖" in console.text()
        for opener in ("question_mark", "colon"):
            await console.press(opener)
            await console.type("failed")
            assert "^e f9" in console.text()
            await console.press("escape")
        await console.press("f7")
        assert "Colours" in console.text()
        await console.press("escape", "F", "ctrl+e", "slash")
        await console.type("model:nobody")
        await console.press("enter")
        assert "bksp shows everything again" in console.text()
        await console.press("ctrl+g")
        assert on_top(console).TAB == "models"


async def test_what_is_wrong_with_the_settings_is_told_at_the_start_and_mended_without_leaving(tmp_path: Path) -> None:
    path = tmp_path / "console.toml"
    path.write_text('[keys]\nfreeze = "f"\nerrros = "x"\n')
    chosen = parse(path.read_text(), path, catalog.SCOPES, THEMES)
    async with driven(busy_source(), chosen=chosen, settings_file=path) as console:
        assert console.told() == [
            f"{path}:2:1: keys.freeze: f is follow already (Live: Follow the newest request, or stay on this one) "
            "(give follow another key as well, or none: follow = [])",
            f"{path}:3:1: keys.errros: there is no such action (did you mean errors?)",
        ]
        assert "space freeze" in console.footer()
        path.write_text('theme = "nord"\n[keys]\nfreeze = "f"\nfollow = "space"\n')
        await console.press("2", "1", "colon")
        await console.type("settings")
        await console.press("enter")
        assert "f freeze" in console.footer()
        assert console.app.theme == "nord"
        await console.press("f")
        assert "‖" in console.text()
        path.write_text("[keys]\n" + "".join(f'x{n} = "f"\n' for n in range(5)))
        console.app.action_act("settings.read")
        await console.settle()
        assert console.told()[-1] == "2 more problems in the settings: atp-console keymap lists them."


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (140, 40)])
async def test_jump_reaches_every_pane_of_every_screen(golden: Golden, size: tuple[int, int]) -> None:
    async with driven(busy_source(), size=size) as console:
        for way in _WAYS.values():
            await console.press(*way)
            screen = on_top(console)
            await console.press("ctrl+o")
            jump = console.app.screen
            assert isinstance(jump, Jump)
            targets = [one for one in jump.targets if one.widget is not None]
            assert {one.widget for one in targets} == set(screen.focus_chain)
            for target in targets:
                seen = console.text().split("\n")[target.y][target.x : target.x + 3]
                assert seen.strip()[0] == target.character
            if screen.TAB == "live":
                golden(console, "jump")
            await console.press("escape")
            assert on_top(console) is screen
            last = targets[-1]
            await console.press("ctrl+o", last.character)
            assert screen.focused is last.widget
            await console.press("ctrl+o", "z", "%")
            assert isinstance(console.app.screen, Jump) or screen.focused is not last.widget
            await console.press("escape")
        await console.press("1", "ctrl+o", "9")
        assert on_top(console).TAB == "keys", "a tab's key counts also where the tab has no room"


async def test_jump_goes_into_fields_and_turns_a_requests_tabs() -> None:
    async with driven(busy_source()) as console:
        live = console.live
        await console.press("slash", "ctrl+o")
        letters = {one.widget: one.character for one in console.app.screen.targets}  # type: ignore[attr-defined]
        await console.press(letters[live.sessions])
        assert live.focused is live.sessions
        await console.press("ctrl+o", letters[live.filter_bar.input])
        assert live.filter_bar.is_editing
        await console.press("escape", "j", "j", "enter", "ctrl+o", "c")
        assert "Request" in console.text()
        assert getattr(console.app.screen, "tab", "") == "request"


async def test_a_zoomed_pane_has_the_whole_body_on_every_screen_and_size_and_gives_it_back() -> None:
    async with driven(busy_source()) as console:
        for size in ((60, 16), (140, 40)):
            await console.resize(*size)
            for way in _WAYS.values():
                await console.press("escape", "escape", *way)
                screen = on_top(console)
                home = screen.home_pane()
                assert home is not None
                home.focus()
                await console.press("plus")
                assert (home.region.width, home.region.height) == (size[0], size[1] - 3), type(screen)
                await console.press("underscore")
                assert not screen.has_class("-zoom")


async def test_minus_goes_to_and_fro_and_finds_the_request_that_was_open() -> None:
    async with driven(busy_source()) as console:
        await console.press("minus")
        assert console.told() == ["There is no screen before this one."]
        await console.press("j", "j", "enter", "4", "minus")
        assert "request 4 of 9" in console.text()
        await console.press("minus")
        assert on_top(console).TAB == "models"
        await console.press("4", "minus", "minus")
        assert on_top(console).TAB == "models"


async def test_the_command_line_takes_the_first_letters_of_a_name() -> None:
    async with driven(busy_source()) as console:
        for typed, tab in (("models", "models"), ("screen.logs", "logs"), ("sess", "sessions")):
            await console.press("colon")
            await console.type(typed)
            await console.press("enter")
            assert tab == on_top(console).TAB
        await console.press("question_mark")
        await console.type("x")
        assert console.app.screen.shown[0].id == "session.end"  # type: ignore[attr-defined]
        await console.press("escape", "colon")
        await console.type("q")
        assert console.app.screen.shown[0].id == "quit"  # type: ignore[attr-defined]
