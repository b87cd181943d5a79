"""The Playground as a user sees it: a prompt to models side by side, and recorded requests again."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from atp_console.screens.play import PlayScreen
from atp_console.screens.request import RequestScreen
from atp_engine.core.types import RequestState
from atp_engine.core.views import RequestDetail
from tests.support.console import ReplaySource
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import FAILOVER_ID, busy_source

Golden = Callable[[Driver, str], None]
_SIZES = ((60, 16), (80, 24), (140, 40))


def _answered(source: ReplaySource, id: str, text: str) -> RequestDetail:
    detail = source.details[FAILOVER_ID]
    view = msgspec.structs.replace(detail.request, id=id, state=RequestState.OK, tries=1)
    body = msgspec.json.encode({"choices": [{"message": {"role": "assistant", "content": text}}]}).decode()
    return msgspec.structs.replace(detail, request=view, response_body=body)


def _source() -> ReplaySource:
    source = busy_source()
    names = [view.key for view in source.state.deployments]
    routes = sorted({route for view in source.state.deployments for route in view.routes})
    for place, model in enumerate([*routes, *names]):
        source.plays.setdefault(model, f"req_play_{place}")
        text = f"The parser keeps the last frame,\nsays {model}."
        source.details[f"req_play_{place}"] = _answered(source, f"req_play_{place}", text)
    return source


async def _play(console: Driver) -> PlayScreen:
    await console.press("8")
    screen = console.app.screen
    assert isinstance(screen, PlayScreen)
    await console.until(lambda: bool(screen.models))
    return screen


async def _answers(console: Driver, screen: PlayScreen) -> None:
    await console.until(lambda: bool(screen.answers) and not any(one.is_open for one in screen.answers))
    await console.settle()


@pytest.mark.parametrize("size", _SIZES)
async def test_playground(golden: Golden, size: tuple[int, int]) -> None:
    source = _source()
    async with driven(source, size=size) as console:
        screen = await _play(console)
        await console.press("m", "down", "enter")
        assert len(screen.models) == 2
        await console.press("i")
        await console.type("Why the last frame?")
        await console.press("ctrl+s")
        await _answers(console, screen)
        golden(console, "play")
    assert [act for act, _ in source.acts] == ["play", "play"]


async def test_answers_are_compared_opened_and_an_empty_prompt_is_not_sent() -> None:
    source = _source()
    async with driven(source, size=(140, 40)) as console:
        screen = await _play(console)
        await console.press("ctrl+s")
        assert source.acts == []
        assert screen.focused is screen.prompt
        await console.type("hello q")
        assert screen.prompt.text == "hello q", "letters are text while the prompt has the focus"
        await console.press("escape", "m", "down", "enter", "ctrl+s")
        await _answers(console, screen)
        await console.press("b")
        assert "[+" in console.text()
        await console.press("escape")
        assert "[+" not in console.text()
        await console.press("enter")
        assert isinstance(console.app.screen, RequestScreen)


async def test_a_recorded_request_is_sent_again_from_its_page_and_both_answers_are_shown() -> None:
    source = _source()
    async with driven(source, size=(140, 40)) as console:
        await console.press("j", "j", "enter", "r")
        await console.until(lambda: isinstance(console.app.screen, PlayScreen))
        screen = console.app.screen
        assert isinstance(screen, PlayScreen)
        await _answers(console, screen)
        assert source.acts[0][0] == "replay"
        assert "recorded" in console.text()
        assert "says" in console.text()
        await console.press("b")
        assert screen.is_diff
        assert "compared with the first" in console.text()
        await console.press("1", "j", "j", "enter", "R")
        await console.type("haiku")
        await console.press("enter")
        await console.until(lambda: screen.answers[1].model == "haiku")


async def test_what_if_tells_the_decision_and_sends_nothing() -> None:
    source = _source()
    async with driven(source, size=(100, 30)) as console:
        await console.press("j", "j", "W")
        await console.until(lambda: "What if it came now?" in console.text())
        assert "nothing sent" in console.text()
        assert source.acts == []


async def test_a_refusal_of_the_engine_stands_where_the_answer_would() -> None:
    source = _source()
    async with driven(source, size=(140, 40)) as console:
        screen = await _play(console)
        await console.press("i")
        await console.type("hello")
        source.reason_gone = "16 plays are running already"
        await console.press("ctrl+s")
        await console.until(lambda: bool(screen.answers and screen.answers[0].problem))
        await console.settle()
        assert "16 plays are running already" in console.text()
