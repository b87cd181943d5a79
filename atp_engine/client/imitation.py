"""Imitated clients for the demo: what coding agents, SDKs and jobs send, over real HTTP to a real engine.

`atp-console demo` runs them in a process of their own until it is ended. They hold real conversations
with the simulated models: each turn carries the answers so far, so sessions, prompt sizes and costs grow
as they do in life. Some prompts carry a `[[sim:...]]` directive, so that faults and failover are seen.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from atp_engine.client.endpoint import Endpoint
from atp_engine.core.errors import ATPError
from atp_engine.core.types import Dialect
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.facts import read_facts
from atp_engine.providers.transport import Transport, UpstreamRequest

_MOST_TURNS = 12
_REPLY_CAP = 4 * 1024 * 1024


class Persona(msgspec.Struct, frozen=True):
    """One kind of client: how it speaks, whom it asks for, what about, and how often."""

    name: str
    dialect: Dialect
    models: tuple[str, ...]
    user_agent: str
    system: str
    prompts: tuple[str, ...]
    pause_s: tuple[float, float]
    """Shortest and longest rest between two turns."""
    turns: tuple[int, int]
    is_stream: bool = True
    session_header: str = ""
    """Header that carries the session's id, as the real client sends it."""
    has_tools: bool = False


_CODE = (
    "Why does the SSE parser drop the final frame when the server closes early?",
    "Write a test for the token bucket that does not sleep.",
    "Refactor load_config so that every error names its line.",
    "The retry loop hammers a failing upstream. Where is the cap?",
    "Explain what this stack trace means and fix the cause.",
    "Add a --json flag to the status command and document it.",
    "Which index does this query use, and is it the right one?",
    "Review the diff: is the lock released on every path?",
    "Make the cache key stable across processes.",
    "Split this file; it has outgrown its noun.",
)
_SUPPORT = (
    "A customer cannot reset the password. Draft a friendly reply.",
    "Summarise this thread in three bullets.",
    "Translate the release note into German.",
    "Classify this ticket: billing, bug or question?",
    "Write a polite reminder about the open invoice.",
)
_RESEARCH = (
    "Compare LFU and LRU for a cache of model answers.",
    "What does TTFT measure, and why is p95 the figure to watch?",
    "Give the argument against averaging latency.",
    "How would you prove that a budget is never exceeded under concurrency?",
)
_JOBS = (
    "Extract the total, the currency and the due date as JSON.",
    "Tag this log line with a severity.",
    "Score this answer from 0 to 10.",
    "Write a product text for this item.",
)

_FAULTS = ("500 on=sim-balanced", "429 retry=3 on=sim-balanced", "cut after=30", "filter", "slow", "503 on=sim-fast")
_FAULT_SHARE = 0.07
"""Share of turns that ask the simulated provider for a fault, so that failover and errors are seen."""

PERSONAS = (
    Persona(
        "claude-code", Dialect.ANTHROPIC, ("auto", "best", "auto"), "claude-cli/2.1.330 (external, cli)",
        "You are a coding agent in a terminal. " * 60, _CODE, (0.8, 4.0), (3, 10),
        session_header="x-claude-code-session-id", has_tools=True,
    ),
    Persona(
        "opencode", Dialect.OPENAI_CHAT, ("auto", "fast"), "opencode/1.18.0 ai-sdk/openai-compatible/3.0",
        "You are opencode, an agent that edits code. " * 40, _CODE, (1.0, 5.0), (2, 8),
        session_header="x-session-id", has_tools=True,
    ),
    Persona(
        "aider", Dialect.OPENAI_CHAT, ("best", "auto"), "OpenAI/Python 2.20.0",
        "Act as an expert software developer. Answer with edit blocks. " * 12, _CODE, (3.0, 9.0), (2, 6),
    ),
    Persona(
        "support", Dialect.OPENAI_CHAT, ("fast", "sim-flaky"), "langchain-openai/1.7.0",
        "You answer customers of a bicycle shop.", _SUPPORT, (0.6, 3.0), (1, 3),
    ),
    Persona(
        "research", Dialect.ANTHROPIC, ("best", "simulated/sim-thinking"), "Anthropic/Python 2.13.0",
        "You are a careful research assistant. Cite what you rely on.", _RESEARCH, (4.0, 12.0), (2, 5),
    ),
    Persona(
        "nightly", Dialect.OPENAI_CHAT, ("fast", "fast", "fast", "gpt-nonesuch"), "OpenAI/JS 7.57.0",
        "Answer with JSON only.", _JOBS, (0.4, 2.0), (1, 1), is_stream=False,
    ),
)  # fmt: skip

