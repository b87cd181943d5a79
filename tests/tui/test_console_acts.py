"""The console used as a person uses it: keys in, screen and engine calls out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from textual import events
from textual.widgets import Input

from atp_console import shots
from atp_console.app import ConsoleApp
from atp_console.global_acts import ExitChoice
from atp_console.screens.dialogs import Picker, Question
from atp_console.screens.live import LiveScreen
from atp_console.screens.models import ModelsScreen
from atp_console.screens.request import RequestScreen
from atp_console.screens.sessions import SessionsScreen
from atp_engine.core.events import Gap, Notice, RequestChanged, SessionEnded
from atp_engine.core.types import PriceState, RequestState
from tests.support.console import NOW, ReplaySource, engine_view, request_view, snapshot_of
from tests.support.console_driver import driven, on_top
from tests.support.console_scene import FAILOVER_ID, OPEN_ID, busy_source


def _new(number: int, **changes: object) -> RequestChanged:
    view = request_view(id=f"req_zz{number:08x}", started_at=NOW + number, **changes)
    return RequestChanged(seq=1, request=view)


def _arrive(source: ReplaySource, number: int, **changes: object) -> None:
    event = _new(number, **changes)
    source.send(lambda seq: RequestChanged(seq, event.request))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_request_that_arrives_shows_on_top() -> None:
    source = ReplaySource(snapshot_of())
    async with driven(source, size=(80, 24)) as console:
        assert "No traffic yet" not in console.text()  # the engine has served requests before
        assert "Point a client here" in console.text()
        _arrive(source, 1, session_id="fresh-1")
        await console.until(lambda: console.app.desk.state.request_count == 1)
        await console.settle()
        assert "fresh-1" in console.text()
        assert "Point a client here" not in console.text()


async def test_the_first_run_says_no_traffic_and_sends_a_test_request() -> None:
    source = ReplaySource(snapshot_of(engine=engine_view(requests_total=0)))
    async with driven(source) as console:
        assert "No traffic yet." in console.text()
        assert "export OPENAI_BASE_URL" in console.text()
        await console.press("t")
        assert source.acts == [("test", "")]
        assert any("Hello from the simulated model" in told for told in console.told())


async def test_the_first_run_copies_a_paste_by_its_number() -> None:
    async with driven(ReplaySource(snapshot_of())) as console:
        await console.press("y", "2")
        assert console.app.clipboard.startswith("export OPENAI_BASE_URL=http://127.0.0.1:7443/v1\n")


async def test_enter_opens_the_request_with_its_reasons_and_q_comes_back() -> None:
    async with driven(busy_source()) as console:
        await console.press("j", "j", "enter")
        screen = console.text()
        for words in (
            "429 rate limited",
            "Rate limit reached",
            "second in order",
            "context 32k",
            "$0.0041",
            "logit_bias",
        ):
            assert words in screen
        assert "Why does this parser drop the final frame?" in screen
        assert "Three places need the change:" in screen
        await console.press("q")
        assert console.live.requests.selected_id == FAILOVER_ID


async def test_brackets_walk_through_the_session() -> None:
    async with driven(busy_source()) as console:
        await console.press("j", "j", "enter", "left_square_bracket")
        assert "request 3 of 9" in console.text()
        await console.press("right_square_bracket")
        assert "request 4 of 9" in console.text()
        await console.press("left_square_bracket", "left_square_bracket")
        assert console.told()[-1] == "It is the session's first request."


async def test_a_request_that_the_engine_forgot_says_so() -> None:
    source = busy_source()
    del source.details[FAILOVER_ID]
    async with driven(source) as console:
        await console.press("j", "j", "enter")
        assert "No such request." in console.text()


async def test_a_filter_narrows_while_it_is_typed_and_escape_clears_it() -> None:
    async with driven(busy_source()) as console:
        await console.press("slash")
        await console.type("mod")
        assert "Requests 44" in console.text(), "a word that may become a field is not text yet"
        await console.type("el:ghost")
        assert "Requests 1 of 44" in console.text()
        await console.press("enter")
        assert "/ model:ghost" in console.text()
        await console.press("backslash")
        assert "filter is off" in console.text()
        await console.press("backslash", "escape")
        assert "Requests 44" in console.text()
        assert "model:ghost" not in console.text()


async def test_a_wrong_filter_is_explained_and_keeps_what_was_right() -> None:
    async with driven(busy_source()) as console:
        await console.press("slash")
        await console.type("provider:openai prvider:x")
        assert "unknown field 'prvider' · did you mean provider?" in console.text()
        assert "Requests 3 of 44" in console.text()
        await console.press("enter")
        assert console.live.filter_bar.is_editing, "a wrong filter stays open"
        await console.press("escape")
        assert "/ provider:openai " in console.text()


async def test_single_letters_go_into_the_filter_while_it_has_the_focus() -> None:
    async with driven(busy_source()) as console:
        await console.press("slash")
        await console.type("xz1f")
        assert console.live.filter_bar.input.value == "xz1f"
        assert "f follow" not in console.footer()


async def test_what_is_typed_right_after_the_slash_is_the_filters_however_fast_it_comes() -> None:
    async with driven(busy_source()) as console:
        for key in ("slash", "t", "f", "z"):
            console.app.post_message(events.Key(key, "/" if key == "slash" else key))
        await console.until(lambda: console.live.filter_bar.input.value != "")
        await console.settle()
        assert console.live.filter_bar.input.value == "tfz"


async def test_what_is_typed_before_the_palette_is_there_is_searched_for() -> None:
    async with driven(busy_source()) as console:
        for key in ("question_mark", *"freeze"):
            console.app.post_message(events.Key(key, "?" if key == "question_mark" else key))
        await console.until(lambda: isinstance(console.app.screen, Picker))
        await console.settle()
        assert console.app.screen.query_one(Input).value == "freeze"


async def test_an_answer_that_is_typed_twice_is_given_once() -> None:
    async with driven(busy_source()) as console:
        for opens, closes in (("x", "n"), ("question_mark", "escape"), ("ctrl+o", "escape"), ("w", "escape")):
            await console.press(opens)
            assert not isinstance(console.app.screen, LiveScreen), opens
            for _ in range(3):
                console.app.post_message(events.Key(closes, closes if len(closes) == 1 else None))
            await console.until(lambda: isinstance(console.app.screen, LiveScreen))
            await console.settle()
        assert console.app.is_running


async def test_cancel_names_the_request_and_defaults_to_no() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("x")
        assert isinstance(console.app.screen, Question)
        assert OPEN_ID in console.text()
        await console.press("enter")
        assert source.acts == []
        await console.press("x", "escape")
        assert source.acts == []
        await console.press("x", "y")
        assert source.acts == [("cancel", OPEN_ID)]


async def test_cancel_means_the_request_that_was_named_whatever_arrives() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("x")
        _arrive(source, 7)
        await console.until(lambda: console.app.desk.state.request("req_zz00000007") is not None)
        await console.press("right", "enter")
        assert source.acts == [("cancel", OPEN_ID)]


async def test_a_finished_request_cannot_be_cancelled() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("j", "j", "x")
        assert console.told() == [f"{FAILOVER_ID} is over already."]
        assert source.acts == []


async def test_the_cursor_stays_on_its_request_while_others_arrive() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("j", "j")
        line = next(at for at, text in enumerate(console.text().split("\n")) if "▌" in text)
        for number in range(300):
            _arrive(source, number)
        await console.until(lambda: console.app.desk.state.request("req_zz0000012b") is not None)
        await console.settle()
        assert console.live.requests.selected_id == FAILOVER_ID
        assert "▌" in console.text().split("\n")[line], "it stays on its line of the screen, too"
        assert "▲ 300 above" in console.text()
        await console.press("g")
        assert console.live.requests.selected_id == "req_zz0000012b"
        assert "FOLLOW" in console.text()


async def test_following_stays_with_the_newest() -> None:
    source = busy_source()
    async with driven(source) as console:
        _arrive(source, 1)
        await console.until(lambda: console.app.desk.state.request("req_zz00000001") is not None)
        await console.settle()
        assert console.live.requests.selected_id == "req_zz00000001"
        await console.press("f")
        _arrive(source, 2)
        await console.until(lambda: console.app.desk.state.request("req_zz00000002") is not None)
        await console.settle()
        assert console.live.requests.selected_id == "req_zz00000001"


async def test_a_frozen_list_stands_still_and_counts_what_it_hides() -> None:
    source = busy_source()
    async with driven(source) as console:
        await console.press("space")
        before = console.text().split("\n")[4:26]
        for number in range(37):
            _arrive(source, number)
        await console.until(lambda: console.app.desk.state.request("req_zz00000024") is not None)
        await console.settle()
        assert console.text().split("\n")[4:26] == before
        assert "‖ +37 new" in console.text()
        await console.press("space")
        assert "Requests 81" in console.text()


async def test_errors_only_and_sorting_change_what_is_on_top() -> None:
    async with driven(busy_source()) as console:
        await console.press("z")
        assert "Requests 3 of 44 · errors only" in console.text()
        await console.press("z", "o", "g")
        assert "Requests 44 · ttft ▼" in console.text()
        assert console.live.requests.selected is not None
        assert console.live.requests.selected.ttft_ms == 1_900.0
        await console.press("O", "g")
        assert console.live.requests.selected is not None
        assert console.live.requests.selected.ttft_ms is None


async def test_screens_switch_by_digit_and_minus_returns() -> None:
    async with driven(busy_source()) as console:
        await console.press("2")
        assert isinstance(on_top(console), SessionsScreen)
        await console.press("4")
        assert isinstance(on_top(console), ModelsScreen)
        await console.press("minus")
        assert isinstance(on_top(console), SessionsScreen)
        await console.press("1")
        assert isinstance(on_top(console), LiveScreen)


async def test_a_session_opens_its_requests_in_live() -> None:
    async with driven(busy_source()) as console:
        await console.press("2", "slash")
        await console.type("aider")
        await console.press("enter", "v")
        assert console.live.filter_bar.input.value == 'session="aider-2"'
        assert "Requests 3 of 44" in console.text()


async def test_sessions_are_found_by_their_words() -> None:
    async with driven(busy_source()) as console:
        await console.press("2", "slash")
        await console.type("arm64 claude")
        assert "Sessions 1 of 6" in console.text()
        await console.press("escape", "escape")
        assert "Sessions 6" in console.text()


async def test_a_deployment_opens_its_requests_in_live_and_is_reached_from_there() -> None:
    async with driven(busy_source()) as console:
        await console.press("tab", "tab", "j", "j", "enter")
        screen = console.app.screen
        assert isinstance(screen, ModelsScreen)
        assert screen.deployments.selected_id == "gpt-5"
        await console.press("enter")
        assert console.live.filter_bar.input.value == 'model="gpt-5"'


async def test_a_request_of_a_session_opens_over_the_sessions() -> None:
    async with driven(busy_source()) as console:
        await console.press("2", "tab", "enter")
        assert isinstance(on_top(console), RequestScreen)
        assert "ATP Sessions › cc-7f3a" in console.text()
        await console.press("q")
        assert isinstance(on_top(console), SessionsScreen)


async def test_older_requests_are_fetched_at_the_end_of_the_list() -> None:
    source = busy_source()
    source.older = [
        request_view(id=f"req_0{number:06x}", started_at=NOW - 9_000 + number) for number in range(300, 0, -1)
    ]
    async with driven(source) as console:
        await console.press("G")
        await console.until(lambda: console.app.desk.state.request_count == 244)
        await console.press("G")
        await console.until(lambda: console.app.desk.state.request_count == 344)
        await console.press("G", "G")
        assert console.app.desk.state.request_count == 344
        assert console.live.requests.selected_id == "req_0000001"


async def test_a_screenshot_writes_picture_and_text_and_never_overwrites(tmp_path: Path) -> None:
    async with driven(busy_source(), output_dir=tmp_path) as console:
        await console.press("S", "S")
        assert _names(tmp_path) == [
            "atp-console-20251009-085320-1.svg",
            "atp-console-20251009-085320-1.txt",
            "atp-console-20251009-085320.svg",
            "atp-console-20251009-085320.txt",
        ]


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async with driven(busy_source(), output_dir=tmp_path / "gone") as console:
        await console.press("S")
        assert any(told.startswith("Not written: ") for told in console.told())


async def test_a_lost_engine_is_told_and_everything_comes_back() -> None:
    source = busy_source()
    async with driven(source) as console:
        source.go_away("connection refused")
        await console.until(lambda: not console.app.desk.state.is_connected)
        await console.settle()
        assert "Engine away" in console.text()
        assert "connection refused" in console.text()
        await console.press("j", "j")  # what is known can still be read
        assert "gpt-5-mini" in console.text()
        source.come_back()
        await console.until(lambda: console.app.desk.state.is_connected)
        await console.settle()
        assert "Engine away" not in console.text()


async def test_acts_on_a_lost_engine_are_told_as_not_done() -> None:
    source = busy_source()
    async with driven(source) as console:
        source.go_away()
        await console.until(lambda: not console.app.desk.state.is_connected)
        await console.press("t")
        assert any(told.startswith("Not done: ") for told in console.told())


async def test_a_gap_reads_the_snapshot_again() -> None:
    source = busy_source()
    async with driven(source) as console:
        source.state = snapshot_of([request_view(id="req_after_gap", started_at=NOW)])
        source.send(lambda seq: Gap(seq, dropped=12))
        await console.until(lambda: console.app.desk.state.request("req_after_gap") is not None)
        assert source.snapshots_read == 2
        assert console.app.desk.state.request(OPEN_ID) is None, "what was open before the gap and is gone now is over"


async def test_sessions_that_end_and_notices_do_no_harm() -> None:
    source = busy_source()
    async with driven(source) as console:
        source.send(
            lambda seq: SessionEnded(seq, "aider-2"),
            lambda seq: SessionEnded(seq, "never-seen"),
            lambda seq: Notice(seq, NOW, "warn", "circuit_open", "gpt-5 \x1b[31mopened"),
        )
        await console.until(lambda: len(console.app.desk.state.notices) == 1)
        await console.settle()
        assert "aider-2" not in console.app.desk.state.sessions
        assert console.told() == ["gpt-5 opened"]
        last = console.live.engine_pane.lines(40, 12)[-1]
        assert "".join(text for text, _ in last) == "08:53:20 ▲ gpt-5 opened"


async def test_hostile_text_is_only_text() -> None:
    source = busy_source()
    evil = "\x1b]52;c;aGFja2Vk\x07\x1b[2J[bold red]markup[/] [@click=app.quit]x[/] \u202egnp.exe\x9b31m"
    async with driven(source) as console:
        _arrive(
            source,
            1,
            session_id=evil,
            client=evil,
            asked=evil,
            served=evil,
            model=evil,
            provider=evil,
            error_code="x",
            error_message=evil,
            state=RequestState.FAILED,
            price_state=PriceState.UNKNOWN,
        )
        await console.until(lambda: console.app.desk.state.request("req_zz00000001") is not None)
        await console.press("y", "escape", "enter", "b", "escape")
        await console.press("escape")
        for key in ("1", "2", "4", "1"):
            await console.press(key)
            text = console.text()
            assert not any(ord(character) < 32 and character != "\n" for character in text)
            assert not any(character in text for character in "\x9b\x9d\u202e\x7f")
        assert "[bold red]markup[/]" in console.text(), "markup is shown, not obeyed"


async def test_wide_and_combining_text_keeps_the_columns_in_place() -> None:
    source = ReplaySource(snapshot_of())
    async with driven(source, size=(140, 40)) as console:
        for number, text in enumerate(
            ("plain", "日本語のモデル名がとても長い場合", "e\u0301e\u0301e\u0301", "👩‍🚀👩‍🚀")
        ):
            _arrive(source, number, session_id=text, asked=text, served="x")
        await console.until(lambda: console.app.desk.state.request_count == 4)
        await console.settle()
        from rich.cells import cell_len

        rows = [line for line in console.text().split("\n") if "$0.012" in line]
        assert len(rows) == 4
        assert {cell_len(line[: line.index("$0.012")]) for line in rows} == {
            cell_len(rows[0][: rows[0].index("$0.012")])
        }


async def test_read_only_hides_every_change_and_refuses_it_below() -> None:
    source = busy_source()
    async with driven(source, is_readonly=True) as console:
        await console.press("x", "t")
        assert source.acts == []
        assert not isinstance(console.app.screen, Question)
        assert "read-only" in console.text()
        assert "cancel" not in console.footer()
        for call in (
            console.app.source.cancel("a"),
            console.app.source.test_request(),
            console.app.source.launch_code(),
        ):
            with pytest.raises(Exception, match="read-only"):
                await call
        assert source.acts == []


async def test_quitting_leaves_a_foreign_engine_alone() -> None:
    app = ConsoleApp(busy_source())
    async with app.run_test() as pilot:
        await pilot.press("ctrl+q")
    assert app.return_value is ExitChoice.LEAVE


async def test_quitting_with_work_in_flight_asks_what_becomes_of_our_engine() -> None:
    async with driven(busy_source(), owns_engine=True) as console:
        await console.press("ctrl+q")
        assert isinstance(console.app.screen, Question)
        assert "4 requests are at work" in console.text()
        await console.press("n", "ctrl+q", "s")
        app = console.app
    assert app.return_value is ExitChoice.STOP


async def test_quitting_an_idle_engine_of_ours_stops_it() -> None:
    source = ReplaySource(snapshot_of(engine=engine_view(in_flight=0, queued=0)))
    async with driven(source, owns_engine=True) as console:
        await console.press("ctrl+c")
        app = console.app
    assert app.return_value is ExitChoice.STOP


async def test_the_dashboard_address_is_copied_from_the_palette() -> None:
    async with driven(busy_source()) as console:
        await console.press("ctrl+p")
        assert isinstance(console.app.screen, Picker)
        await console.type("dashboard")
        await console.press("enter")
        assert console.app.clipboard == "http://127.0.0.1:7443/ui/#code=code-1"


async def test_a_theme_is_worn_at_once() -> None:
    async with driven(busy_source()) as console:
        before = console.app.desk.look.palette
        await console.press("colon")
        await console.type("colours")
        await console.press("enter")
        await console.type("nord")
        await console.press("enter")
        assert console.app.theme == "nord"
        assert console.app.desk.look.palette is not before


async def test_nothing_is_behind_the_first_screen() -> None:
    async with driven(busy_source()) as console:
        await console.press("escape", "q")
        assert console.told()[-1] == "Nothing to go back to. ctrl+q quits."
        assert isinstance(on_top(console), LiveScreen)


def test_an_unknown_theme_is_the_default() -> None:
    assert ConsoleApp(busy_source(), theme="nope").theme == "atp-dark"


async def test_without_colours_every_state_is_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(busy_source()) as console:
        coloured = console.text()
    monkeypatch.setenv("NO_COLOR", "1")
    async with driven(busy_source()) as console:
        assert console.text() == coloured
        picture = shots.svg(console.app)
    window = {"#ff5f57", "#febc2e", "#28c840", "#c5c8c6", "#292929"}
    colours = set(re.findall(r"#[0-9a-f]{6}", picture)) - window
    assert colours
    assert all(colour[1:3] == colour[3:5] == colour[5:7] for colour in colours), colours


async def test_a_long_body_is_shown_without_holding_up_the_keys() -> None:
    source = busy_source()
    turns = [{"role": "user", "content": "a long story " * 400} for _ in range(60)]
    source.details[FAILOVER_ID] = msgspec.structs.replace(
        source.details[FAILOVER_ID], request_body=json.dumps({"messages": turns})
    )
    async with driven(source) as console:
        await console.press("j", "j", "enter", "c")
        await console.press("G")
        screen = console.app.screen
        assert isinstance(screen, RequestScreen)
        assert screen.request_body.line_count > 2_000
        assert "100%" in console.text()
        await console.press("g", "ctrl+d", "v")
        assert '"messages": [' in console.text()
