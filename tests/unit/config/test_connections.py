"""Every known client gets lines that can be pasted as they are."""

from __future__ import annotations

import json
import os
import subprocess

from atp_engine.config.connections import connections

URL = "http://127.0.0.1:7443"
BY_NAME = {entry.name: entry for entry in connections(f"{URL}/", "atp_key_abc", "auto")}


def run(lines: tuple[str, ...], show: str) -> str:
    """What a shell makes of the lines."""
    script = "\n".join([*lines, show])
    return subprocess.run(  # noqa: S603 - our own lines
        ["/bin/sh", "-euc", script], capture_output=True, text=True, check=True, timeout=10, env={"PATH": os.defpath}
    ).stdout  # fmt: skip


def test_openai_addresses_end_in_v1_and_anthropic_ones_do_not() -> None:
    assert run(BY_NAME["OpenAI SDK"].lines, 'echo "$OPENAI_BASE_URL $OPENAI_API_KEY"') == f"{URL}/v1 atp_key_abc\n"
    assert run(BY_NAME["Anthropic SDK"].lines, 'echo "$ANTHROPIC_BASE_URL"') == f"{URL}\n"
    assert run(BY_NAME["aider"].lines[:2], 'echo "$OPENAI_API_BASE"') == f"{URL}/v1\n"
    assert BY_NAME["aider"].lines[-1] == "aider --model openai/auto"


def test_claude_code_gets_both_models() -> None:
    lines = BY_NAME["Claude Code"].lines
    shown = run(lines[:-1], 'echo "$ANTHROPIC_AUTH_TOKEN $ANTHROPIC_MODEL $ANTHROPIC_DEFAULT_HAIKU_MODEL"')
    assert shown == "atp_key_abc auto auto\n"
    assert lines[-1] == "claude"


def test_curl_lines_are_one_command_with_a_json_body() -> None:
    lines = ("curl() { for word; do last=$word; done; printf '%s' \"$last\"; }", *BY_NAME["curl"].lines)
    assert json.loads(run(lines, ""))["model"] == "auto"


def test_the_opencode_snippet_is_json() -> None:
    snippet = json.loads("\n".join(BY_NAME["opencode"].lines))
    assert snippet["provider"]["atp"]["options"] == {"baseURL": f"{URL}/v1", "apiKey": "atp_key_abc"}
    assert list(snippet["provider"]["atp"]["models"]) == ["auto"]


def test_what_does_not_work_yet_is_said_and_gives_nothing_to_paste() -> None:
    assert BY_NAME["Codex"].lines == ()
    assert "/v1/responses" in BY_NAME["Codex"].note


def test_odd_route_names_cannot_break_out_of_the_lines() -> None:
    route = "a'; touch x; '\"$(id)"
    for entry in connections(URL, "k", route):
        if entry.name in ("Claude Code",):
            assert run(entry.lines[:-1], 'printf %s "$ANTHROPIC_MODEL"') == route
