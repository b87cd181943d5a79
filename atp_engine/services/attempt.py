"""One upstream call of a request: opened, streamed or read whole, judged, and told as a ledger line.

Made by `attempts` for each try. Until the first content event nothing reaches the client.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

import msgspec

from atp_engine.core.errors import BadUpstreamReply, UpstreamError
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import NO_COST, cost_of
from atp_engine.core.types import (
    NO_USAGE,
    AttemptOutcome,
    AttemptRecord,
    DeploymentSpec,
    Dialect,
    RequestFacts,
    RequestState,
    RouteDecision,
    TokenUsage,
)
from atp_engine.dialects.bridge import StreamTap
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.clients import read_client
from atp_engine.dialects.estimate import tokens_of_chars
from atp_engine.dialects.params import settle
from atp_engine.dialects.retold import Retold, retold
from atp_engine.providers.http import forwardable
from atp_engine.providers.provider import Provider, ProviderCall
from atp_engine.providers.transport import UpstreamResponse
from atp_engine.routing.health import DeploymentHealth
from atp_engine.routing.table import Route
from atp_engine.services.admission import Permit
from atp_engine.services.first_content import first_content_limit_s
from atp_engine.services.live import LiveRequest, LiveRequests
from atp_engine.services.runtime import Runtime
from atp_engine.services.slots import Slots

MAX_REPLY_BYTES = 32 * 1024 * 1024
_STREAMS = (b"text/event-stream", b"application/x-ndjson")
_MAX_ERROR_BYTES = 256 * 1024
_MAX_HELD_BYTES = 1024 * 1024
"""Lifecycle events and comments that are held back until the first content."""
_ERROR_BODY_S = 2.0
_REARM_S = 0.05
"""How much later than at its limit a silence may be noticed, so that not every chunk moves the deadline."""
_DRAIN_S = 1.0
_DRAIN_READS = 64

Headers = list[tuple[bytes, bytes]]


class Head:
    """The headers of a call with what they tell, read once for all calls that come with the same."""

    __slots__ = ("_forwarded", "headers", "hint", "kept")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.kept: bytes | None = None
        """As text without credentials, once it was stored."""
        self.hint = read_client(headers)
        self._forwarded: dict[Dialect, tuple[tuple[bytes, bytes], ...]] = {}

    def forwarded(self, dialect: Dialect) -> tuple[tuple[bytes, bytes], ...]:
        """What a vendor of this dialect may see of them."""
        found = self._forwarded.get(dialect)
        if found is None:
            found = self._forwarded[dialect] = forwardable(dialect, self.headers)
        return found


class RawCall(msgspec.Struct, frozen=True):
    """A client's call as it came: bytes kept."""

    id: str
    dialect: Dialect
    head: Head
    query: bytes
    body: bytes
    steer: Callable[[Runtime, Route, RequestFacts, RouteDecision], RouteDecision] | None = None
    """Makes the router's decision again by what this call wants of it."""


class Sink(Protocol):
    """Where an answer goes; `api/llm` implements it over the socket. Awaiting a write is back-pressure."""

    is_open: bool
    """A stream's headers are out: errors can only be told inside the stream."""
    live: LiveRequest | None
    """The request this sink answers, once it has begun."""
    task: asyncio.Task[None] | None
    """What serves the call, to be cancelled from outside; None is the task that is running."""

    async def open(self, live: LiveRequest, first: bytes) -> None:
        """Sends status 200, the headers of a stream and its first events."""
        ...

    async def write(self, events: bytes) -> None:
        """Sends whole events."""
        ...

    def push(self, events: bytes) -> bool:
        """Sends whole events at once; False, nothing being sent, when the client reads too slowly: `write` then."""
        ...

    def close(self, live: LiveRequest, last: bytes) -> None:
        """Sends the last events and ends the stream, or sends a whole answer when none is open."""
        ...


class Job(msgspec.Struct, frozen=True):
    """What all attempts of one request share."""

    runtime: Runtime
    route: Route
    live: LiveRequest
    call: RawCall
    facts: RequestFacts
    sink: Sink
    permit: Permit
    may_restart: bool = False
    """A stream that breaks after its first content may begin again on the next deployment."""


