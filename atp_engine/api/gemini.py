"""Gemini's surface: `POST /v1beta/models/MODEL:METHOD`, also under `/v1`; `GET` lists are in `gemini_models`.

generateContent, streamGenerateContent (server-sent events with `alt=sse`, else one JSON array as it grows),
countTokens, embedContent and batchEmbedContents. Model and method stand in the path: they become members of the
body, as the dialect's readers want them, and leave it again before it goes up. The key may stand in the query
(`?key=`), where it becomes a header at once. Paths: ai.google.dev/api/generate-content, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from atp_engine.api.errors import credentials
from atp_engine.api.exchange import path_of
from atp_engine.api.llm import ChatEndpoint, ClientCall, stream_head, whole_head
from atp_engine.api.server import EngineProtocol
from atp_engine.core.errors import InvalidRequest, UnknownModel
from atp_engine.core.ports import NewId
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, Dialect
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.gemini_embeddings import batch_of_one, one_of_batch
from atp_engine.dialects.reading import decode_body
from atp_engine.dialects.sse import events as events_of
from atp_engine.services.attempt import RawCall
from atp_engine.services.completions import Completions
from atp_engine.services.keys import Keys
from atp_engine.services.live import LiveRequest
from atp_engine.services.runtime import RuntimeRef

PATHS = ("/v1beta/models/{model}:{method}", "/v1/models/{model}:{method}")
_GENERATE, _STREAM, _COUNT = "generateContent", "streamGenerateContent", "countTokens"
_EMBED, _EMBED_ALL = "embedContent", "batchEmbedContents"
_METHODS = (_GENERATE, _STREAM, _COUNT, _EMBED, _EMBED_ALL)
_ALT_SSE = re.compile(rb"(?:^|&)alt=sse(?:&|$)")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_INNER = ("generateContentRequest", "generate_content_request")


class GeminiCall(ClientCall):
    """A call with what its path says; its answer is whole, or server-sent events."""

    def __init__(self, endpoint: GeminiEndpoint, protocol: EngineProtocol, model: str, method: str) -> None:
        super().__init__(endpoint, protocol, b"")
        self.model = model
        self.method = method

    def whole_body(self) -> bytes:
        """The body with model and method as its last members, which count; what is no object stays as it is."""
        body = super().whole_body().rstrip(b" \t\r\n")
        if self.method == _COUNT or not body.endswith(b"}"):
            return body
        head = body[:-1].rstrip(b" \t\r\n")
        comma = b"" if head.endswith(b"{") and not head[:-1].strip() else b","
        named = msgspec.json.encode(self.model)
        is_stream = b"true" if self.method == _STREAM else b"false"
        return b'%b%b"model":%b,"stream":%b}' % (head, comma, named, is_stream)


class GeminiEmbedCall(GeminiCall):
    """A batch of texts to embed, or one: a batch of one to everybody behind it."""

    def whole_body(self) -> bytes:
        """The batch with its model. Raises InvalidRequest for what is no object."""
        body = ClientCall.whole_body(self)
        fields = decode_body(_OBJECT, body)
        if self.method == _EMBED:
            return batch_of_one(body, self.model)
        fields["model"] = msgspec.Raw(msgspec.json.encode(self.model))
        return msgspec.json.encode(fields)

    def close(self, live: LiveRequest, last: bytes) -> None:
        """See `ClientCall.close`."""
        super().close(live, one_of_batch(last) if self.method == _EMBED else last)


class GeminiArrayCall(GeminiCall):
    """A streamed call whose client did not ask for events: the chunks are the items of one array."""

    stream_head = stream_head(b"application/json")
    _lead = b"["

    async def write(self, events: bytes) -> None:
        """See `ClientCall.write`."""
        if items := self._items(events):
            await super().write(items)

    def push(self, events: bytes) -> bool:
        """See `ClientCall.push`."""
        if self.flow.write_paused and not self.disconnected:
            return False
        items = self._items(events)
        return super().push(items) if items else True

    def end(self, body: bytes) -> None:
        """The last items and the end of the array."""
        items = self._items(body)
        super().end(items + (b"[]" if self._lead == b"[" else b"]"))

    def _items(self, events: bytes) -> bytes:
        written = b""
        for event in events_of(events):
            if event.data is not None:
                written += self._lead + event.data
                self._lead = b",\r\n"
        return written


class GeminiEndpoint(ChatEndpoint):
    """The methods of all models."""

    def __init__(
        self, completions: Completions, keys: Keys, new_id: NewId, max_body: Callable[[], int], runtime: RuntimeRef
    ) -> None:
        super().__init__(Dialect.GEMINI, completions, keys, new_id, max_body)
        self._runtime = runtime

    def exchange(self, protocol: EngineProtocol, query: bytes) -> GeminiCall:
        """The sink that the method and the query ask for; refused when there is no such method."""
        protocol.headers = credentials(protocol.headers, query)
        path = path_of(protocol.url).decode("utf-8", "replace")
        model, _, method = path.partition("/models/")[2].rpartition(":")
        is_array = method == _STREAM and _ALT_SSE.search(query) is None
        kind = GeminiArrayCall if is_array else GeminiEmbedCall if method in (_EMBED, _EMBED_ALL) else GeminiCall
        call = kind(self, protocol, model, method)
        if method not in _METHODS:
            call.refusal = InvalidRequest(f"there is no method {safe_text(method, limit=64)!r} of a model here")
            call.refusal.http_status = 404
        return call

    def answer(self, call: RawCall, caller: Caller, exchange: GeminiCall) -> Any:
        """The walk, or a count."""
        if exchange.method == _COUNT:
            return self._count(call, exchange)
        if isinstance(exchange, GeminiEmbedCall):
            call = msgspec.structs.replace(call, dialect=Dialect.GEMINI_EMBEDDINGS)
        return super().answer(call, caller, exchange)

    async def _count(self, call: RawCall, exchange: GeminiCall) -> None:
        """The estimate of a prompt's tokens; nothing goes upstream."""
        if self._runtime.current.table.resolve(exchange.model) is None:
            raise UnknownModel("no route or model has this name", param="model")
        fields = decode_body(_OBJECT, call.body)
        inner = next((fields[name] for name in _INNER if name in fields), None)
        if inner is not None:
            fields = decode_body(_OBJECT, bytes(inner))
        fields["model"] = msgspec.Raw(msgspec.json.encode(exchange.model))
        fields.pop("stream", None)
        facts = read_facts(Dialect.GEMINI, msgspec.json.encode(fields))
        body = b'{"totalTokens":%d}' % facts.prompt_tokens_estimate
        told = f"x-request-id: {call.id}\r\nx-atp-request-id: {call.id}\r\n".encode()
        exchange.reply(whole_head(len(body)) + told, body)
