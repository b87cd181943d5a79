"""How known clients are pointed at this engine: exact lines to paste, nothing to look up.

The first-run screen and `/admin/connections` show them. Pure: the same address, key and route give the
same lines. Sources: the clients' own releases, captured in November 2026.
"""

from __future__ import annotations

import json
import shlex

from atp_engine.core.views import Connection


def connections(base_url: str, client_key: str, route: str) -> tuple[Connection, ...]:
    """One entry per client. `base_url` is the engine's root without `/v1`, such as `http://127.0.0.1:7443`."""
    root = base_url.rstrip("/")
    openai_url = f"{root}/v1"
    return (
        Connection(
            name="OpenAI SDK",
            lines=(_export("OPENAI_BASE_URL", openai_url), _export("OPENAI_API_KEY", client_key)),
            note=f'Python and Node read both; ask for model "{route}"',
        ),
        Connection(
            name="Anthropic SDK",
            lines=(_export("ANTHROPIC_BASE_URL", root), _export("ANTHROPIC_API_KEY", client_key)),
            note=f'the address has no /v1; ask for model "{route}"',
        ),
        Connection(name="curl", lines=_curl(openai_url, client_key, route)),
        Connection(
            name="Claude Code",
            lines=(
                _export("ANTHROPIC_BASE_URL", root),
                _export("ANTHROPIC_AUTH_TOKEN", client_key),
                _export("ANTHROPIC_MODEL", route),
                _export("ANTHROPIC_DEFAULT_HAIKU_MODEL", route),
                "claude",
            ),
        ),
        Connection(
            name="aider",
            lines=(
                _export("OPENAI_API_BASE", openai_url),
                _export("OPENAI_API_KEY", client_key),
                f"aider --model {shlex.quote(f'openai/{route}')}",
            ),
        ),
        Connection(
            name="opencode",
            lines=_opencode(openai_url, client_key, route),
            note=f"in opencode.json; then: opencode --model atp/{route}",
        ),
        Connection(name="Codex", lines=(), note="speaks /v1/responses only, which this engine does not offer yet"),
    )


def _export(variable: str, value: str) -> str:
    return f"export {variable}={shlex.quote(value)}"


def _curl(openai_url: str, client_key: str, route: str) -> tuple[str, ...]:
    body = json.dumps({"model": route, "messages": [{"role": "user", "content": "hello"}]})
    return (
        f"curl {shlex.quote(f'{openai_url}/chat/completions')} \\",
        f"  -H {shlex.quote(f'Authorization: Bearer {client_key}')} \\",
        "  -H 'Content-Type: application/json' \\",
        f"  -d {shlex.quote(body)}",
    )


def _opencode(openai_url: str, client_key: str, route: str) -> tuple[str, ...]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "ATP Console",
        "options": {"baseURL": openai_url, "apiKey": client_key},
        "models": {route: {}},
    }
    return tuple(json.dumps({"provider": {"atp": provider}}, indent=2).splitlines())
