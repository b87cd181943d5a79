"""The LLM endpoints as plain ASGI callables: the first and the last stop of a request's walk.

`app.build_app` puts them in front of Starlette, behind the guard. A call is judged by its credential
and its size before its body is read; the answer, or the error in the caller's dialect, leaves with
`x-atp-*` headers that say what happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from atp_engine.api.errors import HeaderList, render, stream_error_event
from atp_engine.api.server import DISCONNECT, EXCHANGE, Exchange
from atp_engine.core.errors import ATPError, InvalidRequest, PayloadTooLarge
from atp_engine.core.ports import NewId
from atp_engine.core.text import safe_text
from atp_engine.core.types import Dialect, PriceState
from atp_engine.services.attempt import RawCall
from atp_engine.services.completions import Completions
from atp_engine.services.keys import Keys
from atp_engine.services.live import LiveRequest

_log = logging.getLogger("atp_engine.llm")
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_OK_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"


class ClientSink:
    """The client's side of one call; keeps a capped copy of what it sent."""

    __slots__ = ("_exchange", "is_open", "live")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.is_open = False
        self.live: LiveRequest | None = None

    @property
    def has_left(self) -> bool:
        """The client is gone."""
        return self._exchange.has_left

    async def open(self, live: LiveRequest, first: bytes) -> None:
        """Sends 200, the stream's headers and its first events."""
        self.is_open = True
        self._exchange.begin(_OK_STREAM + answer_head(live))
        await self.write(first)

    async def write(self, events: bytes) -> None:
        """Sends whole events."""
        live = self.live
        if live is not None and live.capture is not None:
            live.capture.add(events)
        await self._exchange.write(events)

    async def close(self, live: LiveRequest, last: bytes) -> None:
        """Ends the stream with its last events, or sends the whole answer."""
        if self.is_open:
            self._exchange.end(last)
        elif live.is_stream:
            self.is_open = True
            self._exchange.begin(_OK_STREAM + answer_head(live))
            self._exchange.end(last)
        else:
            self._exchange.reply(_OK_JSON + b"content-length: %d\r\n" % len(last) + answer_head(live), last)

    def fail(self, event: bytes) -> None:
        """Ends an open stream with an error event."""
        self._exchange.end(event)

    def refuse(self, status: int, headers: HeaderList, body: bytes, *, is_last: bool) -> None:
        """Answers with an error instead; `is_last` ends the connection."""
        self._exchange.refuse(status, headers, body, is_last=is_last)


class ChatEndpoint:
    """`POST /v1/chat/completions` or `POST /v1/messages`, by dialect."""

    def __init__(
        self, dialect: Dialect, completions: Completions, keys: Keys, new_id: NewId, max_body: Callable[[], int]
    ) -> None:
        self._dialect = dialect
        self._completions = completions
        self._keys = keys
        self._new_id = new_id
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one call; every failure becomes an error in the dialect, never an exception."""
        request_id = self._new_id()
        sink = ClientSink(scope[EXCHANGE])
        try:
            await self._answer(request_id, scope, receive, sink)
        except ATPError as error:
            self._fail(error, request_id, sink)
        except Exception as error:  # the boundary of a request's task: a bug is told, not dropped
            _log.exception("request failed by a bug", extra={"request_id": request_id})
            self._fail(error, request_id, sink)
        finally:
            scope.pop(DISCONNECT, None)

    async def _answer(self, request_id: str, scope: Scope, receive: Receive, sink: ClientSink) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        caller = self._keys.identify(headers)
        body = await self._read_body(headers, receive)

        def on_disconnect() -> None:
            live = sink.live
            if live is not None and live.cancel is not None and not live.cancelled_by:
                live.cancelled_by = "the client, which left"
                live.cancel()

        scope[DISCONNECT] = on_disconnect
        if sink.has_left:
            asyncio.get_running_loop().call_soon(on_disconnect)
        call = RawCall(request_id, self._dialect, headers, scope["query_string"], body)
        await self._completions.run(call, caller, sink)

    async def _read_body(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes:
        limit = self._max_body()
        for name, value in headers:
            if name == b"content-length" and (not value.isdigit() or int(value) > limit):
                raise PayloadTooLarge(f"the request body is over the limit of {limit} bytes")
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise InvalidRequest("compressed request bodies are not accepted; send it as plain JSON")
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request body ended early")
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > limit:
                raise PayloadTooLarge(f"the request body is over the limit of {limit} bytes")
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body", False):
            message = await receive()
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise PayloadTooLarge(f"the request body is over the limit of {limit} bytes")
            parts.append(part)
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request body ended early")
        return b"".join(parts)

    def _fail(self, error: Exception, request_id: str, sink: ClientSink) -> None:
        """Tells an error: as an HTTP answer, or inside the stream when that has begun."""
        if sink.is_open:
            sink.fail(stream_error_event(error, self._dialect, request_id))
            return
        status, headers, body = render(error, self._dialect, request_id)
        live = sink.live
        if live is not None:
            lines = told(live).encode("latin-1", "replace").split(b"\r\n")[:-1]
            headers = [*headers, *((name, value) for name, _, value in (line.partition(b": ") for line in lines))]
        sink.refuse(status, headers, body, is_last=isinstance(error, PayloadTooLarge))


def answer_head(live: LiveRequest) -> bytes:
    """The header lines of an answer: its id, and the `x-atp-*` lines."""
    name = "request-id" if live.dialect is Dialect.ANTHROPIC else "x-request-id"
    return f"{name}: {live.id}\r\nx-atp-request-id: {live.id}\r\n{told(live)}".encode("latin-1", "replace")


def told(live: LiveRequest) -> str:
    """Who answered, after how many tries, at what cost, what was dropped, as header lines.

    A stream's cost is not known when its headers leave; it is on the request page and in the ledger.
    """
    lines = ""
    if live.served is not None:
        lines = f"x-atp-deployment: {live.served.key}\r\nx-atp-attempts: {live.tries}\r\n"
    if live.attempts and live.state.is_final:
        is_known = live.cost.state is not PriceState.UNKNOWN
        lines += f"x-atp-cost-usd: {live.cost.nusd / 1e9:.9f}\r\n" if is_known else "x-atp-cost-usd: unknown\r\n"
    if live.dropped_fields:
        lines += f"x-atp-dropped-fields: {safe_text(','.join(live.dropped_fields), limit=2048)}\r\n"
    return lines
