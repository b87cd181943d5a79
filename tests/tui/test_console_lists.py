"""What a person does with lists: columns, marks, saved views, matches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from atp_console.app import ConsoleApp
from atp_console.preferences import Preferences
from atp_console.screens.columns import ColumnChooser
from atp_console.screens.models import ModelsScreen
from atp_console.screens.sessions import SessionsScreen
from atp_console.screens.views import ViewChooser
from atp_console.widgets.table import Table
from atp_engine.core.events import RequestChanged
from tests.support.console import NOW, request_view
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import FAILOVER_ID, OPEN_ID, busy_source

Golden = Callable[[Driver, str], None]


def _with(path: Path) -> type[ConsoleApp]:
    """A console that keeps what is set up in a file."""

    class Keeps(ConsoleApp):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.desk.preferences = Preferences(path)

    return Keeps


def _titles(console: Driver, first: str = "ASKED") -> str:
    return next(line for line in console.text().split("\n") if first in line)


def _lit(table: Table[Any]) -> set[str]:
    """What is lit up in a table."""
    style = table.look.palette.styles
    lights = {style[ground]["match"] for ground in style}
    return {part.text for strip in table._strips for part in strip if part.style in lights}


async def test_columns_are_chosen_ordered_kept_for_the_next_start_and_reset(tmp_path: Path) -> None:
    path = tmp_path / "state" / "console.json"
    source = busy_source()
    async with driven(source, size=(80, 24), kind=_with(path)) as console:
        await console.press("w", "G", "space")
        chooser = console.app.screen
        assert isinstance(chooser, ColumnChooser)
        assert "[x] ID" in console.text()
        assert "13 of 29, 7 without room" in console.text(), "what the new column pushes out is said"
        await console.press("escape")
        assert "ID" not in _titles(console).split(), "leaving changes nothing"
        await console.press("w", "J", "J", "J", "G", "space", "enter")
        assert _titles(console).split()[-1] == "ID"
        await console.press("4", "w", "G", "space", "enter")
        assert _titles(console, "PRICES")
    async with driven(source, size=(140, 40), kind=_with(path)) as console:
        titles = _titles(console).split()
        assert titles.index("SERVED") < titles.index("TIME") < titles.index("ID")
        await console.press("w", "r", "enter")
        assert _titles(console).split()[1] == "TIME"
    assert Preferences(path).columns("requests") is None
    assert Preferences(path).columns("deployments") is not None
    path.write_text("{broken")
    async with driven(source, size=(60, 16), kind=_with(path)) as console:
        assert any("console.json is not used" in told for told in console.told())


async def test_marks_survive_order_filter_and_new_rows_and_can_be_shown_alone_and_copied() -> None:
    source = busy_source()
    async with driven(source, size=(80, 24)) as console:
        await console.press("M")
        assert "Nothing is marked" in console.told()[-1]
        await console.press("m", "j", "j", "m", "o")
        marked = [line for line in console.text().split("\n") if "◆" in line]
        assert "2 marked" in marked[0]
        view = request_view(id="req_zz", started_at=NOW + 1)
        source.send(lambda seq: RequestChanged(seq, view))
        await console.until(lambda: console.app.desk.state.request("req_zz") is not None)
        await console.press("M")
        screen = console.text()
        assert "MARKED ONLY" in screen.split("\n")[0]
        assert "Requests 2 of 45" in screen
        await console.press("Y")
        assert set(console.app.clipboard.split("\n")) == {OPEN_ID, FAILOVER_ID}
        await console.press("m")
        assert "Requests 1 of 45" in console.text()
        await console.press("escape")
        assert "MARKED ONLY" not in console.text()
        await console.press("M", "M", "colon")
        await console.type("mark.clear")
        await console.press("enter")
        assert "◆" not in console.text()


async def test_sessions_and_models_mark_find_and_choose_too() -> None:
    async with driven(busy_source(), size=(80, 24)) as console:
        await console.press("2", "slash")
        await console.type("cc")
        await console.press("enter", "m", "M", "escape")
        screen = console.app.screen
        assert isinstance(screen, SessionsScreen)
        assert _lit(screen.sessions) == {"cc"}
        assert "1 marked" in console.text()
        await console.press("escape")
        assert _lit(screen.sessions) == set()
        await console.press("4", "m", "j", "m", "M", "Y")
        screen = console.app.screen
        assert isinstance(screen, ModelsScreen)
        assert console.app.clipboard == "sonnet\nhaiku"
        assert len(screen.deployments.model) == 2
        await console.press("7", "m", "M", "escape", "9", "m", "Y")


async def test_matches_are_lit_up_and_n_walks_through_them_while_the_filter_is_off() -> None:
    async with driven(busy_source(), size=(80, 24)) as console:
        await console.press("n")
        assert "no filter" in console.told()[-1]
        await console.press("slash")
        await console.type("hai* session:cc -id:x")
        assert _lit(console.live.requests) == {"hai", "cc"}
        await console.press("ctrl+u")
        await console.type("aider")
        await console.press("enter", "backslash")
        assert "Requests 44" in console.text()
        assert _lit(console.live.requests) == {"aider"}, "also while it is off"
        found = []
        for _ in range(3):
            await console.press("n")
            selected = console.live.requests.selected
            assert selected is not None
            found.append(selected.id)
        assert all("aider" in (view.client if (view := console.app.desk.state.request(one)) else "") for one in found)
        assert len(set(found)) > 1
        await console.press("N")
        assert console.live.requests.selected_id == found[-2]
        await console.press("escape")
        assert _lit(console.live.requests) == set()


async def test_a_view_is_saved_opened_from_anywhere_overwritten_and_deleted_after_a_question(tmp_path: Path) -> None:
    path = tmp_path / "console.json"
    async with driven(busy_source(), size=(80, 24), kind=_with(path)) as console:
        await console.press("V")
        assert "No view is saved yet" in console.told()[-1]
        await console.press("o", "slash")
        await console.type("son error")
        await console.press("ctrl+s")
        await console.type("seen")
        await console.press("enter")
        assert "view seen" in console.text()
        kept = Preferences(path).view("seen")
        assert kept is not None
        assert (kept.query, kept.sort) == ("son error", "ttft")
        await console.press("escape", "escape", "o")
        assert "view seen" not in console.text(), "it was changed since"
        await console.press("4", "colon")
        await console.type("view seen")
        await console.press("enter")
        await console.until(lambda: "/ son error" in console.text())
        assert "ttft ▼ · view seen" in console.text()
        await console.press("z", "ctrl+s", "enter")
        assert "Overwrite the view?" in console.text()
        await console.press("enter")
        assert console.app.desk.preferences.view("seen") == kept, "No is the default"
        await console.press("ctrl+s", "enter", "y")
        changed = Preferences(path).view("seen")
        assert changed is not None
        assert changed.is_errors_only
        await console.press("V", "d")
        assert "Delete the view?" in console.text()
        await console.press("n")
        chooser = console.app.screen
        assert isinstance(chooser, ViewChooser)
        assert len(chooser.rows.model) == 1
        await console.press("d", "y", "enter", "escape")
        assert Preferences(path).views == ()


async def test_how_marks_matches_and_other_columns_look(golden: Golden) -> None:
    async with driven(busy_source(), size=(60, 16)) as console:
        await console.press("w", "pagedown", "pagedown", "k", "k", "space", "enter", "m", "j", "m", "slash")
        await console.type("auto error:rate|canc")
        await console.press("enter", "backslash", "g")
        golden(console, "list-marked")
        for size in ((80, 24), (140, 40)):
            await console.resize(*size)
            golden(console, "list-marked")
        await console.press("w")
        golden(console, "columns")
        await console.resize(80, 24)
        golden(console, "columns")
