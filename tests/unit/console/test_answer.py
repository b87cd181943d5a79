"""How two answers differ, as lines with roles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atp_console.widgets.answer import difference


def _flat(old: str, new: str) -> str:
    return "\n".join("".join(text for text, _ in line) for line in difference(old, new))


def test_words_that_changed_are_marked_and_the_rest_is_plain() -> None:
    assert _flat("the cat sat down", "the old cat sat up") == "the [+old+] cat sat [-down-][+up+]"
    roles = {role for line in difference("a b", "a c") for _, role in line}
    assert roles == {"text", "ok", "bad"}


def test_equal_texts_have_no_marks_and_lines_stay_lines() -> None:
    assert _flat("one\ntwo\n", "one\ntwo\n") == "one\ntwo\n"
    assert "[" not in _flat("", "")


def test_control_characters_of_an_answer_are_shown_harmless() -> None:
    assert "\x1b" not in _flat("a", "a \x1b]52;c;AAAA\x07 b")


_TEXT = st.text(st.sampled_from("ab \n"), max_size=60)


@given(_TEXT, _TEXT)
def test_what_is_plain_or_added_is_the_new_text_again(old: str, new: str) -> None:
    kept = "\n".join("".join(text for text, role in line if role != "bad") for line in difference(old, new))
    assert kept.replace("[+", "").replace("+]", "").split() == new.split()
