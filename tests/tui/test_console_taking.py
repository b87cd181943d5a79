"""Taking things out as a user does: copy menus, exports, pictures, on every screen that has a row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from atp_console.screens.dialogs import Picker, Question
from atp_console.screens.form import Form
from tests.support.console import request_view
from tests.support.console_driver import Driver, driven, on_top
from tests.support.console_scene import FAILOVER_ID, OPEN_ID, busy_source

_STAMP = "20251009-085320"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _offered(console: Driver) -> dict[str, str]:
    picker = console.app.screen
    assert isinstance(picker, Picker), console.text()
    return {item.key: item.title for item in picker.shown}


async def test_a_request_is_copied_in_every_form_and_its_view_has_an_address() -> None:
    async with driven(busy_source()) as console:
        await console.press("j", "j", "y", "i")
        assert console.app.clipboard == FAILOVER_ID
        await console.press("y", "c")
        assert console.app.clipboard.startswith("curl http://127.0.0.1:7443/v1/chat/completions")
        assert "Bearer $ATP_KEY" in console.app.clipboard
        await console.press("y", "j")
        assert json.loads(console.app.clipboard)["request"]["id"] == FAILOVER_ID
        await console.press("y", "t")
        assert console.app.clipboard.startswith("The parser yields only when")
        await console.press("y", "u")
        assert console.app.clipboard == f"http://127.0.0.1:7443/ui/requests/{FAILOVER_ID}"
        await console.press("y", "l")
        assert console.app.clipboard == "http://127.0.0.1:7443/ui/"
        await console.press("slash")
        await console.type("provider:openai")
        await console.press("enter", "z", "y", "l")
        query = "provider%3Aopenai+state%3Afailed%7Ctruncated%7Crejected"
        assert console.app.clipboard == f"http://127.0.0.1:7443/ui/?q={query}"
        await console.press("z", "enter", "y", "u")
        assert console.app.clipboard.startswith("http://127.0.0.1:7443/ui/requests/req_")


async def test_every_list_has_a_copy_menu_and_an_export() -> None:
    wanted = {
        ("1", "tab"): "/ui/?q=session",
        ("2",): "/ui/?q=session",
        ("2", "tab"): "/ui/requests/",
        ("4",): "/ui/?q=model",
        ("4", "tab", "tab"): "/ui/requests/",
    }
    async with driven(busy_source()) as console:
        for keys, path in wanted.items():
            await console.press(*keys, "y")
            offered = _offered(console)
            assert {"i", "j", "t", "u", "f"} <= offered.keys(), keys
            await console.press("u")
            assert console.app.clipboard.startswith(f"http://127.0.0.1:7443{path}"), keys
            await console.press("y", "t")
            await console.press("e")
            assert {"c", "l", "s"} <= _offered(console).keys(), keys
            await console.press("escape")
        await console.press("5", "y")
        assert set(_offered(console)) == {"t", "d"}
        await console.press("t")
        assert "[" in console.app.clipboard
        await console.press("H", "y")
        assert "j" in _offered(console)


async def test_an_export_holds_what_is_filtered_or_marked_and_asks_before_it_replaces(tmp_path: Path) -> None:
    async with driven(busy_source(), output_dir=tmp_path) as console:
        await console.press("z", "e", "c")
        assert isinstance(console.app.screen, Form)
        assert str(tmp_path)[:20] in console.text()
        await console.press("enter")
        path = tmp_path / f"atp-requests-{_STAMP}.csv"
        assert console.told()[-1] == f"Written: {path}"
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert [row["state"] for row in rows] == ["rejected", "truncated", "failed"]
        assert {"asked", "served", "tries"} <= rows[0].keys()
        assert path.stat().st_mode & 0o077 == 0
        path.write_text("mine")
        await console.press("e", "c", "enter")
        assert isinstance(console.app.screen, Question)
        assert path.name in console.text().replace("\n", "")
        await console.press("enter")
        assert path.read_text() == "mine", "No is the default"
        await console.press("e", "c", "enter", "y")
        await console.until(lambda: path.read_text() != "mine")
        await console.press("z", "g", "m", "j", "j", "m")
        await console.press("e")
        assert "Export 2 marked requests" in console.text()
        await console.press("h")
        form = console.app.screen
        assert isinstance(form, Form)
        await console.press(*["backspace"] * 60)
        await console.type("two.har")
        await console.press("enter")
        await console.until(lambda: (tmp_path / "two.har").exists())
        entries = json.loads((tmp_path / "two.har").read_text())["log"]["entries"]
        assert [one["_id"] for one in entries] == [OPEN_ID, FAILOVER_ID]
        assert entries[1]["_attempts"][0]["outcome"] == "rate_limited"
        await console.press("e", "l", "enter", "e", "s", "enter")
        await console.until(lambda: len(_names(tmp_path)) == 4)
        assert (tmp_path / f"atp-console-{_STAMP}.svg").read_text().startswith("<svg")


async def test_a_request_is_exported_in_every_form_and_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with driven(busy_source(), output_dir=tmp_path) as console:
        await console.press("j", "j", "enter", "E")
        assert set(_offered(console)) == {"c", "l", "h", "j", "s"}
        await console.press("j", "enter", "E", "h", "enter", "E", "c", "enter")
        await console.until(lambda: len(_names(tmp_path)) == 3)
        whole = json.loads((tmp_path / f"atp-{FAILOVER_ID}-{_STAMP}.json").read_text())
        assert whole["request"]["asked"] == "gpt-5"
        assert len(whole["attempts"]) == 2
        await console.press("E", "l", *["backspace"] * 60)
        await console.type("no/such/place.jsonl")
        await console.press("enter")
        assert console.told()[-1] == "Not written: No such file or directory"


async def test_a_long_list_is_an_archive_whose_first_requests_have_bodies(tmp_path: Path) -> None:
    source = busy_source()
    async with driven(source, output_dir=tmp_path) as console:
        console.app.desk.state.add_older([request_view(id=f"req_0{n:04}", started_at=n) for n in range(90)], 0)
        await console.press("e")
        assert "bodies of the first 100" in _offered(console)["h"]
        await console.press("h", "enter")
        await console.until(lambda: bool(_names(tmp_path)))
        entries = json.loads((tmp_path / _names(tmp_path)[0]).read_text())["log"]["entries"]
        assert len(entries) == 134
        assert on_top(console)
