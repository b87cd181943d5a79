"""Keys & budgets, and the switches of deployments, as a user works them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atp_console.screens.form import Form
from atp_console.screens.keys import KeysScreen
from atp_console.screens.models import ModelsScreen
from atp_console.screens.play import PlayScreen
from atp_engine.core.key_views import KeySummary, KeyWindow
from atp_engine.core.types import QoS
from atp_engine.core.window_views import WindowView
from tests.support.console import NOW, ReplaySource
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import busy_source

Golden = Callable[[Driver, str], None]


def _window(name: str, share: float, **changes: object) -> WindowView:
    fields: dict[str, object] = {
        "name": name,
        "scope": "project",
        "subject": "web",
        "period": "day",
        "time_zone": "UTC",
        "starts_at": NOW - 30_000,
        "frees_at": NOW + 56_400,
        "in_flight": 2,
        "max_parallel": None,
        "used_tokens": 0,
        "reserved_tokens": 0,
        "in_doubt_tokens": 0,
        "max_tokens": None,
        "used_nusd": int(share * 25e9),
        "reserved_nusd": 0,
        "in_doubt_nusd": 0,
        "max_nusd": 25_000_000_000,
        "requests_per_minute": None,
        "on_exceed": "refuse",
        "share": share,
    }
    return WindowView(**(fields | changes))  # type: ignore[arg-type]


def _source() -> ReplaySource:
    source = busy_source()
    source.keys.all = [
        KeySummary("key_a", "first", "", QoS.SILVER, 0, "atp_key_7…q2f4", NOW - 900_000, None, None),
        KeySummary(
            "key_b", "ci", "web", QoS.BRONZE, 60, "atp_key_b…0a91", NOW - 90_000, NOW + 864_000, None,
            ("auto",), ("gpt-*",), ("nightly",), (KeyWindow(max_usd=5.0),),
        ),
        KeySummary("key_c", "old\x1b[2J", "", QoS.GOLD, 0, "atp_key_c…ffff", NOW - 9e6, None, NOW - 100),
    ]  # fmt: skip
    source.keys.budgets = [
        _window("web-day", 0.57),
        _window("all-month", 0.97, scope="everything", subject="*", period="month", on_exceed="cheapest"),
        _window("key:key_b", 0.1, scope="key", subject="ci", max_nusd=None, max_tokens=2_000_000, used_tokens=200_000),
    ]
    return source


async def _keys(console: Driver) -> KeysScreen:
    await console.press("9")
    screen = console.app.screen
    assert isinstance(screen, KeysScreen)
    await console.until(lambda: len(screen.keys.model) > 0)
    await console.until(lambda: "▌" in console.text())
    await console.settle()
    return screen


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (140, 40)])
async def test_keys(golden: Golden, size: tuple[int, int]) -> None:
    async with driven(_source(), size=size) as console:
        await _keys(console)
        golden(console, "keys")


async def test_a_key_is_made_shown_once_given_a_new_secret_and_revoked_after_a_question() -> None:
    source = _source()
    async with driven(source, size=(100, 30)) as console:
        screen = await _keys(console)
        await console.press("c")
        assert isinstance(console.app.screen, Form)
        await console.type("laptop")
        await console.press("enter")
        await console.type("web")
        await console.press("enter", *["backspace"] * 6)
        await console.type("gold")
        await console.press("enter")
        await console.type("2.5")
        await console.press("enter", "enter")
        await console.until(lambda: "atp_key_secret_shown_once" in console.text())
        assert source.acts == [("key.create", "laptop gold web")]
        await console.press("c")
        assert console.app.clipboard == "atp_key_secret_shown_once"
        assert "secret_shown_once" not in console.text()
        screen.keys.go_to("key_a")
        await console.press("r", "enter")
        assert len(source.acts) == 1, "No is the default"
        await console.press("r", "y")
        await console.until(lambda: ("key.rotate", "key_a") in source.acts)
        await console.press("o", "x", "y")
        await console.until(lambda: ("key.revoke", "key_a") in source.acts)


async def test_a_wrong_figure_makes_no_key_and_says_why() -> None:
    source = _source()
    async with driven(source, size=(100, 30)) as console:
        await _keys(console)
        await console.press("c")
        await console.type("x")
        await console.press("enter", "enter", "enter")
        await console.type("much")
        await console.press("ctrl+s")
        assert "dollars and days are numbers" in console.text()
        assert source.acts == []


async def test_a_deployment_is_drained_disabled_opened_only_after_yes_and_probed_at_once() -> None:
    source = _source()
    async with driven(source, size=(140, 40)) as console:
        await console.press("4")
        screen = console.app.screen
        assert isinstance(screen, ModelsScreen)
        selected = screen.deployments.selected
        assert selected is not None
        await console.press("d")
        assert selected.key in console.text()
        await console.press("enter")
        assert source.acts == []
        for key, act in (("d", "drain"), ("E", "disable"), ("o", "open")):
            await console.press(key, "y")
            await console.until(lambda act=act: (act, selected.key) in source.acts)  # type: ignore[misc]
        await console.press("c", "t")
        await console.until(lambda: [act for act, _ in source.acts][-2:] == ["close", "probe"])
        await console.press("p")
        await console.until(lambda: isinstance(console.app.screen, PlayScreen))
        play = console.app.screen
        assert isinstance(play, PlayScreen)
        assert play.models == [selected.key]
