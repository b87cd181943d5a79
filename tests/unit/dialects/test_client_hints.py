"""Callers recognised by the headers that their releases send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atp_engine.dialects.clients import read_client

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "snapshots" / "clients" / "heads.json").read_text()
)


def _client(agent: str, **headers: str) -> str:
    return read_client([(b"host", b"x"), (b"user-agent", agent.encode()), *_pairs(headers)]).client


def _pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.replace("__", "-").encode(), value.encode()) for name, value in headers.items()]


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("claude-cli/2.1.330 (external, cli)", "claude-code"),
        ("codex_exec/0.169.0 (Linux; x86_64) xterm", "codex"),
        ("opencode/1.18.0", "opencode"),
        ("QwenCode/0.24.4 (linux; x64)", "qwen-code"),
        ("GeminiCLI/0.61.0/gemini-3 (linux; x64)", "gemini-cli"),
        ("OpenAI/Python 3.54.0", "openai-py"),
        ("AsyncOpenAI/Python 3.54.0", "openai-py"),
        ("OpenAI/JS 7.57.0", "openai-js"),
        ("Anthropic/Python 2.13.0", "anthropic-py"),
        ("AsyncAnthropic/Python 2.13.0", "anthropic-py"),
        ("Anthropic/JS 1.12.0", "anthropic-js"),
        ("Agents/Python 0.24.0", "openai-agents"),
        ("pydantic-ai/2.38.0", "pydantic-ai"),
        ("langchain-anthropic/1.7.0", "langchain"),
        ("litellm/1.106.0", "litellm"),
        ("ai-sdk/openai/4.0.1 runtime/node.js/22", "vercel-ai"),
        ("ai-sdk-anthropic/4.0.0", "vercel-ai"),
        ("ai/7.0.0 ai-sdk/openai-compatible/3.0", "vercel-ai"),
        ("google-genai-sdk/3.4.0 gl-python/3.11", "google-genai"),
        ("curl/8.5.0", "curl"),
        ("atp-console", "atp-console"),
        ("atp-console/0.1.0", "atp-console"),
        ("python-httpx/0.28.1", "python"),
        ("Mozilla/5.0 (X11; Linux)", "browser"),
        ("", "unknown"),
        ("Something else", "unknown"),
        ("\x1b[31m/1", "unknown"),
        ("x" * 10_000, "unknown"),
    ],
)
def test_a_user_agent_names_its_client(agent: str, client: str) -> None:
    assert _client(agent) == client


@pytest.mark.parametrize("head", RECORDED, ids=[f"{head['client']}: {head['request']}" for head in RECORDED])
def test_the_heads_that_real_clients_sent_name_client_and_session(head: dict[str, Any]) -> None:
    """As recorded from their releases of November 2026, credentials left out."""
    hint = read_client([(name.encode(), value.encode()) for name, value in head["headers"]])
    assert (hint.client, hint.session_hint) == (head["known_as"], head["session"])


def test_a_client_under_an_sdks_user_agent_is_known_by_its_own_headers() -> None:
    assert _client("OpenAI/Python 2.20", x__title="Aider") == "aider"
    assert _client("OpenAI/JS 5", x__session__affinity="ses_1") == "opencode"
    assert _client("reqwest/0.12", originator="codex_exec") == "codex"
    assert _client("Bun/1.3", x__claude__code__session__id="s") == "claude-code"


@pytest.mark.parametrize(
    "name",
    [
        "x-atp-session",
        "x-claude-code-session-id",
        "x-parent-session-id",
        "session-id",
        "session_id",
        "thread-id",
        "conversation_id",
        "x-session-id",
        "x-session-affinity",
    ],
)
def test_every_session_header_is_read(name: str) -> None:
    assert read_client([(name.encode(), b"0f1e-aa")]).session_hint == "0f1e-aa"


def test_the_strongest_session_header_wins_in_any_order() -> None:
    pairs = [(b"x-session-id", b"weak"), (b"x-atp-session", b"strong"), (b"thread-id", b"middle")]
    assert read_client(pairs).session_hint == read_client(pairs[::-1]).session_hint == "strong"


def test_a_subagent_counts_into_its_parents_session() -> None:
    pairs = [
        (b"x-session-id", b"ses_child"),
        (b"x-session-affinity", b"ses_child"),
        (b"x-parent-session-id", b"ses_main"),
    ]
    assert read_client(pairs).session_hint == "ses_main"


def test_empty_and_missing_headers_give_no_session() -> None:
    assert read_client([]).session_hint == ""
    assert read_client([(b"x-session-id", b"")]).session_hint == ""
    assert read_client([(b"x-session-id", b"   ")]).session_hint == ""


def test_a_hostile_session_header_is_made_safe() -> None:
    hint = read_client([(b"x-session-id", b"\x1b]52;c;AAAA\x07" + b"\xff" * 3000)]).session_hint
    assert len(hint) == 32
    assert hint.isalnum()
