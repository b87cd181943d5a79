"""Agents that first describe where they run: their sessions go by what the user said."""

from __future__ import annotations

import json

import pytest

from atp_engine.core.types import Dialect
from atp_engine.dialects.facts import read_facts

QWEN = "This is the Qwen Code. We are setting up the context for our chat.\nFiles: "
GEMINI = "<session_context>\nThis is the Gemini CLI.\nFiles: "


def qwen(files: str, *said: str) -> bytes:
    turns = [{"role": "user", "content": [{"type": "text", "text": QWEN + files}]}]
    turns.append({"role": "assistant", "content": [{"type": "text", "text": "Got it."}]})
    turns += [{"role": "user", "content": [{"type": "text", "text": text}]} for text in said]
    return json.dumps({"model": "m", "messages": turns}).encode()


def gemini(files: str, *said: str) -> bytes:
    first = {"role": "user", "parts": [{"text": GEMINI + files}, {"text": said[0]}]}
    later = [{"role": "user", "parts": [{"text": text}]} for text in said[1:]]
    return json.dumps({"model": "m", "contents": [first, *later]}).encode()


@pytest.mark.parametrize(("dialect", "body"), [(Dialect.OPENAI_CHAT, qwen), (Dialect.GEMINI, gemini)])
def test_the_scene_is_no_part_of_the_fingerprint(dialect: Dialect, body: object) -> None:
    assert callable(body)
    first = read_facts(dialect, body("a.py", "fix it")).prefix_seed
    assert read_facts(dialect, body("a.py b.py", "fix it", "and now?")).prefix_seed == first
    assert read_facts(dialect, body("a.py", "explain it")).prefix_seed != first


def test_a_scene_alone_still_tells_conversations_apart() -> None:
    one = json.dumps({"model": "m", "messages": [{"role": "user", "content": QWEN + "a"}]}).encode()
    other = json.dumps({"model": "m", "messages": [{"role": "user", "content": QWEN + "b"}]}).encode()
    seeds = {read_facts(Dialect.OPENAI_CHAT, body).prefix_seed for body in (one, other)}
    assert len(seeds) == 2
