"""Files that leave the console: harmless in a spreadsheet and a terminal, whole, private, never over another one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from atp_console import exports, files
from atp_console.subjects import list_path, subject_of
from atp_engine.core.log_views import AuditView, LogLine
from atp_engine.core.types import AttemptOutcome, AttemptRecord, PriceState, TokenUsage
from atp_engine.core.views import RequestDetail
from tests.support.console import NOW, deployment_view, request_view, session_view

_HOSTILE = "\x1b]52;c;eA==\x07\x1b[2J\u202egnp\x9b31m\u2028"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://evil")', '\'=HYPERLINK("http://evil")'),
        ("@x", "'@x"),
        (" +1", "' +1"),
        ("-2", "'-2"),
        ("\uff1dx", "'\uff1dx"),
        ("\t=1", "' =1"),
        ("a;=cmd|' /c calc'!A0", "a;'=cmd|' /c calc'!A0"),
        ("a-b; c=d", "a-b; c=d"),
        (_HOSTILE + "=1", "gnp=1"),
    ],
)
def test_no_cell_is_a_formula_in_any_spreadsheet(text: str, cell: str) -> None:
    (row,) = csv.DictReader(exports.as_csv([request_view(asked=text)]).splitlines())
    assert row["asked"] == cell


def test_csv_names_what_was_asked_what_served_and_the_tries_and_leaves_unknown_costs_empty() -> None:
    view = request_view(tries=2, price_state=PriceState.UNKNOWN, cost_nusd=0, ttft_ms=None)
    (row,) = csv.DictReader(exports.as_csv([view]).splitlines())
    assert [row[name] for name in ("asked", "served", "tries", "cost_nusd", "ttft_ms", "prompt_tokens")] == [
        "auto", "sonnet", "2", "", "", "41204",
    ]  # fmt: skip
    assert exports.as_csv([]) == "\n"
    (deployment,) = csv.DictReader(exports.as_csv([deployment_view(routes=("a", "=b"))]).splitlines())
    assert deployment["routes"] == '["a","=b"]'


def test_json_is_the_same_for_a_program_and_harmless_for_a_terminal() -> None:
    views = [request_view(id="a", asked=_HOSTILE), request_view(id="b")]
    for text in (exports.as_jsonl(views), exports.as_json(views[0]), exports.as_har(views, "http://x", "1")):
        assert not any(ord(one) < 32 and one != "\n" for one in text)
        assert not any(one in text for one in "\x9b\u202e\u2028\x7f")
    lines = exports.as_jsonl(views).splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]
    assert json.loads(lines[0])["asked"] == _HOSTILE


def test_an_archive_holds_bodies_attempts_and_what_was_asked_and_served() -> None:
    attempt = AttemptRecord(
        1, "gpt-5", "openai", "gpt-5", AttemptOutcome.RATE_LIMITED, 3.0, 600.0, None, 429, "slow down", TokenUsage(), 0,
        PriceState.KNOWN,
    )  # fmt: skip
    view = request_view(asked="gpt-5", served="gpt-5-mini", tries=2, queue_wait_ms=12.0)
    detail = RequestDetail(view, None, (attempt,), '{"a":1}', "data: x", (), 1, 1, "", "")
    gemini = request_view(dialect="gemini", asked="m/x", price_state=PriceState.UNKNOWN, duration_ms=None, ttft_ms=None)
    log = json.loads(exports.as_har([detail, gemini], "http://h:1", "9"))["log"]
    assert (log["version"], log["creator"]["version"]) == ("1.2", "9")
    whole, bare = log["entries"]
    assert whole["request"]["url"] == "http://h:1/v1/messages"
    assert whole["request"]["postData"]["text"] == '{"a":1}'
    assert whole["response"]["content"]["text"] == "data: x"
    assert (whole["_asked"], whole["_served"], whole["_tries"]) == ("gpt-5", "gpt-5-mini", 2)
    assert whole["_attempts"][0]["message"] == "slow down"
    assert whole["timings"] == {"blocked": 12.0, "send": 0, "wait": 400.0, "receive": 4_458.0}
    assert whole["startedDateTime"] == "2025-10-09T08:53:16.000+00:00"
    assert bare["request"]["url"] == "http://h:1/v1beta/models/m/x:streamGenerateContent?alt=sse"
    assert "postData" not in bare["request"]
    assert (bare["_cost_usd"], bare["time"]) == (None, 0)


def test_a_row_has_a_page_in_the_dashboard_where_there_is_one() -> None:
    rows = {
        request_view(id="req/1"): ("request", "/ui/requests/req%2F1"),
        session_view(id='a"b'): ("session", "/ui/?q=session%3D%22ab%22"),
        deployment_view(key="gpt 5"): ("deployment", "/ui/?q=model%3D%22gpt+5%22"),
        AuditView(1, NOW, "me", "request.cancel", "req_1", ""): ("act", "/ui/requests/req_1"),
        AuditView(2, NOW, "me", "key.create", "key_1", ""): ("act", ""),
    }
    for row, (noun, path) in rows.items():
        subject = subject_of(row)
        assert subject is not None
        assert (subject.noun, subject.path) == (noun, path)
    about = subject_of(LogLine(7, "", "info", "x", "y", "req_9"))
    assert about is not None
    assert about.path == "/ui/requests/req_9"
    assert subject_of("text") is None
    assert list_path("") == "/ui/"


def test_files_are_private_and_another_one_is_replaced_only_when_told(tmp_path: Path) -> None:
    first, second = files.write_new(tmp_path, "a.csv", "1"), files.write_new(tmp_path, "a.csv", "2")
    assert (first.name, second.name) == ("a.csv", "a-1.csv")
    assert first.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.create(first, "x")
    assert first.read_text() == "1"
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "link", "x")
    files.replace(tmp_path / "link", "y\ud800")
    assert (outside.read_text(), (tmp_path / "link").read_text()) == ("precious", "y\\ud800")
    with pytest.raises(IsADirectoryError):
        files.replace(tmp_path, "x")
    assert len(list(tmp_path.iterdir())) == 4, "nothing is left over"
