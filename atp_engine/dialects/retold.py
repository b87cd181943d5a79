"""A stream that broke after its first content, begun again by another deployment within the same answer.

`services/attempt` wraps the taps of routes that allow it. The client's stream stays well formed: what the
broken answer left open is closed, a mark that people and programs can read follows, then the new answer
from its beginning. Answers that called a tool are never begun again: the client may have acted on them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import UpstreamError
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects.bridge import StreamTap

MARK = "\n\n[The answer broke off here. It begins again.]\n\n"
_decode = msgspec.json.decode
_encode = msgspec.json.encode


class Retold:
    """A `StreamTap` around another one: notes what the client has seen, and fits a second answer to it."""

    has_content = False
    is_complete = False
    error: UpstreamError | None = None
    usage: TokenUsage | None = None
    finish_reason = ""
    model = ""
    content_events = 0
    output_chars = 0

    def __init__(self, tap: StreamTap, before: Retold | None, broken: str, served: str) -> None:
        """`before` is the tap whose stream broke, made by the deployment `broken`; None for a first answer."""
        self._tap = tap
        self._before = before
        self._mark = b"" if before is None else self._marked(before, broken, served)
        self.may_restart = True
        """Nothing was sent that must not be said twice."""

    def feed(self, data: bytes) -> bytes:
        """See `StreamTap`."""
        return self._told(self._tap.feed(data))

    def finish(self) -> bytes:
        """See `StreamTap`."""
        return self._told(self._tap.finish())

    def tail(self) -> str:
        """See `StreamTap`."""
        return self._tap.tail()

    def _told(self, events: bytes) -> bytes:
        tap = self._tap
        self.has_content, self.is_complete, self.error = tap.has_content, tap.is_complete, tap.error
        self.usage, self.finish_reason, self.model = tap.usage, tap.finish_reason, tap.model
        self.content_events, self.output_chars = tap.content_events, tap.output_chars
        if not events:
            return events
        mark, self._mark = self._mark, b""
        return mark + self._fitted(events)

    def _fitted(self, events: bytes) -> bytes:
        raise TypeError("a dialect fits its own events")

    def _marked(self, before: Retold, broken: str, served: str) -> bytes:
        raise TypeError("a dialect makes its own mark")


class RetoldOpenAI(Retold):
    """Chunks follow each other: the mark is one of them, and the role is not said twice."""

    def _fitted(self, events: bytes) -> bytes:
        if b'"tool_calls"' in events or b'"function_call"' in events:
            self.may_restart = False
        if self._before is None or b'"role"' not in events:
            return events
        return b"".join([_without_role(event) for event in _split(events)])

    def _marked(self, before: Retold, broken: str, served: str) -> bytes:
        chunk = {
            "id": "chatcmpl-restart",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": served,
            "choices": [{"index": 0, "delta": {"content": MARK}, "finish_reason": None}],
            "atp": _facts(broken, served),
        }
        return b"data: " + _encode(chunk) + b"\n\n"


class RetoldAnthropic(Retold):
    """One message whose blocks go on being numbered: the mark is a block, the second start is left out."""

    _first = 0
    """Number of this answer's first block."""
    _next = 0
    """Number of the next block that begins."""
    _open = -1
    """Block that is open, -1 when none is."""

    def _fitted(self, events: bytes) -> bytes:
        if self._before is None and b"content_block_st" not in events:
            return events
        told = [self._event(event) for event in _split(events)]
        return events if self._before is None else b"".join(told)

    def _event(self, event: bytes) -> bytes:
        fields = _fields_of(event)
        kind = fields.get("type")
        if kind == "message_start":
            return b""
        number = fields.get("index")
        if not isinstance(number, int):
            return event
        number = fields["index"] = number + self._first
        if kind == "content_block_start":
            self._open, self._next = number, number + 1
            block = fields.get("content_block")
            if not isinstance(block, dict) or block.get("type") not in ("text", "thinking"):
                self.may_restart = False
        elif kind == "content_block_stop":
            self._open = -1
        return _anthropic(fields)

    def _marked(self, before: Retold, broken: str, served: str) -> bytes:
        if not isinstance(before, RetoldAnthropic):
            raise TypeError("an answer keeps its dialect")
        number = before._next
        self._first = self._next = number + 1
        events: list[dict[str, Any]] = []
        if before._open >= 0:
            events.append({"type": "content_block_stop", "index": before._open})
        events.append({"type": "atp_restart", **_facts(broken, served)})
        block = {"type": "text", "text": ""}
        events.append({"type": "content_block_start", "index": number, "content_block": block})
        delta = {"type": "text_delta", "text": MARK}
        events.append({"type": "content_block_delta", "index": number, "delta": delta})
        events.append({"type": "content_block_stop", "index": number})
        return b"".join([_anthropic(fields) for fields in events])


_KINDS: dict[Dialect, type[Retold]] = {Dialect.OPENAI_CHAT: RetoldOpenAI, Dialect.ANTHROPIC: RetoldAnthropic}


def can_retell(dialect: Dialect) -> bool:
    """True for the client dialects whose streams can hold a second answer."""
    return dialect in _KINDS


def retold(dialect: Dialect, tap: StreamTap, before: Retold | None, broken: str, served: str) -> Retold:
    """The tap of one attempt, `before` the broken one if the client has seen content already."""
    return _KINDS[dialect](tap, before, broken, served)


def _facts(broken: str, served: str) -> dict[str, object]:
    return {"restarted": True, "broken": broken, "deployment": served}


def _split(events: bytes) -> list[bytes]:
    """Whole events, each with its blank line."""
    return [event + b"\n\n" for event in events.replace(b"\r\n", b"\n").split(b"\n\n") if event]


def _fields_of(event: bytes) -> dict[str, Any]:
    """The JSON object of an event, empty when it holds none."""
    data = b"\n".join([line[5:] for line in event.split(b"\n") if line.startswith(b"data:")])
    try:
        fields = _decode(data)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _without_role(event: bytes) -> bytes:
    fields = _fields_of(event)
    choices = fields.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict):
            delta.pop("role", None)
    return b"data: " + _encode(fields) + b"\n\n" if fields else event


def _anthropic(fields: dict[str, Any]) -> bytes:
    return b"event: " + str(fields["type"]).encode() + b"\ndata: " + _encode(fields) + b"\n\n"
