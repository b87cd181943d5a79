"""Responses, Gemini and Ollama against every dialect: what one side is known to send, with each other side.

Requests, answers and streams are listed once per dialect; a pair is a client's requests with the
upstream's answers and streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from atp_engine.core.types import Dialect
from tests.support import (
    wire_cases_anthropic,
    wire_cases_gemini,
    wire_cases_ollama,
    wire_cases_openai,
    wire_cases_responses,
)
from tests.support.wire_cases import ANTHROPIC, OPENAI, Case, Json, user

GEMINI, OLLAMA, RESPONSES = Dialect.GEMINI, Dialect.OLLAMA, Dialect.OPENAI_RESPONSES
Sent = Mapping[str, Any]


def _of(cases: list[Case], client: Dialect, upstream: Dialect, kind: str) -> Sent:
    """What is sent in these cases, by name."""
    found = [case for case in cases if (case.client, case.upstream, case.kind) == (client, upstream, kind)]
    return {case.name: case.sent for case in found}


_REQUESTS: Mapping[Dialect, Sent] = MappingProxyType(
    {
        OPENAI: _of(wire_cases_openai.CASES, OPENAI, ANTHROPIC, "request"),
        ANTHROPIC: _of(wire_cases_anthropic.CASES, ANTHROPIC, OPENAI, "request"),
        GEMINI: wire_cases_gemini.REQUESTS,
        OLLAMA: wire_cases_ollama.REQUESTS,
        RESPONSES: wire_cases_responses.REQUESTS,
    }
)
_REPLIES: Mapping[Dialect, Sent] = MappingProxyType(
    {
        OPENAI: _of(wire_cases_anthropic.CASES, ANTHROPIC, OPENAI, "reply"),
        ANTHROPIC: _of(wire_cases_openai.CASES, OPENAI, ANTHROPIC, "reply"),
        GEMINI: wire_cases_gemini.REPLIES,
        OLLAMA: wire_cases_ollama.REPLIES,
        RESPONSES: wire_cases_responses.REPLIES,
    }
)
_STREAMS: Mapping[Dialect, Sent] = MappingProxyType(
    {
        OPENAI: _of(wire_cases_anthropic.CASES, ANTHROPIC, OPENAI, "stream"),
        ANTHROPIC: _of(wire_cases_openai.CASES, OPENAI, ANTHROPIC, "stream"),
        GEMINI: wire_cases_gemini.STREAMS,
        OLLAMA: wire_cases_ollama.STREAMS,
        RESPONSES: wire_cases_responses.STREAMS,
    }
)
_ASKED: Mapping[Dialect, Json] = MappingProxyType(
    {
        OPENAI: {"model": "m", "messages": [user("Hi")], "stream": True, "stream_options": {"include_usage": True}},
        ANTHROPIC: {"model": "m", "max_tokens": 9, "messages": [user("Hi")], "stream": True},
        GEMINI: {"model": "m", "contents": wire_cases_gemini.HELLO, "stream": True},
        OLLAMA: {"model": "m", "messages": [user("Hi")]},
        RESPONSES: {"model": "m", "input": "Hi", "stream": True, "metadata": {"a": "b"}},
    }
)
_MODELS: Mapping[Dialect, str] = MappingProxyType(
    {
        OPENAI: "gpt-5.5",
        ANTHROPIC: "claude-sonnet-5",
        GEMINI: "gemini-3.5-flash",
        OLLAMA: "qwen3:8b",
        RESPONSES: "gpt-5.5",
    }
)
_SAME = frozenset(
    {"text", "own_signatures", "foreign_signatures", "foreign_seals", "unknown_knobs", "server_knobs", "stream_unsaid"}
)
"""Requests that say something about passing through: the others stay as they are."""


def _pair(client: Dialect, upstream: Dialect) -> list[Case]:
    asked, model = _ASKED[client], _MODELS[upstream]
    requests = _REQUESTS[client].items()
    if client is upstream:
        requests = [(name, sent) for name, sent in requests if name in _SAME]  # type: ignore[assignment]
    return [
        *(Case(client, upstream, "request", name, sent, model) for name, sent in requests),
        *(Case(client, upstream, "reply", name, sent, asked=asked) for name, sent in _REPLIES[upstream].items()),
        *(Case(client, upstream, "stream", name, sent, asked=asked) for name, sent in _STREAMS[upstream].items()),
    ]


def _budgets() -> list[Case]:
    """Ways of thinking by Gemini's generations."""
    asked = {"model": "m", "messages": [user("Hi")]}
    efforts = [("none", "gemini-2.5-pro"), ("none", "gemini-2.5-flash"), ("low", "gemini-2.5-flash")]
    efforts += [("none", "gemini-3.5-flash"), ("xhigh", "gemini-3.1-pro-preview"), ("high", "gemini-2.0-flash")]
    return [
        Case(OPENAI, GEMINI, "request", f"effort_{effort}_{model}", {**asked, "reasoning_effort": effort}, model)
        for effort, model in efforts
    ]


CASES = [
    case
    for client in (OPENAI, ANTHROPIC, RESPONSES, GEMINI, OLLAMA)
    for upstream in (OPENAI, ANTHROPIC, RESPONSES, GEMINI, OLLAMA)
    if {client, upstream} & {RESPONSES, GEMINI, OLLAMA}
    for case in _pair(client, upstream)
] + _budgets()
