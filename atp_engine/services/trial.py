"""A test request through the whole walk, for the first-run screen: real, recorded, priced like any other."""

from __future__ import annotations

import asyncio

import msgspec

from atp_engine.core.errors import ATPError
from atp_engine.core.ports import NewId
from atp_engine.core.types import Caller, Dialect
from atp_engine.core.views import TrialReply
from atp_engine.services.attempt import Head, RawCall
from atp_engine.services.completions import Completions
from atp_engine.services.live import LiveRequest
from atp_engine.services.runtime import RuntimeRef

_PROMPT = "Say hello and tell in one sentence what a router for language models does."
_CALLER = Caller(key_id="atp-console", key_name="console")


class Collected:
    """A sink that keeps the answer's text instead of sending it: for requests that no client waits for."""

    def __init__(self) -> None:
        self.is_open = False
        self.live: LiveRequest | None = None
        self.task: asyncio.Task[None] | None = None
        self.text = ""

    async def open(self, live: LiveRequest, first: bytes) -> None:
        """The stream has begun."""
        self.is_open = True
        self.live = live
        self.push(first)

    async def write(self, events: bytes) -> None:
        """As `push`."""
        self.push(events)

    def push(self, events: bytes) -> bool:
        """Keeps the events where bodies are kept; the text is read from the tap in the end."""
        if self.live is not None and self.live.capture is not None:
            self.live.capture.add(events)
        return True

    def close(self, live: LiveRequest, last: bytes) -> None:
        """Keeps the text."""
        if live.tap is not None:
            self.text = live.tap.tail()


class Trial:
    """Sends test requests."""

    def __init__(self, completions: Completions, runtime: RuntimeRef, new_id: NewId) -> None:
        self._completions = completions
        self._runtime = runtime
        self._new_id = new_id

    async def run(self, model: str) -> TrialReply:
        """Streams one short question to `model` (the simulated one when empty) and returns what came."""
        request_id = self._new_id()
        body = msgspec.json.encode(
            {"model": model or self._simulated(), "stream": True, "messages": [{"role": "user", "content": _PROMPT}]}
        )
        head = Head([(b"user-agent", b"atp-console")])
        sink = Collected()
        try:
            await self._completions.run(RawCall(request_id, Dialect.OPENAI_CHAT, head, b"", body), _CALLER, sink)
        except ATPError as error:
            return TrialReply(request_id, error.http_status, error.public_message)
        return TrialReply(request_id, 200, sink.text)

    def _simulated(self) -> str:
        runtime = self._runtime.current
        kinds = {name: provider.kind for name, provider in runtime.config.providers.items()}
        for key, spec in runtime.table.deployments.items():
            if kinds.get(spec.provider) == "simulated":
                return key
        names = runtime.table.names()
        return names[0] if names else ""
