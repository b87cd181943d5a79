"""What carries a client's call to a deployment's dialect and the answers back.

`services/attempts` holds a `Bridge` per (client, upstream) pair and never looks inside a body. Two
families implement it: `passthrough` (same dialect, bytes kept) and `translate` (through `ir`).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from atp_engine.core.errors import UpstreamError
from atp_engine.core.types import RequestFacts, TokenUsage


class UpstreamBody(msgspec.Struct, frozen=True):
    """A request body in the upstream's dialect, and the fields that could not be carried."""

    body: bytes
    dropped_fields: tuple[str, ...] = ()


class Reply(msgspec.Struct, frozen=True):
    """A whole (non-streamed) answer in the client's dialect, with the facts read from it."""

    body: bytes
    usage: TokenUsage | None
    finish_reason: str
    model: str
    text: str
    """The answer's text, cut to 4 KiB, for previews."""
    dropped_fields: tuple[str, ...] = ()
    output_chars: int = 0
    """Characters of all content, the base of an estimate when usage is missing."""


class StreamTap(Protocol):
    """Reads an upstream's stream and gives the client's bytes: whole events only, as they complete.

    Driven by one task: `feed` for every piece of body, then `finish` once at its orderly end. After
    each call the attributes tell how far the stream has come. It keeps at most one incomplete event
    (capped at 8 MiB; more sets `error`) and 4 KiB of text.
    """

    has_content: bool
    """A content event was seen (text, reasoning or a tool call): the commit point."""
    is_complete: bool
    """The terminal event was seen."""
    error: UpstreamError | None
    """An error event or a malformed event: nothing after it counts."""
    usage: TokenUsage | None
    finish_reason: str
    model: str
    content_events: int
    output_chars: int
    """Characters of content so far, the base of an estimate when usage stays out."""

    def feed(self, data: bytes) -> bytes:
        """Takes upstream bytes, split anywhere; returns what the client may get now (maybe empty)."""
        ...

    def finish(self) -> bytes:
        """The body ended in an orderly way: returns the last bytes; sets `error` when incomplete."""
        ...

    def tail(self) -> str:
        """The last text (at most 4 KiB)."""
        ...


class Bridge(Protocol):
    """One pair of dialects; stateless, shared by all requests."""

    def request(self, body: bytes, facts: RequestFacts, model: str) -> UpstreamBody:
        """The upstream's body for `model`; streams ask for usage. Raises InvalidRequest naming the
        field, or UnsupportedFeature for content that cannot be carried."""
        ...

    def reply(
        self,
        body: bytes,
        *,
        created: int = 0,
        prompt_tokens: int = 0,
        facts: RequestFacts | None = None,
        request_id: str = "",
    ) -> Reply:
        """A 200 answer in the client's dialect. Raises BadUpstreamReply when it is not one, or the
        classified error that it holds. A translation stamps it with `created` (UTC epoch seconds)
        where the vendor tells no time, and makes missing usage up from `prompt_tokens` and the text;
        `facts` and `request_id` matter to dialects whose answers repeat the request."""
        ...

    def tap(self, facts: RequestFacts, request_id: str, *, created: int = 0) -> StreamTap:
        """A fresh tap for one stream; `request_id` seeds ids that a translation must make up,
        `created` is as in `reply`."""
        ...
