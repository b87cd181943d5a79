"""A simulated provider on a clock that only sleeping moves, and readers of what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from atp_engine.config.models import ProviderConfig
from atp_engine.core.types import DeploymentSpec, Dialect
from atp_engine.providers.provider import Provider, ProviderCall
from atp_engine.providers.simulated import SimulatedProvider
from atp_engine.providers.transport import UpstreamResponse


class SleepingClock:
    """Time moves by sleeping, never by itself."""

    def __init__(self) -> None:
        self.at = 1_000.0
        self.on_sleep: Callable[[float], Awaitable[None]] | None = None

    def now(self) -> float:
        """UTC epoch seconds."""
        return 1_790_000_000.0 + self.at

    def monotonic(self) -> float:
        """Seconds."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Moves the clock and lets other tasks run."""
        if self.on_sleep is not None:
            await self.on_sleep(seconds)
        self.at += seconds
        await asyncio.sleep(0)


class Bench:
    """One simulated provider and calls to it."""

    def __init__(self, dialect: str = "openai_chat", **config: Any) -> None:
        self.clock = SleepingClock()
        self.dialect = dialect
        tree = {"kind": "simulated", "dialect": dialect, **config}
        self.provider: Provider = SimulatedProvider(
            "sim", ProviderConfig.model_validate(tree), self.clock, self.clock.sleep
        )

    def call(self, body: bytes, model: str, *, is_stream: bool = False, limit_s: float = 0.0) -> ProviderCall:
        """A call as the attempt loop makes it."""
        spec = DeploymentSpec(
            key=f"sim/{model}",
            provider="sim",
            model=model,
            dialect=Dialect(self.dialect),
            context_tokens=0,
            max_output_tokens=0,
            has_tools=True,
            has_images=True,
            is_local=True,
            max_parallel=0,
        )
        return ProviderCall(
            deployment=spec,
            body=body,
            is_stream=is_stream,
            request_id="req_1",
            forward_headers=(),
            query=b"",
            connect_s=5.0,
            deadline_at=self.clock.at + limit_s if limit_s else 0.0,
            deadline_limit="ttft",
        )

    async def open(
        self,
        prompt: str = "Tell me about lighthouse keepers",
        model: str = "sim-fast",
        *,
        limit_s: float = 0.0,
        **more: Any,
    ) -> UpstreamResponse:
        """Sends one user message; `stream=True` streams."""
        fields: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
        if self.dialect == "anthropic":
            fields.setdefault("max_tokens", 4_096)
        call = self.call(msgspec.json.encode(fields), model, is_stream=bool(more.get("stream")), limit_s=limit_s)
        return await self.provider.open(call)

    async def json(self, prompt: str = "Tell me about lighthouse keepers", **more: Any) -> dict[str, Any]:
        """The whole answer of a call, decoded."""
        response = await self.open(prompt, **more)
        body = await response.read_all(10_000_000)
        assert response.status == 200, body
        decoded = msgspec.json.decode(body)
        assert isinstance(decoded, dict)
        return decoded

    async def events(self, prompt: str = "Tell me about lighthouse keepers", **more: Any) -> list[dict[str, Any]]:
        """The JSON of every event of a streamed answer."""
        response = await self.open(prompt, stream=True, **more)
        assert response.status == 200
        return sse_json(await response.read_all(10_000_000))


def sse_json(body: bytes) -> list[dict[str, Any]]:
    """The data of each event; `[DONE]` is left out."""
    lines = body.decode().split("\n")
    return [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ") and line != "data: [DONE]"]


def chat_text(events: list[dict[str, Any]]) -> str:
    """The text of an OpenAI stream."""
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)
