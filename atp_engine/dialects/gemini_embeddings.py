"""Gemini's embeddings: `batchEmbedContents` to and from OpenAI's, and as they are between the two.

The body is the vendor's batch with the path's model as a member (`api/gemini` adds it, and makes a batch of one of an
`embedContent`). Shapes: ai.google.dev/api/embeddings and google-genai 3.6.1, November 2026.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, UnsupportedFeature
from atp_engine.core.types import Dialect, RequestFacts, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.bridge import Reply, StreamTap, UpstreamBody
from atp_engine.dialects.counts import Number, count
from atp_engine.dialects.estimate import BYTES_PER_TOKEN
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.fields import INT, ITEMS, STR, STRINGS, Dropped, Fields, compact
from atp_engine.dialects.openai_embeddings import MOST_INPUTS, facts_of, read_wanted
from atp_engine.dialects.openai_embeddings import tap as no_stream
from atp_engine.dialects.passthrough import LOST

_NULL = msgspec.Raw(b"null")


class Wanted(msgspec.Struct, frozen=True):
    """What is to be embedded."""

    model: str
    texts: tuple[str, ...]
    dimensions: int
    dropped: tuple[str, ...]
    """Fields without an equal elsewhere."""


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: Number = 0


class _Vector(msgspec.Struct, gc=False):
    values: msgspec.Raw = _NULL


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    embeddings: list[_Vector] | None = None
    usage_metadata: _Usage | None = None
    error: msgspec.Raw = _NULL


class _Item(msgspec.Struct, gc=False):
    embedding: list[float] | str
    index: int = 0


class _OpenUsage(msgspec.Struct, gc=False):
    prompt_tokens: Number = 0


class _OpenAnswer(msgspec.Struct, gc=False):
    data: list[_Item] | None = None
    model: str | None = ""
    usage: _OpenUsage | None = None
    error: msgspec.Raw = _NULL


_ANSWER = msgspec.json.Decoder(_Answer)
_OPEN_ANSWER = msgspec.json.Decoder(_OpenAnswer)
_FLOATS = msgspec.json.Decoder(list[float])


def read_wanted_batch(body: bytes) -> Wanted:
    """The batch, whole and checked; raises InvalidRequest naming the field, UnsupportedFeature for pictures."""
    top = Fields.of_body(body)
    model = top.need("model", STR)
    if not 0 < len(model) <= 256:
        raise top.wrong("model", "must have 1 to 256 characters")
    items = top.need("requests", ITEMS)
    if not 0 < len(items) <= MOST_INPUTS:
        raise top.wrong("requests", f"must hold 1 to {MOST_INPUTS} requests")
    texts: list[str] = []
    sizes: set[int] = set()
    for fields in top.elements("requests", items):
        texts.append(_text(fields))
        fields.skip("model")
        newer, older = fields.take("outputDimensionality", INT), fields.take("output_dimensionality", INT)
        size = newer or older or 0
        if not 0 <= size <= 65_536:
            raise fields.wrong("outputDimensionality", "is out of range")
        sizes.add(size)
        fields.close()
    if len(sizes) > 1:
        raise top.wrong("requests", "must all have the same outputDimensionality")
    top.close()
    return Wanted(model, tuple(texts), sizes.pop(), top.dropped.paths())


def _text(fields: Fields) -> str:
    content = fields.child("content")
    if content is None:
        raise fields.wrong("content", "is required")
    content.skip("role")
    found: list[str] = []
    for part in content.children("parts"):
        text = part.take("text", STR)
        if text is None:
            raise part.unsupported("anything but text")
        found.append(text)
        part.close()
    content.close()
    if not "".join(found):
        raise content.wrong("parts", "must hold a text that is not empty")
    return "\n".join(found)


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of a batch, as those of OpenAI's; raises InvalidRequest whose `param` names the field."""
    wanted = read_wanted_batch(body)
    return facts_of(wanted.model, wanted.texts, bytes_per_token)


def _named(model: str) -> str:
    return model if model.startswith("models/") else f"models/{model}"


class _Bridge:
    """What the three ways have in common."""

    def tap(self, facts: RequestFacts, request_id: str, *, created: int = 0) -> StreamTap:
        """See `Bridge.tap`: embeddings are never streamed."""
        return no_stream(facts)


class Same(_Bridge):
    """Gemini's client and Gemini itself: each request of the batch with the deployment's model."""

    def request(self, body: bytes, facts: RequestFacts, model: str) -> UpstreamBody:
        """See `Bridge.request`."""
        top = Fields.of_body(body)
        items = [json_text.decode(_OBJECT, bytes(raw)) for raw in top.need("requests", ITEMS)]
        named = msgspec.Raw(msgspec.json.encode(_named(model)))
        return UpstreamBody(msgspec.json.encode({"requests": [{**item, "model": named} for item in items]}))

    def reply(
        self, body: bytes, *, created: int = 0, prompt_tokens: int = 0, facts: RequestFacts | None = None,
        request_id: str = "",
    ) -> Reply:  # fmt: skip
        """See `Bridge.reply`; the bytes are the vendor's own."""
        answer = _read(body)
        return _reply(body, _usage(answer, prompt_tokens), facts.model if facts else "", len(answer.embeddings or ()))


