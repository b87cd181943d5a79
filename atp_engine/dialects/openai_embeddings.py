"""OpenAI embeddings: the light read of a request, and its pass-through to a vendor that has them.

The answer's bytes are kept; only its usage is read. Tokens as input go up as they are.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from atp_engine.core.errors import BadUpstreamReply, InvalidRequest
from atp_engine.core.types import Dialect, RequestFacts, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.counts import Number, count
from atp_engine.dialects.estimate import BYTES_PER_TOKEN, estimate_tokens
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.reading import ModelName, decode_body
from atp_engine.dialects.sse import SseEvent

MOST_INPUTS = 2_048
_NULL = msgspec.Raw(b"null")
_Token = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Texts = Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1, max_length=MOST_INPUTS)]
_Tokens = Annotated[list[_Token], msgspec.Meta(min_length=1, max_length=100_000)]
_TokenLists = Annotated[list[_Tokens], msgspec.Meta(min_length=1, max_length=MOST_INPUTS)]


class _Body(msgspec.Struct, gc=False):
    model: ModelName
    input: msgspec.Raw
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=65_536)] | None = None
    user: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Number = 0
    total_tokens: Number = 0


class _Answer(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None
    model: str | None = ""
    usage: _Usage | None = None
    error: msgspec.Raw = _NULL


class Wanted(msgspec.Struct, frozen=True):
    """What is to be embedded, and how the vectors shall look."""

    model: str
    texts: tuple[str, ...]
    """The inputs; tokens as their numbers."""
    tokens: int
    """Tokens that were given as such, 0 for text."""
    is_base64: bool
    dimensions: int


_BODY = msgspec.json.Decoder(_Body)
_ANSWER = msgspec.json.Decoder(_Answer)
_TEXT: msgspec.json.Decoder[str] = msgspec.json.Decoder(Annotated[str, msgspec.Meta(min_length=1)])
_Input = list[str] | list[int] | list[list[int]]
_LISTS: tuple[msgspec.json.Decoder[_Input], ...] = (
    msgspec.json.Decoder(_Texts),
    msgspec.json.Decoder(_Tokens),
    msgspec.json.Decoder(_TokenLists),
)


def read_wanted(body: bytes) -> Wanted:
    """The request, whole and checked; raises InvalidRequest naming the field."""
    request = decode_body(_BODY, body)
    value = _input(bytes(request.input))
    tokens = 0
    if isinstance(value, str):
        texts: tuple[str, ...] = (value,)
    elif isinstance(value[0], str):
        texts = tuple(map(str, value))
    elif isinstance(value[0], int):
        texts, tokens = (str(value),), len(value)
    else:
        texts = tuple(map(str, value))
        tokens = sum(len(one) for one in value if isinstance(one, list))
    return Wanted(request.model, texts, tokens, request.encoding_format == "base64", request.dimensions or 0)


def _input(raw: bytes) -> str | _Input:
    try:
        if raw[:1] == b'"':
            return json_text.decode(_TEXT, raw)
        for decoder in _LISTS:
            try:
                return json_text.decode(decoder, raw)
            except msgspec.ValidationError:
                continue
    except ValueError:
        pass
    complaint = f"must be a text, or a list of 1 to {MOST_INPUTS} texts or of lists of tokens, none of them empty"
    raise InvalidRequest(f"`input`: {complaint}.", param="input")


def read_facts(body: bytes, bytes_per_token: float = BYTES_PER_TOKEN) -> RequestFacts:
    """The facts of an embeddings request; raises InvalidRequest whose `param` names the field."""
    wanted = read_wanted(body)
    facts = facts_of(wanted.model, wanted.texts, bytes_per_token, wanted.tokens)
    return msgspec.structs.replace(facts, is_base64=True) if wanted.is_base64 else facts


def facts_of(model: str, texts: tuple[str, ...], bytes_per_token: float, tokens: int = 0) -> RequestFacts:
    """The facts of texts to embed; `tokens` counts those that were given as such.

    One program's embeddings of a model are a session: they have no conversation to tell them apart.
    """
    size = sum([len(text.encode("utf-8", "replace")) for text in texts])
    return RequestFacts(
        model=model,
        is_stream=False,
        has_tools=False,
        has_images=False,
        wants_json=False,
        wants_usage=False,
        wants_reasoning=False,
        max_output_tokens=0,
        prompt_bytes=size,
        prompt_tokens_estimate=tokens or estimate_tokens(size, bytes_per_token),
        message_count=len(texts),
        session_hint="",
        prefix_seed=hashlib.sha256(b"embeddings\0" + model.encode("utf-8", "replace")).digest(),
        is_embedding=True,
    )


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Nothing is needed otherwise."""


def read_reply(body: bytes) -> Reply:
    """The vectors, their bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    try:
        answer = json_text.decode(_ANSWER, body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not a list of embeddings.") from None
    if bytes(answer.error) not in (b"null", b"{}", b'""'):
        raise fault_from_event(Dialect.OPENAI_EMBEDDINGS, body)
    if not answer.data:
        raise BadUpstreamReply("The provider's answer holds no embeddings.")
    tokens = count(answer.usage.prompt_tokens or answer.usage.total_tokens) if answer.usage is not None else 0
    return Reply(
        body=body,
        usage=TokenUsage(input_tokens=tokens) if tokens else None,
        finish_reason="stop",
        model=answer.model or "",
        text=f"{len(answer.data)} embeddings",
    )


def tap(facts: RequestFacts) -> StreamTap:
    """Embeddings are never streamed; a body that comes all the same is no answer."""
    return _NoStream(facts)


class _NoStream(EventTap):
    __slots__ = ()

    def _take(self, event: SseEvent) -> bytes:
        self.error = BadUpstreamReply("The provider streams embeddings, which nobody can read.")
        return b""

    def _last(self) -> bytes:
        return b""
