"""Stored bodies of Gemini's and Ollama's dialects read like the others."""

from __future__ import annotations

import json

import pytest

from atp_console import bodies
from tests.support import wire_cases_gemini as gemini
from tests.support import wire_cases_ollama as ollama


def test_a_request_of_gemini_reads_as_its_turns() -> None:
    for name in ("tool_loop", "system_and_turns", "images", "own_signatures"):
        shown = bodies.plain(json.dumps(gemini.REQUESTS[name]))
        assert "contents" not in shown
    shown = bodies.plain(json.dumps(gemini.REQUESTS["tool_loop"]))
    assert 'calls weather {"city": "Oslo"}' in shown
    assert '{"result": "Sunny"}' in shown


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps(gemini.REPLIES["text"]), "Hello\n there"),
        (json.dumps(ollama.REPLIES["text"]), "Hello"),
        (json.dumps({"model": "m", "response": "Hello", "done": True}), "Hello"),
        (gemini.STREAMS["text"], "Hello 🌍"),
        (ollama.STREAMS["text"], "Hello 🌍"),
        (json.dumps([gemini.answer("Hel", finish=""), gemini.answer("lo")]), "Hello"),
        ('{"response":"Hel","done":false}\n{"response":"lo","done":true}\n', "Hello"),
    ],
)
def test_an_answer_reads_as_its_text(body: str, said: str) -> None:
    assert bodies.plain(body) == said


@pytest.mark.parametrize(
    "body", ['{"contents":[1]}', '{"candidates":[1]}', '{"contents":[{"parts":[1,{}]}]}', "[{}]", "{}\n{"]
)
def test_odd_bodies_are_shown_all_the_same(body: str) -> None:
    assert bodies.readable(body)
