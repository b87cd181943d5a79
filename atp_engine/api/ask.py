"""`POST /v1/ask`: ATP's own call, answered in frames: plan, event, chunk, heartbeat, final.

The walk is that of every chat call; what differs is the sink, which writes frames as server-sent events, as
NDJSON (`accept: application/x-ndjson`) or as one JSON object (`stream: false`). The plan leaves as soon as it
is decided, so a later failure is told by an `error` frame, and failover stays possible until the first chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec

from atp_engine.api.errors import problem_of
from atp_engine.api.llm import CheckedEndpoint, ClientCall, answer_head
from atp_engine.api.server import EngineProtocol
from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.ports import NewId
from atp_engine.core.pricing import NANO_PER_USD
from atp_engine.core.types import Caller, ClientHint, Dialect, PriceState, RequestFacts, RouteDecision
from atp_engine.dialects.atp_ask import Answer, Ask, Chunks, read_reply
from atp_engine.dialects.sse import frame
from atp_engine.routing.table import Route
from atp_engine.services.asking import Asking, plan_of
from atp_engine.services.attempt import Head, RawCall
from atp_engine.services.completions import Completions
from atp_engine.services.keys import Keys
from atp_engine.services.live import LiveRequest
from atp_engine.services.runtime import Runtime

_SSE = b"text/event-stream; charset=utf-8"
_NDJSON = b"application/x-ndjson"
HEARTBEAT_S = 5.0
"""Longest silence of a stream of frames."""
_encode = msgspec.json.Encoder().encode


class AskCall(ClientCall):
    """One ask: its frames."""

    asking: Asking
    ask: Ask
    kind = _SSE
    is_begun = False
    """The stream's head is out, with the plan; no content yet."""
    _told_attempts = 0
    _told_tries = 0
    _beat: asyncio.TimerHandle | None = None
    _chunks: Chunks | None = None
    heartbeat_s = HEARTBEAT_S

    def decided(self, runtime: Runtime, route: Route, facts: RequestFacts, decision: RouteDecision) -> RouteDecision:
        """Takes part in the walk after the router: the decision by the wishes, told at once."""
        decision = self.asking.steer(self.ask.wishes)(runtime, route, facts, decision)
        live = self.live
        if live is not None and self.ask.is_stream and not decision.is_empty:
            live.watcher = self.watch
            self.is_begun = True
            self._chunks = Chunks(live.id)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncache-control: no-cache\r\n" % self.kind
            self.begin(head + answer_head(live))
            plan = plan_of(decision, self.asking.outlooks(live), self.ask, facts)
            self._tell({"request_id": live.id, **plan})
        return decision

    def watch(self, live: LiveRequest) -> None:
        """Tells what became of attempts since the last time, and which is being made."""
        if self.response_complete:
            return
        for record in live.attempts[self._told_attempts :]:
            self._tell(
                {
                    "type": "event",
                    "event": "attempt_ended",
                    "attempt": record.number,
                    "deployment": record.deployment,
                    "outcome": record.outcome.value,
                    "message": record.message,
                    "duration_ms": round(record.duration_ms, 3),
                }
            )
        self._told_attempts = len(live.attempts)
        if live.tries > self._told_tries and live.served is not None:
            last = live.attempts[-1].deployment if live.attempts else live.served.key
            what = "attempt" if last == live.served.key else "escalate"
            self._tell(
                {"type": "event", "event": what, "attempt": live.tries, "deployment": live.served.key}
                | ({"from": last} if what == "escalate" else {})
            )
            self._told_tries = live.tries

    async def open(self, live: LiveRequest, first: bytes) -> None:
        """The first content is here."""
        self.is_open = True
        await self.write(first)

    async def write(self, events: bytes) -> None:
        """Sends the frames of whole events; waits while the client reads too slowly."""
        if self.flow.write_paused and not self.disconnected:
            await self._wait_for_reader()
        self._pass_on(events)

    def push(self, events: bytes) -> bool:
        """The same at once; False when the client reads too slowly, and `write` must wait for it."""
        if not self.disconnected and self.flow.write_paused:
            return False
        self._pass_on(events)
        return True

    def close(self, live: LiveRequest, last: bytes) -> None:
        """The final frame, or the whole answer."""
        if self._chunks is None:
            body = _encode(self._final(live, read_reply(last)))
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            self.reply(head + answer_head(live), body)
            return
        frames = b"".join([self._render(one) for one in self._chunks.read(last)])
        if frames and not self.disconnected:
            self._send(frames)
        self.watch(live)
        self._stop_beating()
        self.end(self._render(self._final(live, self._chunks.answer())))

    def left(self) -> None:
        """The client has left."""
        self._stop_beating()
        super().left()

    def fail(self, error: BaseException, request_id: str) -> None:
        """The frame that ends a stream which has begun, telling what went wrong."""
        self._stop_beating()
        if self.live is not None:
            self.watch(self.live)
        problem = problem_of(error)
        told = {
            "type": "error",
            "code": problem.code,
            "message": problem.message,
            "status": problem.status,
            "param": problem.param,
            "retry_after_s": problem.retry_after_s,
            "request_id": request_id,
            "is_truncated": self.is_open,
        }
        self.end(self._render(told))

    def _pass_on(self, events: bytes) -> None:
        live, chunks = self.live, self._chunks
        if live is None or chunks is None or self.disconnected:
            return
        if live.capture is not None:
            live.capture.add(events)
        frames = b"".join([self._render(one) for one in chunks.read(events)])
        if chunks.error is not None:
            raise BadUpstreamReply("the answer could not be read as a chat stream")
        if frames:
            self._send(frames)

    def _tell(self, told: dict[str, Any]) -> None:
        if not self.disconnected:
            self._send(self._render(told))

    def _send(self, frames: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        self._stop_beating()
        self._beat = asyncio.get_running_loop().call_later(self.heartbeat_s, self._heartbeat)

    def _heartbeat(self) -> None:
        if self.live is not None and not self.response_complete and not self.flow.write_paused:
            self._tell({"type": "heartbeat", "state": self.live.state.value})

    def _stop_beating(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _render(self, told: dict[str, Any]) -> bytes:
        body = _encode(told)
        return body + b"\n" if self.kind is _NDJSON else frame(body, told["type"].encode())

    def _final(self, live: LiveRequest, answer: Answer) -> dict[str, Any]:
        """What it came to, by the ledger's own figures; what is not known is null."""
        savings, dearest = self.asking.savings(live)
        usage, served = live.usage, live.served
        tried = [record.deployment for record in live.attempts]
        return {
            "type": "final",
            "request_id": live.id,
            **answer.told(),
            "model_used": served.model if served is not None else answer.model,
            "deployment": served.key if served is not None else None,
            "tokens_in": usage.prompt_tokens,
            "tokens_out": usage.output_tokens,
            "is_usage_estimated": usage.is_estimated,
            "cost_usd": None if live.cost.state is PriceState.UNKNOWN else live.cost.nusd / NANO_PER_USD,
            "price_state": live.cost.state.value,
            "savings_pct": savings,
            "savings_vs": dearest or None,
            "attempts": live.tries,
            "escalation_count": sum(before != after for before, after in pairwise(tried)),
            "quality_score": None,
            "cluster_hint": self.ask.task_type or None,
            "phase": live.state.value,
            "ttft_ms": live.ttft_ms,
            "session_id": live.session.id if live.session is not None else None,
            "tenant": self.ask.tenant or None,
            "dropped_fields": list(live.dropped_fields),
        }


class AskEndpoint(CheckedEndpoint):
    """Serves asks."""

    def __init__(
        self, asking: Asking, completions: Completions, keys: Keys, new_id: NewId, max_body: Callable[[], int]
    ) -> None:
        super().__init__(None, keys, new_id, max_body)
        self.heartbeat_s = HEARTBEAT_S
        self._asking = asking
        self._completions = completions

    def exchange(self, protocol: EngineProtocol, query: bytes) -> AskCall:
        """The sink of a new ask."""
        call = AskCall(self, protocol, query)
        call.asking = self._asking
        call.heartbeat_s = self.heartbeat_s
        return call

    async def answer(self, call: RawCall, caller: Caller, exchange: Any) -> None:
        """Reads the ask and walks it as a chat call."""
        ask = exchange.ask = self._asking.read(call.body)
        headers = call.head.headers
        if any(name == b"accept" and _NDJSON in value.lower() for name, value in headers):
            exchange.kind = _NDJSON
        head = Head([header for header in headers if header[0] != b"accept"])
        if ask.session_hint and not head.hint.session_hint:
            head.hint = ClientHint(head.hint.client, ask.session_hint)
        walked = RawCall(call.id, Dialect.OPENAI_CHAT, head, b"", ask.body, exchange.decided)
        await self._completions.run(walked, caller, exchange)

    def _fail(self, error: Exception, request_id: str, sink: Any) -> None:
        if sink.is_begun:
            sink.fail(error, request_id)
        else:
            super()._fail(error, request_id, sink)
