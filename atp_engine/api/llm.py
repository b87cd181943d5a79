"""The LLM endpoints as plain ASGI callables: the first and the last stop of a request's walk.

`app.build_app` puts them in front of Starlette, behind the guard. A call is judged by its credential
and its size before its body is read; the answer, or the error in the caller's dialect, leaves with
`x-atp-*` headers that say what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from atp_engine.api.errors import render, stream_error_event
from atp_engine.api.server import DISCONNECT
from atp_engine.core.errors import ATPError, InvalidRequest, PayloadTooLarge
from atp_engine.core.ports import NewId
from atp_engine.core.types import Dialect, PriceState
from atp_engine.services.attempt import RawCall
from atp_engine.services.completions import Completions
from atp_engine.services.keys import Keys
from atp_engine.services.live import LiveRequest

_log = logging.getLogger("atp_engine.llm")
_JSON = (b"content-type", b"application/json")
_STREAM = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


class AsgiSink:
    """The client's side of one call, over ASGI messages; keeps a capped copy of what it sent."""

    __slots__ = ("_send", "is_open", "live")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_open = False
        self.live: LiveRequest | None = None

    async def open(self, live: LiveRequest, first: bytes) -> None:
        """Sends 200, the stream's headers and its first events."""
        self.is_open = True
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_STREAM, *answer_headers(live)]})
        await self.write(first)

    async def write(self, events: bytes) -> None:
        """Sends whole events."""
        live = self.live
        if live is not None and live.capture is not None:
            live.capture.add(events)
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def close(self, live: LiveRequest, last: bytes) -> None:
        """Ends the stream with its last events, or sends the whole answer."""
        if live.is_stream and not self.is_open:
            await self.open(live, b"")
        if not self.is_open:
            headers = [_JSON, (b"content-length", b"%d" % len(last)), *answer_headers(live)]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        if live.capture is not None:
            live.capture.add(last)
        await self._send({"type": "http.response.body", "body": last, "more_body": False})


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
        sink = AsgiSink(send)
        try:
            await self._answer(request_id, scope, receive, sink)
        except ATPError as error:
            await self._fail(error, request_id, sink, send)
        except (
            Exception
        ) as error:  # the task boundary of a request: a bug must not take the connection down unexplained
            _log.exception("request failed by a bug", extra={"request_id": request_id})
            await self._fail(error, request_id, sink, send)
        finally:
            scope.pop(DISCONNECT, None)

    async def _answer(self, request_id: str, scope: Scope, receive: Receive, sink: AsgiSink) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        caller = self._keys.identify(headers)
        body = await self._read_body(headers, receive)

        def on_disconnect() -> None:
            live = sink.live
            if live is not None and live.cancel is not None and not live.cancelled_by:
                live.cancelled_by = "the client, which left"
                live.cancel()

        scope[DISCONNECT] = on_disconnect
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

    async def _fail(self, error: Exception, request_id: str, sink: AsgiSink, send: Send) -> None:
        """Tells an error: as an HTTP answer, or inside the stream when that has begun."""
        if sink.is_open:
            event = stream_error_event(error, self._dialect, request_id)
            await send({"type": "http.response.body", "body": event, "more_body": False})
            return
        status, headers, body = render(error, self._dialect, request_id)
        live = sink.live
        if live is not None:
            headers = [*headers, *answer_headers(live, is_error=True)]
        if isinstance(error, PayloadTooLarge):
            headers = [*headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def answer_headers(live: LiveRequest, *, is_error: bool = False) -> list[tuple[bytes, bytes]]:
    """The `x-atp-*` headers: who answered, after how many tries, at what cost, what was dropped.

    A stream's cost is not known when its headers leave; it is on the request page and in the ledger.
    """
    headers: list[tuple[bytes, bytes]] = []
    if not is_error:
        request_id = live.id.encode()
        headers.append((b"request-id" if live.dialect is Dialect.ANTHROPIC else b"x-request-id", request_id))
        headers.append((b"x-atp-request-id", request_id))
    if live.served is not None:
        headers.append((b"x-atp-deployment", live.served.key.encode("latin-1", "replace")))
        headers.append((b"x-atp-attempts", b"%d" % live.tries))
    if live.state.is_final and live.attempts:
        is_known = live.cost.state is not PriceState.UNKNOWN
        headers.append((b"x-atp-cost-usd", f"{live.cost.nusd / 1e9:.9f}".encode() if is_known else b"unknown"))
    if live.dropped_fields:
        headers.append((b"x-atp-dropped-fields", ",".join(live.dropped_fields).encode("latin-1", "replace")[:2048]))
    return headers
