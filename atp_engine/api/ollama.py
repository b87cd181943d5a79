"""Ollama's surface for calls that are routed to models: `POST /api/chat`, `/api/generate` and `/api/embed`.

Streams are a JSON value a line. A generate call becomes a chat of one system and one user message, and
its answers take generate's shape again; what only the server's own templates can do is refused.
Embed calls (`/api/embeddings` is the older one) go the way of OpenAI's, and count as such.
Shapes: docs.ollama.com/api, November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from atp_engine.api.llm import ChatEndpoint, ClientCall, stream_head
from atp_engine.api.server import EngineProtocol
from atp_engine.core.errors import BadUpstreamReply, InvalidRequest, UnsupportedFeature
from atp_engine.core.ports import NewId
from atp_engine.core.types import Caller, Dialect
from atp_engine.dialects.fields import BOOL, COUNT, RAW, STR, Fields, compact
from atp_engine.dialects.passthrough import LOST
from atp_engine.dialects.reading import decode_body
from atp_engine.services.attempt import RawCall
from atp_engine.services.completions import Completions
from atp_engine.services.keys import Keys
from atp_engine.services.live import LiveRequest

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TO_GENERATE = {"content": "response", "thinking": "thinking", "tool_calls": "tool_calls"}
_SAID = frozenset({"prompt", "system", "images"})


class _Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    """OpenAI's answer with vectors."""

    data: list[_Item]
    model: str | None = None
    usage: _Usage | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class OllamaCall(ClientCall):
    """A chat call."""

    stream_head = stream_head(b"application/x-ndjson")


class GenerateCall(OllamaCall):
    """A generate call: a chat call to everybody behind it."""

    def whole_body(self) -> bytes:
        """The chat call that it is. Raises InvalidRequest, UnsupportedFeature naming the field."""
        return chat_of_generate(super().whole_body())

    async def write(self, events: bytes) -> None:
        """See `ClientCall.write`."""
        await super().write(generate_of_chat(events))

    def push(self, events: bytes) -> bool:
        """See `ClientCall.push`."""
        if self.flow.write_paused and not self.disconnected:
            return False
        return super().push(generate_of_chat(events))

    def end(self, body: bytes) -> None:
        """The last lines."""
        super().end(generate_of_chat(body))

    def close(self, live: LiveRequest, last: bytes) -> None:
        """See `ClientCall.close`; a stream's lines change at its end."""
        super().close(live, last if live.is_stream else generate_of_chat(last))


class EmbedCall(OllamaCall):
    """An embed call: one of OpenAI's to everybody behind it."""

    text_field = "input"

    def whole_body(self) -> bytes:
        """The embeddings call that it is. Raises InvalidRequest naming the field."""
        top = Fields.of_body(super().whole_body())
        model, text, size = top.need("model", STR), top.need(self.text_field, RAW), top.take("dimensions", COUNT)
        top.close()
        lost = {LOST: top.dropped.paths()} if top.dropped.paths() else {}
        written = compact(model=model, input=text, dimensions=size, encoding_format="float")
        return msgspec.json.encode(written | lost)

    def close(self, live: LiveRequest, last: bytes) -> None:
        """Sends the vectors in the caller's shape. Raises BadUpstreamReply when there are none."""
        try:
            found = _ANSWER.decode(last)
        except (ValueError, RecursionError):
            raise BadUpstreamReply("The provider's answer holds no vectors.") from None
        vectors = [item.embedding for item in sorted(found.data, key=lambda item: item.index)]
        super().close(live, self.shaped(found, vectors))

    def shaped(self, found: _Answer, vectors: list[msgspec.Raw]) -> bytes:
        """The answer's body."""
        tokens = found.usage.prompt_tokens if found.usage is not None else None
        return msgspec.json.encode(compact(model=found.model, embeddings=vectors, prompt_eval_count=tokens))


class OlderEmbedCall(EmbedCall):
    """The same with one text and one vector."""

    text_field = "prompt"

    def shaped(self, found: _Answer, vectors: list[msgspec.Raw]) -> bytes:
        """The answer's body."""
        return msgspec.json.encode({"embedding": vectors[0] if vectors else []})


class OllamaEndpoint(ChatEndpoint):
    """One of the paths."""

    def __init__(
        self,
        call: type[OllamaCall],
        completions: Completions,
        keys: Keys,
        new_id: NewId,
        max_body: Callable[[], int],
    ) -> None:
        super().__init__(Dialect.OLLAMA, completions, keys, new_id, max_body)
        self._call = call

    def exchange(self, protocol: EngineProtocol, query: bytes) -> OllamaCall:
        """The sink of the path's kind."""
        return self._call(self, protocol, b"")

    def answer(self, call: RawCall, caller: Caller, exchange: Any) -> Coroutine[Any, Any, None]:
        """The walk, of an embeddings call where it is one."""
        if isinstance(exchange, EmbedCall):
            call = msgspec.structs.replace(call, dialect=Dialect.OPENAI_EMBEDDINGS)
        return super().answer(call, caller, exchange)


def chat_of_generate(body: bytes) -> bytes:
    """A generate call as a chat call; members that both know, and those that neither knows, stay."""
    fields = decode_body(_OBJECT, body)
    top = Fields.of_body(body)
    for name in ("suffix", "template"):
        if top.take(name, STR):
            raise UnsupportedFeature(f"`{name}`: only a model's own server can do this.", param=name)
    if top.take("raw", BOOL):
        raise UnsupportedFeature("`raw`: only a model's own server can do this.", param="raw")
    prompt, system, images = top.take("prompt", STR), top.take("system", STR), top.take("images", RAW)
    if not prompt and images is None:
        raise InvalidRequest("`prompt` is required.", param="prompt")
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    said: dict[str, Any] = {"role": "user", "content": prompt or ""}
    messages.append(said | ({"images": images} if images is not None else {}))
    kept: dict[str, Any] = {name: value for name, value in fields.items() if name not in _SAID}
    return msgspec.json.encode(kept | {"messages": messages})


def generate_of_chat(lines: bytes) -> bytes:
    """Chat answers as generate's; lines without a message, such as errors, stay as they are."""
    return b"".join(_generate_line(line) for line in lines.splitlines(keepends=True))


def _generate_line(line: bytes) -> bytes:
    text = line.strip()
    fields = _OBJECT.decode(text) if text else {}
    message = fields.pop("message", None)
    if message is None:
        return line
    said = _OBJECT.decode(message)
    written: dict[str, Any] = {name: fields.pop(name) for name in ("model", "created_at") if name in fields}
    written |= {new: said[old] for old, new in _TO_GENERATE.items() if old in said}
    return msgspec.json.encode({**written, **fields}) + line[len(line.rstrip(b"\r\n")) :]
