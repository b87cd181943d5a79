"""Who calls, from the headers alone: the known client and the session id it sends.

Called once per request before the body is read. Header names and values are those captured from the
clients' releases of November 2026. A subagent counts into its parent's session: both belong to one
agent run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atp_engine.core.types import ClientHint
from atp_engine.dialects.reading import session_name

_SESSION_HEADERS = (
    b"x-atp-session",
    b"x-claude-code-session-id",
    b"x-parent-session-id",
    b"session-id",
    b"session_id",
    b"thread-id",
    b"conversation_id",
    b"x-session-id",
    b"x-session-affinity",
)
"""Strongest first; hyphens since Codex 0.16x, underscores before."""

_RANK: Mapping[bytes, int] = MappingProxyType({name: rank for rank, name in enumerate(_SESSION_HEADERS)})

_MARKS: Mapping[bytes, str] = MappingProxyType(
    {
        b"x-claude-code-session-id": "claude-code",
        b"x-codex-window-id": "codex",
        b"x-codex-turn-metadata": "codex",
        b"x-session-affinity": "opencode",
    }
)
"""Headers that only one client sends."""

_PRODUCTS: Mapping[bytes, str] = MappingProxyType(
    {
        b"claude-cli": "claude-code",
        b"claude-code": "claude-code",
        b"codex_exec": "codex",
        b"codex_cli_rs": "codex",
        b"codex-tui": "codex",
        b"codex": "codex",
        b"opencode": "opencode",
        b"qwencode": "qwen-code",
        b"geminicli": "gemini-cli",
        b"geminicli-tui": "gemini-cli",
        b"aider": "aider",
        b"llm": "llm",
        b"crush": "crush",
        b"agents": "openai-agents",
        b"pydantic-ai": "pydantic-ai",
        b"instructor": "instructor",
        b"litellm": "litellm",
        b"langchain": "langchain",
        b"langchain-anthropic": "langchain",
        b"langchain-openai": "langchain",
        b"llama-index": "llama-index",
        b"llamaindex": "llama-index",
        b"ai": "vercel-ai",
        b"ai-sdk": "vercel-ai",
        b"google-genai-sdk": "google-genai",
        b"ollama-python": "ollama-py",
        b"atp-console": "atp-console",
        b"curl": "curl",
        b"python-requests": "python",
        b"python-httpx": "python",
        b"python-httpx2": "python",
        b"aiohttp": "python",
        b"python": "python",
        b"node": "node",
        b"bun": "node",
        b"go-http-client": "go",
        b"postmanruntime": "postman",
        b"mozilla": "browser",
    }
)
"""First product of a User-Agent, lower case."""

_SDKS: Mapping[bytes, str] = MappingProxyType(
    {b"openai": "openai", b"asyncopenai": "openai", b"anthropic": "anthropic", b"asyncanthropic": "anthropic"}
)
_LANGUAGES: Mapping[bytes, str] = MappingProxyType({b"python": "py", b"js": "js", b"node": "js"})
_WANTED = frozenset({*_SESSION_HEADERS, *_MARKS, b"user-agent", b"originator", b"x-title"})


def read_client(headers: list[tuple[bytes, bytes]]) -> ClientHint:
    """The caller by its headers (lower-case names, as ASGI has them); `unknown` when not recognised.

    aider, `llm`, instructor and llama-index send the OpenAI SDK's own User-Agent unless a title header
    names them, so they read as `openai-py`.
    """
    client, product, session, best = "", b"", b"", len(_SESSION_HEADERS)
    for name, value in headers:
        if name not in _WANTED:
            continue
        rank = _RANK.get(name, best)
        if rank < best and value:
            session, best = value, rank
        if name == b"user-agent":
            product = value
        elif name == b"originator" and value.startswith(b"codex"):
            client = "codex"
        elif name == b"x-title" and value.lower() == b"aider":
            client = "aider"
        elif name in _MARKS:
            client = _MARKS[name]
    return ClientHint(
        client=client or _client_of(product),
        session_hint=session_name(session.decode("latin-1")) if session else "",
    )


def _client_of(agent: bytes) -> str:
    """`openai-py` of `AsyncOpenAI/Python 3.54.0`, `vercel-ai` of `ai-sdk/openai/4.0 runtime/node`."""
    first, _, rest = agent[:200].lower().partition(b"/")
    sdk = _SDKS.get(first)
    if sdk:
        language = _LANGUAGES.get(rest.partition(b" ")[0].partition(b"/")[0], "")
        return f"{sdk}-{language}" if language else sdk
    first = first.partition(b" ")[0]
    known = _PRODUCTS.get(first)
    if known:
        return known
    return "vercel-ai" if first.startswith(b"ai-sdk-") else "unknown"
