"""Raw events, and what was sent, as lines: every shape of a stored answer, bounded, and nothing obeyed."""

from __future__ import annotations

import json
import time

import pytest

from atp_console import frames, sent_text
from atp_console.outline import outline
from atp_console.paint import wrapped
from atp_console.widgets.text_view import wrapped_line
from atp_engine.core.sent_views import Fate, HeaderView, SentCall, SentView


def _text(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (
            'event: message_start\ndata: {"type":"message_start"}\n\nevent: ping\ndata: {}\n\n',
            ["message_start", "ping"],
        ),
        ('data: {"object":"chunk"}\r\n\r\ndata: [DONE]\r\n\r\n', ["chunk", "done"]),
        (': heartbeat\n\ndata: a\ndata: b\n\ndata: {"cut', ["comment", "data", "data"]),
        ('{"done":false}\n{"done":true}\n', ["data", "data"]),
        ('{"id": 1,\n "choices": []}', []),
        ("", []),
        ("plain words", []),
    ],
)
def test_events_are_told_apart_and_named(body: str, names: list[str]) -> None:
    assert [frame.name for frame in frames.frames_of(body)] == names
    assert frames.lines_of(body)


def test_events_are_bounded_and_harmless() -> None:
    lines = frames.lines_of("data: \x1b]52;c;aGk=\x07[red]\n\n" * (frames.MOST + 5))
    assert len(lines) == frames.MOST + 2
    assert "more than 5,000 events" in _text(lines[:1])
    assert "\x1b" not in _text(lines)
    assert "[red]" in _text(lines)


def _view(theirs: str, ours: str | None, **changes: object) -> SentView:
    values: dict[str, object] = {"note": "", "dropped_fields": (), **changes}
    call = SentCall(1, "a", "p", "m", "openai_chat", "", is_translated=False, headers=(), body=ours, **values)  # type: ignore[arg-type]
    return SentView("r", "openai_chat", "", None, theirs, (call,))


def test_what_differs_is_named_and_shown_and_nothing_else() -> None:
    theirs = json.dumps({"model": "auto", "seed": 1, "messages": ["x"] * 50})
    ours = json.dumps({"model": "m", "messages": ["x"] * 50, "stream": True})
    said = _text(sent_text.lines_of(_view(theirs, ours, dropped_fields=("seed",))))
    for words in ("changed model", "only the client's seed", "only ours stream", "left out seed", '+   "model": "m"'):
        assert words in said
    assert said.count('"x"') < 10
    assert "they were not kept" in said
    assert "as it came" in _text(sent_text.lines_of(_view(theirs, theirs)))


def test_bodies_that_are_no_json_or_not_there_are_told() -> None:
    assert "- {cut" in _text(sent_text.lines_of(_view("{cut", "[]")))
    assert "was cut" in _text(sent_text.lines_of(_view("{cut", None, note="it was cut")))
    empty = SentView("r", "anthropic", "beta=true", (HeaderView("accept", "*/*", Fate.KEPT),), None, ())
    said = _text(sent_text.lines_of(empty))
    assert "No upstream call was made" in said
    assert "beta=true" in said
    assert "kept back" in said


def test_a_config_s_tables_are_listed_by_kind() -> None:
    text = '[server]\n# [not.this]\n[providers.a] # why\n[deployments."x.y"]\n[[windows]]\n[providers.b]\n'
    text += "[ providers . a ]\nx = [1]"
    assert outline(text) == {"server": [], "providers": ["a", "b"], "deployments": ["x.y"], "windows": []}


def test_a_line_of_a_megabyte_is_wrapped_in_no_time() -> None:
    began = time.process_time()
    for text in ("x" * 1_000_000, "word " * 10_000, "日" * 5_000, "e\u0301" * 5_000, "\u0301" * 20_000):
        assert "".join(wrapped(text, 76)).replace(" ", "") == text.replace(" ", "")
        pieces = wrapped_line([("> ", "muted"), (text, "text")], 76)
        assert len(pieces) > 1 or text[0] == "\u0301"
    assert time.process_time() - began < 3.0