class Attempt:
    """One upstream call."""

    http_status = 0
    ttft_ms: float | None = None
    tap: StreamTap | None = None
    usage: TokenUsage | None = None
    was_sent = False
    """The deployment was called, or is being reached."""
    response: UpstreamResponse | None = None

    def __init__(
        self,
        job: Job,
        spec: DeploymentSpec,
        requests: LiveRequests,
        clock: Clock,
        has_other: bool,
        p95_ttft_s: float,
        slots: Slots,
        health: DeploymentHealth,
        *,
        is_retry: bool = False,
    ) -> None:
        self._job = job
        self._slots = slots
        self._health = health
        self._is_retry = is_retry
        self._clock = clock
        self._requests = requests
        self.spec = spec
        self.started_mono = started = clock.monotonic()
        timeouts = self._timeouts = job.runtime.table.timeouts(job.route, spec)
        self._idle_s = timeouts.idle_s
        self._total_at = total_at = started + timeouts.total_s if timeouts.total_s else math.inf
        self._first_at = total_at
        self._first_limit = "total"
        if timeouts.is_ttft_set or (has_other and job.facts.is_stream):
            ttft_s = first_content_limit_s(timeouts, job.facts, has_other, p95_ttft_s)
            if ttft_s and started + ttft_s < total_at:
                self._first_at = started + ttft_s
                self._first_limit = "ttft"

    async def run(self) -> bytes:
        """Calls and delivers; returns the last bytes, which are still to be sent to the client.

        Raises UpstreamError; `sink.is_open` then tells whether the client has seen content already.
        Cancelling or failing closes the upstream connection at once.
        """
        job, spec = self._job, self.spec
        call, facts, live = job.call, job.facts, job.live
        provider: Provider = job.runtime.providers[spec.provider]
        wire = spec.wire(call.dialect)
        is_same = call.dialect is wire
        pair = bridge(call.dialect, wire)
        upstream = pair.request(call.body, facts, spec.model)
        if upstream.dropped_fields and job.route.params != "adapt":
            upstream = settle(job.route.params, upstream, call.body, spec.key)
        live.dropped_fields = upstream.dropped_fields
        first_at = self._first_at
        self.was_sent = True
        response = self.response = await provider.open(
            ProviderCall(
                spec,
                upstream.body,
                facts.is_stream,
                live.id,
                call.head.forwarded(wire) if is_same else (),
                call.query if is_same else b"",
                self._timeouts.connect_s,
                first_at if first_at != math.inf else 0.0,
                self._first_limit,
                self._is_retry,
                wire if wire is not spec.dialect else None,
            )
        )
        try:
            self.http_status = response.status
            if response.status != 200:
                raise provider.classify(response.status, response.headers, await self._complaint(response))
            created = int(live.started_at)
            if facts.is_stream:
                self.tap = pair.tap(facts, live.id, created=created)
                if job.may_restart:
                    self.tap = self._retold(self.tap)
                return await self._stream(response, self.tap)
            body = response.whole()
            if body is None:
                body = await self._rest(response)
            tokens = facts.prompt_tokens_estimate
            reply = pair.reply(body, created=created, prompt_tokens=tokens, facts=facts, request_id=live.id)
        except BaseException:
            response.close()
            raise
        response.close()
        self.usage = reply.usage or self._estimated(reply.output_chars)
        live.finish_reason = reply.finish_reason
        if reply.dropped_fields:
            live.dropped_fields += reply.dropped_fields
        return reply.body

    def _retold(self, tap: StreamTap) -> StreamTap:
        """A tap whose answer can be begun again, or that begins a broken one again."""
        job, before = self._job, self._job.live.tap
        if not job.sink.is_open or not isinstance(before, Retold):
            return retold(job.call.dialect, tap, None, "", self.spec.key)
        return retold(job.call.dialect, tap, before, job.live.attempts[-1].deployment, self.spec.key)

    async def _complaint(self, response: UpstreamResponse) -> bytes:
        """The body of a refusal, as far as it comes in time: its status alone says enough."""
        response.set_deadline(self._clock.monotonic() + _ERROR_BODY_S, "total")
        body = b""
        try:
            while len(body) < _MAX_ERROR_BYTES and (piece := await response.read()):
                body += piece
        except UpstreamError:
            return body
        return body

    async def _rest(self, response: UpstreamResponse) -> bytes:
        """The body of an answer that is not streamed. Its beginning may take as long as the whole call;
        once it has begun, it must not stall."""
        response.set_deadline(_off_if_inf(self._total_at), "total")
        pieces: list[bytes] = []
        size = 0
        while piece := await response.read():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_REPLY_BYTES:
                raise BadUpstreamReply("the upstream's answer is too large")
            self._set_idle_deadline(response, self._clock.monotonic())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _stream(self, response: UpstreamResponse, tap: StreamTap) -> bytes:
        kind = response.header(b"content-type")
        if kind and not kind.startswith(_STREAMS):
            raise BadUpstreamReply("the upstream answered a stream request with something else than a stream")
        live, sink = self._job.live, self._job.sink
        response.set_deadline(_off_if_inf(self._first_at), self._first_limit)
        held = b""
        while True:
            piece = await response.read()
            held += tap.feed(piece) if piece else tap.finish()
            if tap.error is not None:
                raise tap.error
            if tap.has_content or tap.is_complete:
                break
            if len(held) > _MAX_HELD_BYTES:
                raise BadUpstreamReply("the upstream sends events without an end and no content")
        self._commit(live, tap)
        if tap.is_complete:
            return self._complete(live, tap, held)
        if sink.is_open:
            if held:
                await sink.write(held)
        else:
            await sink.open(live, held)
        self._heard(response)
        return await self._pass_on(response, tap)

    async def _pass_on(self, response: UpstreamResponse, tap: StreamTap) -> bytes:
        """Hands the rest to the client as it arrives, within the socket's callback: a chunk wakes no task
        unless the client reads too slowly, or the stream is at its end."""
        live, sink = self._job.live, self._job.sink
        monotonic, set_deadline = self._clock.monotonic, response.set_deadline
        idle_s, total_at = self._idle_s or math.inf, self._total_at
        held = b""
        rearm_at = 0.0

        def take(piece: bytes) -> bool:
            nonlocal held, rearm_at
            events = tap.feed(piece)
            if tap.is_complete or tap.error is not None or (events and not sink.push(events)):
                held = events
                return False
            now = live.last_content_at = monotonic()
            if now >= rearm_at:
                rearm_at = now + _REARM_S
                if rearm_at + idle_s < total_at:
                    set_deadline(rearm_at + idle_s, "idle")
                else:
                    self._set_idle_deadline(response, now)
            return True

        while True:
            held = b""
            if not await response.pump(take):
                held = tap.finish()
            if tap.is_complete:
                return self._complete(live, tap, held)
            if held:
                await sink.write(held)
            if tap.error is not None:
                raise tap.error
            self._heard(response)

    def _heard(self, response: UpstreamResponse) -> None:
        """The stream lives: it may be silent for the idle time from now on."""
        now = self._job.live.last_content_at = self._clock.monotonic()
        self._set_idle_deadline(response, now)

    def _commit(self, live: LiveRequest, tap: StreamTap) -> None:
        """The first content is here: this attempt serves the client from now on."""
        now = self._clock.monotonic()
        live.first_content_at = live.last_content_at = now
        self.ttft_ms = ttft_ms = (now - self.started_mono) * 1000.0
        self._slots.heard(self._health, ttft_ms)
        if live.ttft_ms is None:
            live.ttft_ms = (now - live.started_mono) * 1000.0
        live.tap = tap
        live.state = RequestState.STREAMING
        self._requests.announce(live)

    def _complete(self, live: LiveRequest, tap: StreamTap, last: bytes) -> bytes:
        live.last_content_at = self._clock.monotonic()
        live.finish_reason = tap.finish_reason
        self.usage = tap.usage or self._estimated(tap.output_chars)
        return last

    def _set_idle_deadline(self, response: UpstreamResponse, now: float) -> None:
        idle_at = now + self._idle_s if self._idle_s else math.inf
        if idle_at < self._total_at:
            response.set_deadline(idle_at, "idle")
        else:
            response.set_deadline(_off_if_inf(self._total_at), "total")

    def limit_text(self, limit: str) -> str:
        """A limit of this attempt for people, by its name: `idle limit of 20 s`."""
        limits_s = {
            "connect": self._timeouts.connect_s,
            "ttft": self._first_at - self.started_mono,
            "idle": self._idle_s,
            "total": self._timeouts.total_s,
        }
        return f"{limit} limit of {limits_s.get(limit, 0.0):g} s"

    def _estimated(self, output_chars: int) -> TokenUsage:
        return TokenUsage(
            input_tokens=self._job.facts.prompt_tokens_estimate,
            output_tokens=tokens_of_chars(output_chars),
            is_estimated=True,
        )

    async def drain(self) -> None:
        """Reads what follows the terminal event, so that the connection can serve again."""
        response = self.response
        if response is None:
            return
        response.set_deadline(self._clock.monotonic() + _DRAIN_S, "total")
        try:
            for _ in range(_DRAIN_READS):
                if not await response.read():
                    break
        except UpstreamError:
            return  # the answer was complete; only the connection is lost
        finally:
            response.close()

    def settled_usage(self, outcome: AttemptOutcome) -> TokenUsage:
        """What the attempt used: reported, else estimated from what was seen; nothing only where the
        upstream refused or was never reached, for then nothing was generated."""
        if self.usage is not None:
            return self.usage
        tap = self.tap
        if tap is not None and tap.has_content:
            estimated = self._estimated(tap.output_chars)
            reported = tap.usage  # Anthropic reports the prompt's share at the start of a stream
            if reported is None:
                return estimated
            return msgspec.structs.replace(
                reported, output_tokens=max(reported.output_tokens, estimated.output_tokens), is_estimated=True
            )
        if outcome is AttemptOutcome.CANCELLED and self.response is not None and self.http_status == 200:
            return self._estimated(0)
        return NO_USAGE

    def record(self, outcome: AttemptOutcome, message: str) -> AttemptRecord:
        """The ledger line; durations count to this moment."""
        job, spec = self._job, self.spec
        live = job.live
        usage = self.usage or self.settled_usage(outcome)
        is_used = usage.input_tokens or usage.output_tokens or usage.prompt_tokens
        duration_ms = (self._clock.monotonic() - self.started_mono) * 1000.0
        cost = NO_COST
        if is_used:
            price = job.runtime.table.price(spec)
            cost = cost_of(job.route.assumed if price is None else price, usage, duration_ms)
        return AttemptRecord(
            live.tries,
            spec.key,
            spec.provider,
            spec.model,
            outcome,
            (self.started_mono - live.started_mono) * 1000.0,
            duration_ms,
            self.ttft_ms,
            self.http_status,
            message,
            usage,
            cost.nusd,
            cost.state,
        )


def _off_if_inf(at: float) -> float:
    return 0.0 if at == math.inf else at
