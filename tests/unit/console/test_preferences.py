"""The file of columns and saved views: private, whole, shared by two consoles, and never fatal."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from atp_console.marks import MARKS_CAP, Marks
from atp_console.preferences import FILE_CAP, VIEWS_CAP, ColumnChoice, Preferences, SavedView


def test_what_is_set_up_is_found_again_and_two_consoles_keep_both_their_changes(tmp_path: Path) -> None:
    path = tmp_path / "state" / "console.json"
    one, other = Preferences(path), Preferences(path)
    one.set_columns("requests", ColumnChoice(("TIME", "ROUTE"), ("ROUTE",)))
    one.set_columns("sessions", ColumnChoice(("COST",)))
    assert one.set_view(SavedView("slow", "ttft>2s", "ttft"))
    one.set_columns("sessions", None)
    one.write()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    other.set_view(SavedView("Errors", is_errors_only=True))
    other.set_view(SavedView("gone"))
    other.drop_view("gone")
    other.write()
    again = Preferences(path)
    assert again.problem == ""
    assert [view.name for view in again.views] == ["Errors", "slow"]
    assert again.view("slow") == SavedView("slow", "ttft>2s", "ttft")
    assert again.columns("requests") == ColumnChoice(("TIME", "ROUTE"), ("ROUTE",))
    assert again.columns("sessions") is None
    assert [one.name for one in path.parent.iterdir()] == ["console.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"\xff\xfe",
        b'{"views": [{"name": ""}]}',
        b'{"views": [{"name": "a"}, {"name": "a"}]}',
        b'{"views": [{"name": "a", "quary": "x"}]}',
        b'{"columns": {"requests": {"shown": "TIME"}}}',
        b'{"columns": {"requests": {"shown": [' + b'"x",' * 200 + b'"y"]}}}',
        b"[" * 100_000,
        b" " * (FILE_CAP + 1),
    ],
)
def test_a_broken_file_is_left_aside_with_a_word_and_kept_when_a_new_one_is_written(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "console.json"
    path.write_bytes(content)
    preferences = Preferences(path)
    assert str(path) in preferences.problem
    assert preferences.views == ()
    preferences.set_view(SavedView("new"))
    preferences.write()
    assert Preferences(path).view("new") is not None
    assert path.with_name("console.json.broken").read_bytes() == content


def test_a_pipe_or_a_directory_in_its_place_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert Preferences(tmp_path / "pipe").problem
    assert Preferences(tmp_path / "folder").problem
    in_the_way = Preferences(tmp_path / "pipe" / "console.json")
    assert in_the_way.problem
    in_the_way.set_view(SavedView("a"))
    with pytest.raises(OSError, match="directory"):
        in_the_way.write()
    assert in_the_way.view("a") is not None, "it holds until the console ends"


def test_views_and_marks_are_bounded() -> None:
    preferences = Preferences()
    assert all(preferences.set_view(SavedView(f"v{number}")) for number in range(VIEWS_CAP))
    assert not preferences.set_view(SavedView("one more"))
    assert preferences.set_view(SavedView("v1", "model:x"))
    preferences.write()  # nowhere to, so nothing happens
    marks = Marks()
    assert all(marks.toggle(str(number)) for number in range(MARKS_CAP))
    assert not marks.toggle("one more")
    assert marks.toggle("5")
    assert len(marks) == MARKS_CAP - 1
    marks.is_only = True
    marks.keep({"7", "8"})
    assert marks.ids == ("7", "8")
    marks.discard("7")
    assert marks.is_only
    marks.discard("8")
    assert not marks.is_only, "with the last mark, showing only marked rows ends"