class ToGemini(_Bridge):
    """OpenAI's client, Gemini's vectors."""

    def request(self, body: bytes, facts: RequestFacts, model: str) -> UpstreamBody:
        """See `Bridge.request`. Raises UnsupportedFeature for tokens as input."""
        wanted, dropped = read_wanted(body), Dropped()
        if wanted.tokens:
            raise UnsupportedFeature("`input`: tokens cannot be carried to the chosen deployment.", param="input")
        top = Fields.of_body(body)
        if top.take("user", STR):
            dropped.add("user")
        top.skip("model", "input", "encoding_format", "dimensions")
        for name in top.take(LOST, STRINGS) or ():
            dropped.add(name)
        top.close()
        requests = [
            compact(
                model=_named(model),
                content={"parts": [{"text": text}]},
                outputDimensionality=wanted.dimensions or None,
            )
            for text in wanted.texts
        ]
        return UpstreamBody(msgspec.json.encode({"requests": requests}), (*dropped.paths(), *top.dropped.paths()))

    def reply(
        self, body: bytes, *, created: int = 0, prompt_tokens: int = 0, facts: RequestFacts | None = None,
        request_id: str = "",
    ) -> Reply:  # fmt: skip
        """See `Bridge.reply`."""
        answer = _read(body)
        usage, model = _usage(answer, prompt_tokens), facts.model if facts is not None else ""
        is_base64 = facts is not None and facts.is_base64
        rows: list[dict[str, Any]] = []
        for place, vector in enumerate(answer.embeddings or ()):
            values: Any = _packed(vector.values) if is_base64 else vector.values
            rows.append({"object": "embedding", "index": place, "embedding": values})
        told = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
        whole = {"object": "list", "data": rows, "model": model, "usage": told}
        return _reply(msgspec.json.encode(whole), usage, model, len(rows))


class FromGemini(_Bridge):
    """Gemini's client, vectors of a vendor that speaks OpenAI's."""

    def request(self, body: bytes, facts: RequestFacts, model: str) -> UpstreamBody:
        """See `Bridge.request`."""
        wanted = read_wanted_batch(body)
        written = compact(
            model=model, input=wanted.texts, dimensions=wanted.dimensions or None, encoding_format="float"
        )
        return UpstreamBody(msgspec.json.encode(written), wanted.dropped)

    def reply(
        self, body: bytes, *, created: int = 0, prompt_tokens: int = 0, facts: RequestFacts | None = None,
        request_id: str = "",
    ) -> Reply:  # fmt: skip
        """See `Bridge.reply`."""
        try:
            answer = json_text.decode(_OPEN_ANSWER, body)
        except ValueError:
            raise BadUpstreamReply("The provider's answer is not a list of embeddings.") from None
        if bytes(answer.error) not in (b"null", b"{}", b'""'):
            raise fault_from_event(Dialect.OPENAI_EMBEDDINGS, body)
        if not answer.data:
            raise BadUpstreamReply("The provider's answer holds no embeddings.")
        tokens = count(answer.usage.prompt_tokens) if answer.usage is not None else 0
        usage = TokenUsage(tokens) if tokens else TokenUsage(prompt_tokens, is_estimated=True)
        items = sorted(answer.data, key=lambda item: item.index)
        whole = {
            "embeddings": [{"values": _unpacked(item.embedding)} for item in items],
            "usageMetadata": {"promptTokenCount": usage.input_tokens},
        }
        return _reply(msgspec.json.encode(whole), usage, answer.model or "", len(items))


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _read(body: bytes) -> _Answer:
    try:
        answer = json_text.decode(_ANSWER, body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not a batch of embeddings.") from None
    if bytes(answer.error) not in (b"null", b"{}"):
        raise fault_from_event(Dialect.GEMINI, body)
    if not answer.embeddings:
        raise BadUpstreamReply("The provider's answer holds no embeddings.")
    return answer


def _usage(answer: _Answer, prompt_tokens: int) -> TokenUsage:
    told = count(answer.usage_metadata.prompt_token_count) if answer.usage_metadata is not None else 0
    return TokenUsage(told) if told else TokenUsage(prompt_tokens, is_estimated=True)


def _reply(body: bytes, usage: TokenUsage, model: str, vectors: int) -> Reply:
    return Reply(body=body, usage=usage, finish_reason="stop", model=model, text=f"{vectors} embeddings")


def _packed(values: msgspec.Raw) -> str:
    """A vector as OpenAI's base64: little-endian floats of 32 bits."""
    try:
        floats = _FLOATS.decode(values)
        return b64encode(struct.pack(f"<{len(floats)}f", *floats)).decode()
    except (ValueError, struct.error, OverflowError):
        raise BadUpstreamReply("The provider's answer holds a vector that is none.") from None


def _unpacked(vector: list[float] | str) -> list[float]:
    if isinstance(vector, list):
        return vector
    try:
        raw = b64decode(vector, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (ValueError, struct.error):
        raise BadUpstreamReply("The provider's answer holds a vector that is none.") from None


def batch_of_one(body: bytes, model: str) -> bytes:
    """An `embedContent` as a batch."""
    return b'{"requests":[%b],"model":%b}' % (body, msgspec.json.encode(model))


def one_of_batch(body: bytes) -> bytes:
    """A batch's answer as that of an `embedContent`."""
    fields = json_text.decode(_OBJECT, body)
    vectors = ITEMS.decode(fields.pop("embeddings"))
    return msgspec.json.encode({"embedding": vectors[0], **fields})
