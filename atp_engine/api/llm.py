"""The LLM endpoints: the first and the last stop of a request's walk.

The server calls them behind the guard, without ASGI. A call is judged by its credential
and its size before its body is read; the answer, or the error in the caller's dialect, leaves with
`x-atp-*` headers that say what happened.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from atp_engine.api.errors import HeaderList, render, stream_error_event
from atp_engine.api.exchange import Exchange, too_large
from atp_engine.api.server import EngineProtocol
from atp_engine.core.errors import ATPError, InvalidRequest, PayloadTooLarge, let_go
from atp_engine.core.ports import NewId
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, Dialect, PriceState
from atp_engine.services.attempt import Head, RawCall
from atp_engine.services.keys import Keys
from atp_engine.services.live import LiveRequest

_log = logging.getLogger("atp_engine.llm")
_ANTHROPIC, _OPENAI, _UNKNOWN = Dialect.ANTHROPIC, Dialect.OPENAI_CHAT, PriceState.UNKNOWN
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
_OK_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncache-control: no-cache\r\n"


class _Judged(msgspec.Struct, frozen=True):
    """What the headers of a connection's calls tell."""

    caller: Caller
    head: Head


class ClientCall(Exchange):
    """One call of a client: the sink of its answer, which keeps a capped copy of what it sent."""

    stream_head = _OK_STREAM % b"text/event-stream; charset=utf-8"
    is_open = False
    live: LiveRequest | None = None
    judged: _Judged

    async def open(self, live: LiveRequest, first: bytes) -> None:
        """Sends 200, the stream's headers and its first events."""
        self.is_open = True
        self.begin(self.stream_head + answer_head(live))
        if first:  # content may have come that is not whole yet; an empty chunk would end the answer
            await self.write(first)

    async def write(self, events: bytes) -> None:
        """Sends whole events; waits while the client reads too slowly. Nothing is sent once it has left."""
        live = self.live
        if live is not None and live.capture is not None:
            live.capture.add(events)
        if self.flow.write_paused and not self.disconnected:
            await self._wait_for_reader()
        if not self.disconnected:
            self.transport.write(b"%x\r\n%b\r\n" % (len(events), events))

    def push(self, events: bytes) -> bool:
        """Sends whole events now; False when the client reads too slowly, and `write` must wait for it."""
        if self.disconnected:
            return True
        if self.flow.write_paused:
            return False
        live = self.live
        if live is not None and live.capture is not None:
            live.capture.add(events)
        self.transport.write(b"%x\r\n%b\r\n" % (len(events), events))
        return True

    def close(self, live: LiveRequest, last: bytes) -> None:
        """Ends the stream with its last events, or sends the whole answer."""
        if self.is_open:
            self.end(last)
        elif live.is_stream:
            self.is_open = True
            self.begin(self.stream_head + answer_head(live))
            self.end(last)
        else:
            self.reply(_OK_JSON % len(last) + answer_head(live), last)

    def left(self) -> None:
        """Cancels the call: nobody will read its answer."""
        self._cancel("the client, which left")

    async def _wait_for_reader(self) -> None:
        """Returns when the client reads again; one that does not within the limit loses its connection and
        its call, or it would hold a place and an upstream for ever."""
        try:
            async with asyncio.timeout(self.protocol.write_timeout_s or None):
                await self.flow.drain()
        except TimeoutError:
            self._cancel("the engine, as the client stopped reading")
            self.transport.abort()
            await asyncio.sleep(0)  # where the cancellation arrives

    def _cancel(self, by: str) -> None:
        live = self.live
        if live is not None and live.cancel is not None and not live.cancelled_by:
            live.cancelled_by = by
            live.cancel()


