"""Acts on sessions as a user does them: each asks, names its target, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from atp_console.screens.dialogs import Question
from atp_console.screens.session import SessionScreen
from tests.support.console import engine_view
from tests.support.console_driver import Driver, driven, on_top
from tests.support.console_scene import busy_source


async def test_a_session_is_opened_held_capped_pinned_and_each_act_taken_back() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("2", "enter")
        screen = on_top(console)
        assert isinstance(screen, SessionScreen)
        session = screen.view
        assert session is not None
        held = session.id
        text = console.text()
        assert held in text
        assert session.client in text
        assert "goes on" in text

        await console.press("p")
        assert isinstance(console.app.screen, Question)
        assert held in console.text(), "the question names its target"
        await console.press("enter")
        assert source.acts == [], "the default is No"
        await console.press("p", "y")
        assert source.acts == [("session.pause", held)]
        assert "paused" in console.text()
        await console.press("u")
        assert source.acts[-1] == ("session.resume", held)
        assert "goes on" in console.text()
        await console.press("u")
        assert console.told()[-1] == "No act can be taken back."

        await console.press("P")
        await console.type("haiku")
        await console.press("enter")
        assert source.acts[-1] == ("session.pin", f"{held} haiku")
        assert "deployment haiku" in console.text()
        await console.press("u")
        assert "deployment by route" in console.text()

        await console.press("c", "g")
        assert "class gold" in console.text()
        await console.press("b")
        await console.type("2.5")
        await console.press("enter")
        assert "budget $2.5 this month" in console.text()
        await console.press("u")
        assert source.acts[-1] == ("session.budget", held)
        await console.press("b")
        await console.type("much")
        await console.press("enter")
        assert "no number" in console.told()[-1]

        await console.press("D", "y")
        assert source.acts[-1] == ("session.drop", held)
        await console.press("p")
        assert source.acts[-1] == ("session.resume", held)
        await console.press("x", "y")
        assert source.acts[-1] == ("session.end", held)
        assert screen.is_over
        assert "pause" not in console.footer(), "what is over cannot be acted on"
        await console.press("escape")
        assert on_top(console).NAME == "Sessions"


async def test_a_session_at_every_size(golden: Callable[[Driver, str], None]) -> None:
    async with driven(busy_source(), size=(60, 16)) as console:
        await console.press("2", "enter")
        golden(console, "session")
        await console.resize(40, 10)
        assert "tokens" not in console.text(), "the list alone, never a refusal"
        assert console.text().count("auto →") > 2


async def test_switches_of_deployments_are_taken_back_too() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("4", "d", "y", "u")
        assert [act for act, _ in source.acts] == ["drain", "close"]


async def test_nothing_can_be_done_to_a_session_read_only() -> None:
    source = busy_source()
    async with driven(source, is_readonly=True) as console:
        for key in ("2", "p", "x", "D", "b", "c", "P", "enter", "p", "x", "u"):
            await console.press(key)
        assert source.acts == []


async def test_what_lies_under_a_dialog_is_laid_out_anew_with_the_terminal() -> None:
    source = busy_source()
    async with driven(source, size=(140, 40)) as console:
        await console.press("j", "k")
        await console.press("x")
        await console.resize(80, 24)
        small = console.text()
    async with driven(busy_source(), size=(80, 24)) as console:
        await console.press("j", "k")
        await console.press("x")
        assert small == console.text()


async def test_warnings_of_the_engine_stand_in_the_header() -> None:
    source = busy_source()
    warned = engine_view(warnings=("no credential for openai", "a database was set aside"))
    source.state = msgspec.structs.replace(source.state, engine=warned)
    async with driven(source) as console:
        assert "no credential for openai (+1)" in console.text().split("\n")[1]