_TOOL = {
    "name": "bash",
    "description": "Runs a command.",
    "schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}


class Imitation:
    """Runs personas against an engine; bounded: at most `clients` conversations at once."""

    def __init__(
        self, endpoint: Endpoint, key: str, transport: Transport, rng: random.Random, monotonic: Callable[[], float]
    ) -> None:
        self._origin = endpoint.origin()
        self._key = key
        self._transport = transport
        self._rng = rng
        self._monotonic = monotonic

    async def run(self, clients: int) -> None:
        """Until cancelled: every client picks a persona, holds one conversation, rests, and comes back."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(number), name=f"imitated-client-{number}")

    async def _client(self, number: int) -> None:
        await asyncio.sleep(self._rng.random() * 3.0)
        while True:
            persona = PERSONAS[number % len(PERSONAS)] if self._rng.random() < 0.7 else self._rng.choice(PERSONAS)
            await self._converse(persona)
            await asyncio.sleep(self._rng.uniform(*persona.pause_s))

    async def _converse(self, persona: Persona) -> None:
        session = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        model = self._rng.choice(persona.models)
        messages: list[dict[str, Any]] = []
        for _ in range(min(_MOST_TURNS, self._rng.randint(*persona.turns))):
            prompt = self._rng.choice(persona.prompts)
            if self._rng.random() < _FAULT_SHARE:
                prompt += f" [[sim:{self._rng.choice(_FAULTS)}]]"
            messages.append({"role": "user", "content": prompt})
            answer = await self._ask(persona, model, session, messages)
            if answer is None:
                return
            messages.append({"role": "assistant", "content": answer or "(used a tool)"})
            await asyncio.sleep(self._rng.uniform(*persona.pause_s))

    async def _ask(self, persona: Persona, model: str, session: str, messages: list[dict[str, Any]]) -> str | None:
        """The text of one answer, None when the conversation ends in an error."""
        body = json.dumps(_body(persona, model, session, messages)).encode()
        path = b"/v1/messages" if persona.dialect is Dialect.ANTHROPIC else b"/v1/chat/completions"
        lines = f"content-type: application/json\r\nauthorization: Bearer {self._key}\r\n"
        lines += f"user-agent: {persona.user_agent}\r\n"
        if persona.session_header:
            lines += f"{persona.session_header}: {session}\r\n"
        if persona.dialect is Dialect.ANTHROPIC:
            lines += "anthropic-version: 2023-06-01\r\n"
        request = UpstreamRequest(
            self._origin, b"POST", path, lines.encode(), body, 5.0, self._monotonic() + 120.0, "total"
        )
        try:
            response = await self._transport.open(request)
        except ATPError:
            await asyncio.sleep(1.0)  # the engine is being restarted
            return None
        try:
            if response.status != 200:
                await response.read_all(_REPLY_CAP)
                return None
            pair = bridge(persona.dialect, persona.dialect)
            if not persona.is_stream:
                return pair.reply(await response.read_all(_REPLY_CAP)).text
            tap = pair.tap(read_facts(persona.dialect, body), session)
            leaves_after = self._rng.randint(5, 40) if self._rng.random() < 0.04 else 0
            while piece := await response.read():
                tap.feed(piece)
                if leaves_after and tap.content_events > leaves_after:
                    return None  # the person pressed escape
            return tap.tail() if tap.is_complete else None
        except ATPError:
            return None
        finally:
            response.close()


def _body(persona: Persona, model: str, session: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    if persona.dialect is Dialect.ANTHROPIC:
        body: dict[str, Any] = {"model": model, "system": persona.system, "messages": messages, "max_tokens": 4096}
        body["metadata"] = {"user_id": json.dumps({"device_id": "demo", "account_uuid": "", "session_id": session})}
        if persona.has_tools:
            body["tools"] = [
                {"name": _TOOL["name"], "description": _TOOL["description"], "input_schema": _TOOL["schema"]}
            ]
            body["tool_choice"] = {"type": "auto"}
    else:
        body = {"model": model, "messages": [{"role": "system", "content": persona.system}, *messages]}
        if persona.has_tools:
            function = {"name": _TOOL["name"], "description": _TOOL["description"], "parameters": _TOOL["schema"]}
            body["tools"] = [{"type": "function", "function": function}]
    return body | {"stream": True} if persona.is_stream else body