class CheckedEndpoint(ABC):
    """A `HotEndpoint` whose caller's key and body size are judged before the body is read."""

    def __init__(self, dialect: Dialect | None, keys: Keys, new_id: NewId, max_body: Callable[[], int]) -> None:
        """Errors are told in `dialect`, None being our own; `max_body` gives the limit in bytes now in effect."""
        self._dialect = dialect
        self._keys = keys
        self._new_id = new_id
        self._max_body = max_body

    @abstractmethod
    def answer(self, call: RawCall, caller: Caller, exchange: Any) -> Coroutine[Any, Any, None]:
        """Answers a call that has passed; raises ATPError when there is no (whole) answer."""

    def exchange(self, protocol: EngineProtocol, query: bytes) -> ClientCall:
        """The sink of a new call."""
        return ClientCall(self, protocol, query)

    def judge(self, protocol: EngineProtocol, query: bytes) -> ClientCall:
        """Takes a call, refused already when its credential or its size is wrong."""
        call = self.exchange(protocol, query)
        call.limit = limit = self._max_body()
        judged: _Judged | None = protocol.judged
        try:
            if judged is None or judged.head.headers != protocol.headers or not self._keys.is_current(judged.caller):
                judged = protocol.judged = self._learn(protocol.headers)
            call.judged = judged
            length = protocol.length
            if length is not None and (not length.isdigit() or int(length) > limit):
                raise too_large(limit)
        except ATPError as refusal:
            call.refusal = refusal
        return call

    def _learn(self, headers: HeaderList) -> _Judged:
        """Who calls and with what; nothing here depends on one request. Raises AuthError or InvalidRequest."""
        caller = self._keys.identify(headers)
        for name, value in headers:
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise InvalidRequest(
                    "compressed request bodies are not accepted; send it as plain JSON", param="content-encoding"
                )
        return _Judged(caller, Head(headers))

    async def serve(self, exchange: ClientCall) -> None:
        """Answers one call; every failure becomes an error in the dialect, never an exception."""
        if exchange.disconnected:  # it left within the same turn of the loop
            return
        request_id = self._new_id()
        try:
            if exchange.refusal is not None:
                raise exchange.refusal
            judged = exchange.judged
            call = RawCall(request_id, self._dialect or _OPENAI, judged.head, exchange.query, exchange.whole_body())
            await self.answer(call, judged.caller, exchange)
        except ATPError as error:
            self._fail(error, request_id, exchange)
            let_go(error)
        except Exception as error:  # the boundary of a request's task: a bug is told, not dropped
            _log.exception("request failed by a bug", extra={"request_id": request_id})
            self._fail(error, request_id, exchange)
            let_go(error)
        finally:
            if not exchange.response_complete:
                exchange.transport.close()

    def _fail(self, error: Exception, request_id: str, sink: ClientCall) -> None:
        """Tells an error: as an HTTP answer, or inside the stream when that has begun."""
        if sink.is_open:
            sink.end(stream_error_event(error, self._dialect or _OPENAI, request_id))
            return
        status, headers, body = render(error, self._dialect, request_id)
        live = sink.live
        if live is not None:
            lines = told(live).encode("latin-1", "replace").split(b"\r\n")[:-1]
            headers = [*headers, *((name, value) for name, _, value in (line.partition(b": ") for line in lines))]
        sink.refuse(status, headers, body, is_last=isinstance(error, PayloadTooLarge))


class Walk(Protocol):
    """What answers calls that are routed to models: `Completions`, or a service before it."""

    def run(self, call: RawCall, caller: Caller, sink: ClientCall) -> Coroutine[Any, Any, None]:
        """As `Completions.run`."""
        ...


class ChatEndpoint(CheckedEndpoint):
    """`POST /v1/chat/completions`, `POST /v1/messages` and their like, by dialect: what is routed to models."""

    def __init__(self, dialect: Dialect, walk: Walk, keys: Keys, new_id: NewId, max_body: Callable[[], int]) -> None:
        super().__init__(dialect, keys, new_id, max_body)
        self._walk = walk

    def answer(self, call: RawCall, caller: Caller, exchange: Any) -> Coroutine[Any, Any, None]:
        """The walk, with the exchange as its sink."""
        return self._walk.run(call, caller, exchange)


def stream_head(kind: bytes) -> bytes:
    """The first lines of a streamed answer of a media type."""
    return _OK_STREAM % kind


def whole_head(size: int) -> bytes:
    """The first lines of a whole JSON answer."""
    return _OK_JSON % size


def answer_head(live: LiveRequest) -> bytes:
    """The header lines of an answer: its id, and the `x-atp-*` lines."""
    name = "request-id" if live.dialect is _ANTHROPIC else "x-request-id"
    return f"{name}: {live.id}\r\nx-atp-request-id: {live.id}\r\n{told(live)}".encode("latin-1", "replace")


def told(live: LiveRequest) -> str:
    """By which config, who answered, after how many tries, at what cost, what was dropped, as header lines.

    A stream's cost is not known when its headers leave; it is on the request page and in the ledger.
    """
    lines = f"x-atp-config-version: {live.config_version}\r\n" if live.config_version else ""
    if live.served is not None:
        lines += f"x-atp-deployment: {live.served.key}\r\nx-atp-attempts: {live.tries}\r\n"
    if live.attempts and live.state.is_final:
        is_known = live.cost.state is not _UNKNOWN
        lines += f"x-atp-cost-usd: {live.cost.nusd / 1e9:.9f}\r\n" if is_known else "x-atp-cost-usd: unknown\r\n"
    if live.dropped_fields:
        lines += f"x-atp-dropped-fields: {safe_text(','.join(live.dropped_fields), limit=2048)}\r\n"
    return lines
