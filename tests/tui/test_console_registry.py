"""One action table: what the footer, the palette and the help say is exactly what can be done."""

from __future__ import annotations

import pytest

from atp_console.actions import ACTIONS, BY_ID, Scope, actions_of
from atp_console.app import ConsoleApp
from atp_console.key_names import is_typed, key_label
from atp_console.keymap import DEFAULT
from atp_console.paint import cells
from atp_console.screens import catalog
from atp_console.screens.dialogs import Picker
from tests.support.console import ReplaySource, snapshot_of
from tests.support.console_driver import driven, on_top
from tests.support.console_scene import busy_source

_WAYS = {
    "live": ["1"],
    "sessions": ["2"],
    "metrics": ["3"],
    "models": ["4"],
    "config": ["5"],
    "logs": ["7"],
    "play": ["8"],
    "keys": ["9"],
    "request": ["1", "j", "j", "enter"],
}


def test_every_action_has_a_method_that_does_it() -> None:
    for action in ACTIONS:
        owners = (
            [ConsoleApp] if action.scope is Scope.GLOBAL else [one for one in catalog.ALL if action.scope in one.SCOPES]
        )
        assert owners, action.id
        if action.id.removeprefix("screen.") in catalog.BY_TAB:
            continue
        for owner in owners:
            assert callable(getattr(owner, action.method, None)), f"{owner.__name__} lacks {action.method}"


def test_no_key_means_two_things_on_one_screen() -> None:
    for screen in catalog.ALL:
        seen: dict[str, str] = {}
        for action in actions_of((*screen.SCOPES, Scope.GLOBAL)):
            for key in action.keys:
                assert seen.setdefault(key, action.id) == action.id, f"{key} in {screen.__name__}"


def test_ids_and_titles_are_unique_and_bindings_carry_the_ids() -> None:
    assert len(BY_ID) == len(ACTIONS)
    for scope in Scope:
        titles = [action.title for action in actions_of([scope])]
        assert len(set(titles)) == len(titles)
    assert {binding.id for _, binding in DEFAULT.bindings([Scope.LIVE])} <= BY_ID.keys()


def test_keys_are_named_as_people_read_them() -> None:
    assert [key_label(key) for key in ("ctrl+d", "enter", "question_mark", "left_square_bracket", "G")] == [
        "^d",
        "↵",
        "?",
        "[",
        "G",
    ]
    assert key_label("enter", is_ascii=True) == "enter"
    assert is_typed("x")
    assert is_typed("colon")
    assert not is_typed("ctrl+p")


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_on_every_screen_the_footer_fits_and_names_at_least_six_keys(size: tuple[int, int]) -> None:
    async with driven(busy_source(), size=size) as console:
        for way in _WAYS.values():
            await console.press(*way)
            footer = console.footer()
            assert cells(footer) <= size[0]
            assert "…" not in footer
            live = on_top(console).live_actions()
            hints = [action for action, _ in live if action.hint and f" {action.hint}" in footer]
            assert len(hints) >= 6, footer
            assert footer.endswith(": cmd  ? help")


async def test_on_every_screen_help_lists_exactly_the_live_bindings_and_the_palette_every_action() -> None:
    async with driven(busy_source()) as console:
        for way in _WAYS.values():
            await console.press(*way)
            below = on_top(console)
            live = {binding.binding.id for binding in below.active_bindings.values()}
            await console.press("question_mark")
            picker = console.app.screen
            assert isinstance(picker, Picker)
            assert {item.id for item in picker.shown} == live
            await console.type("zzz")
            assert picker.shown == []
            await console.press("escape", "ctrl+p")
            picker = console.app.screen
            assert isinstance(picker, Picker)
            assert [item.id for item in picker.shown] == [one.id for one in actions_of((*below.SCOPES, Scope.GLOBAL))]
            await console.press("escape")


async def test_the_help_runs_what_is_picked() -> None:
    async with driven(busy_source()) as console:
        await console.press("question_mark")
        await console.type("only failed")
        await console.press("enter")
        assert "errors only" in console.text()


async def test_read_only_leaves_no_changing_action_anywhere() -> None:
    changing = {action.id for action in ACTIONS if action.is_mutating}
    acts = {"cancel", "request.cancel", "test", "dashboard", "play.send", "play.cancel"}
    assert changing >= acts | {"replay", "replay.as", "request.replay", "request.replay_as"}
    async with driven(busy_source(), is_readonly=True) as console:
        for way in _WAYS.values():
            await console.press(*way)
            screen = on_top(console)
            assert not changing & {one.id for one in screen.available_actions()}
            assert not changing & {binding.binding.id for binding in screen.active_bindings.values()}


async def test_the_first_run_offers_only_what_makes_sense_there() -> None:
    async with driven(ReplaySource(snapshot_of()), size=(80, 24)) as console:
        footer = console.footer()
        assert "test" in footer
        assert "copy" in footer
        assert "cancel" not in footer
