"""Lines of an exact width, whatever is in them."""

from __future__ import annotations

import gc
import re

from hypothesis import given
from hypothesis import strategies as st

from atp_console.look import look_for
from atp_console.paint import Line, cells, clipped, cut, fit, lit, packed, spread, strip_of, width_of, wrapped
from atp_console.widgets.text_view import wrapped_line

_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Mn", "Me", "Cf")), max_size=40)
_LINES = st.lists(st.tuples(_TEXT, st.sampled_from(["text", "muted", "bad"])), max_size=6)


@given(_TEXT, st.integers(min_value=0, max_value=30), st.booleans())
def test_fit_is_exact(text: str, width: int, is_right: bool) -> None:
    assert cells(fit(text, width, is_right=is_right)) == width


@given(_TEXT, st.integers(min_value=0, max_value=30))
def test_cut_never_exceeds_and_leaves_short_text_alone(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width
    if cells(text) <= width:
        assert cut(text, width) == text


@given(_LINES, st.integers(min_value=0, max_value=60))
def test_a_strip_has_exactly_the_asked_width(line: Line, width: int) -> None:
    strip = strip_of(line, width, look_for().palette)
    assert strip.cell_length == width
    assert cells(strip.text) == width


@given(_LINES, _LINES, st.integers(min_value=0, max_value=60))
def test_clipped_and_spread_lines_fit(left: Line, right: Line, width: int) -> None:
    assert width_of(clipped(left, width)) <= width
    if width_of(right) <= width - 4:
        assert width_of(spread(left, right, width)) == width


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Mn", "Me", "Cf")), max_size=200),
    st.integers(min_value=2, max_value=40),
)
def test_wrapped_text_keeps_every_word(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(_LINES, st.integers(min_value=2, max_value=30))
def test_wrapped_lines_of_many_roles_lose_nothing(line: Line, width: int) -> None:
    pieces = wrapped_line(line, width)
    assert all(width_of(piece) <= width for piece in pieces)
    kept = "".join(text for piece in pieces for text, _ in piece)
    assert "".join(kept.split()) == "".join("".join(text for text, _ in line).split())


def test_wrapping_prefers_spaces_and_breaks_long_words() -> None:
    assert wrapped("the last frame of a stream", 12) == ["the last", "frame of a", "stream"]
    assert wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrapped("one\n\ntwo", 10) == ["one", "", "two"]
    assert wrapped("x", 0) == []


def test_parts_of_the_highest_rank_are_left_out_first() -> None:
    parts: list[tuple[int, Line]] = [(0, [("aaaa", "text")]), (2, [("bbbb", "text")]), (1, [("cccc", "text")])]
    assert [text for text, _ in packed(parts, 16)] == ["aaaa", "  ", "bbbb", "  ", "cccc"]
    assert [text for text, _ in packed(parts, 10)] == ["aaaa", "  ", "cccc"]
    assert [text for text, _ in packed(parts, 2)] == ["aaaa"]


def test_a_strip_that_was_shown_goes_with_its_last_reference() -> None:
    gc.freeze()  # what other tests left takes long to walk, and is not the question
    strip = strip_of([("a row", "text")], 20, look_for().palette)
    gc.collect()
    strip.divide([20])
    strip.divide([5, 20])
    del strip
    assert gc.collect() == 0


def test_what_a_pattern_finds_is_lit_up_and_no_character_is_lost() -> None:
    line: Line = [("claude-Claude", "muted"), (" → ", "text"), ("日本claude", "text")]
    found = lit(line, re.compile("claude", re.IGNORECASE))
    assert found == [
        ("claude", "match"),
        ("-", "muted"),
        ("Claude", "match"),
        (" → ", "text"),
        ("日本", "text"),
        ("claude", "match"),
    ]
    assert lit(line, re.compile("x*")) == line, "a pattern that matches nothing at all lights up nothing"
