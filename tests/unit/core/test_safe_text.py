"""Outside text made harmless for every sink."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.text import safe_text


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]52;c;cGF5bG9hZA==\x07b", "ab"),
        ("\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b31mx", "x"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("left\u202eright\u2066", "leftright"),
        ("one\r\ntwo\tthree", "one two three"),
        ("nul\x00bell\x07", "nulbell"),
        ("emoji 👩‍💻 stays, 漢字 too", "emoji 👩‍💻 stays, 漢字 too"),
        ("half \ud83d", "half "),
    ],
)
def test_what_a_terminal_would_act_on_is_gone(hostile: str, harmless: str) -> None:
    assert safe_text(hostile) == harmless


def test_lines_stay_where_they_are_wanted() -> None:
    assert safe_text("a\r\n\tb", is_line=False) == "a\n\tb"


def test_a_cut_is_shown() -> None:
    assert safe_text("x" * 50, limit=10) == "x" * 9 + "…"


@given(st.text(max_size=400))
def test_no_control_character_ever_comes_through(text: str) -> None:
    made = safe_text(text, is_line=False)
    assert not any((ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160 for char in made)
    assert safe_text(made, is_line=False) == made
