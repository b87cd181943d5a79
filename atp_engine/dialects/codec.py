"""What a dialect's codec offers: requests, replies and streams to and from `ir`.

Each dialect is one module that fits `Codec` (`openai_chat`, `anthropic`); `codecs` holds the rows.
`translate` joins two of them, the simulated provider writes its answers through one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from atp_engine.core.errors import UpstreamError
from atp_engine.dialects import ir
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.sse import SseEvent


class StreamEncoder(Protocol):
    """Writes one stream in a dialect; expects `Started` first and `Ended` last."""

    def encode(self, event: ir.StreamEvent) -> bytes:
        """Whole SSE events for this one, maybe none yet."""
        ...


class StreamDecoder(Protocol):
    """Reads one stream of a dialect, event by event."""

    error: UpstreamError | None
    """An error event or a malformed one; nothing after it counts."""
    is_ended: bool
    """`Ended` was given."""

    def decode(self, event: SseEvent) -> list[ir.StreamEvent]:
        """What one SSE event means (never `Ended` without the vendor's terminal event)."""
        ...

    def finish(self) -> list[ir.StreamEvent]:
        """The body ended in an orderly way: the missing `Ended` when the vendor had already stopped,
        else sets `error`."""
        ...


class ClientCodec(Protocol):
    """A client's half of a dialect: its requests into `ir`, its answers from `ir`. All functions are pure."""

    FINISH: Mapping[ir.FinishReason, str]
    """The dialect's words for why an answer ended."""
    PATHS: Mapping[str, str]
    """Where a field of `ir` stands in the dialect's requests, if under another name."""
    UNTOLD: tuple[str, ...]
    """What `ir` knows of a text and the dialect's answers cannot tell."""

    def decode_request(self, body: bytes) -> ir.ChatRequest:
        """Raises InvalidRequest naming the field, UnsupportedFeature for content `ir` cannot hold."""
        ...

    def encode_reply(self, result: ir.ChatResult) -> bytes:
        """The answer's JSON."""
        ...

    def stream_encoder(self, *, wants_usage: bool) -> StreamEncoder:
        """A fresh writer; `wants_usage` asks for the usage chunk where it is optional."""
        ...


class Codec(ClientCodec, Protocol):
    """A dialect to and from `ir`, of clients and of upstreams."""

    def encode_request(self, request: ir.ChatRequest) -> UpstreamBody:
        """The body for `request.model`, naming the fields of `ir` that it drops; raises
        UnsupportedFeature, or InvalidRequest when nothing is left to say."""
        ...

    def decode_reply(self, body: bytes) -> ir.ChatResult:
        """Raises BadUpstreamReply when it is not an answer of this dialect."""
        ...

    def stream_decoder(self, request_id: str) -> StreamDecoder:
        """A fresh reader; `request_id` seeds ids that the upstream leaves out."""
        ...
