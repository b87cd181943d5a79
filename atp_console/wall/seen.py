"""What a caller saw of one call, read strictly: every departure from the dialect is a flaw.

`caller` feeds bytes from the socket, `judge` draws conclusions. Rules as of November 2026: OpenAI's chat
chunks end with `[DONE]`, Anthropic's events come in the order of its state machine, an error is an
object with a type and a message, and nothing follows a terminal event.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_KEPT_BYTES = 262_144
_LINE = re.compile(rb"\r\n|\n|\r")
_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


@dataclass(frozen=True, slots=True)
class ToldError:
    """An error as the caller got it."""

    type: str
    code: str
    message: str
    is_in_stream: bool


@dataclass(slots=True)
class Seen:
    """One call from outside. Seconds count from its start."""

    dialect: str
    is_stream: bool
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""
    text: str = ""
    has_tool_call: bool = False
    finish: str = ""
    has_terminal: bool = False
    model: str = ""
    usage: tuple[int, int] | None = None
    """Prompt and output tokens."""
    error: ToldError | None = None
    flaws: list[str] = field(default_factory=list)
    head_s: float | None = None
    first_s: float | None = None
    """First content."""
    end_s: float = 0.0
    end: str = ""
    """whole, cut (the connection broke), hung (no end in time), left (we went away) or unreachable."""
    kept: bytearray = field(default_factory=bytearray)
    """Head and body for the search for leaks, at most 256 KiB."""

    @property
    def outcome(self) -> str:
        """answer, error, broken (a stream that ended in an error), left, or what went wrong with it."""
        if self.end != "whole":
            return self.end
        if self.error is not None:
            return "broken" if self.error.is_in_stream else "error"
        if self.status == 200 and self.finish and (self.has_terminal or not self.is_stream):
            return "answer"
        return "unfinished" if self.status == 200 else "bare status"

    def keep(self, data: bytes) -> None:
        """Remembers bytes for the search for leaks."""
        room = _KEPT_BYTES - len(self.kept)
        if room > 0:
            self.kept += data[:room]

    def flaw(self, text: str) -> None:
        """Notes a departure from the dialect, the first ten."""
        if len(self.flaws) < 10:
            self.flaws.append(text)


class Events:
    """Splits a stream into events and hands their names and data to a reading."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._rest = b""
        self._has_begun = False
        self._reading = MessagesReading(seen) if seen.dialect == "messages" else ChatReading(seen)

    def feed(self, data: bytes) -> None:
        """Takes more of the body; a byte order mark may stand at its beginning."""
        if not self._has_begun:
            self._has_begun = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        text = self._rest + data
        *whole, self._rest = _BOUNDARY.split(text) if b"\r" in text else text.split(b"\n\n")
        for event in whole:
            self._take(event)

    def finish(self) -> None:
        """The body has ended."""
        if self._rest.strip():
            self._seen.flaw(f"the stream ends inside an event: {self._rest[-80:]!r}")

    def _take(self, event: bytes) -> None:
        name, data = "", []
        for line in _LINE.split(event):
            label, _, value = line.partition(b":")
            if label == b"event":
                name = value.strip().decode("latin-1")
            elif label == b"data":
                data.append(value.removeprefix(b" "))
            elif label and label not in (b"id", b"retry"):
                self._seen.flaw(f"a line that is no event field: {line[:80]!r}")
        if data:
            self._reading.take(name, b"\n".join(data))


class ChatReading:
    """OpenAI chat chunks."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def take(self, name: str, payload: bytes) -> None:
        """One event."""
        seen = self._seen
        if seen.has_terminal or seen.error is not None:
            seen.flaw("an event after the end")
        if payload == b"[DONE]":
            seen.has_terminal = True
            return
        body = parsed(payload)
        if body is None:
            seen.flaw(f"an event that is not JSON: {payload[:80]!r}")
        elif "error" in body:
            take_error(seen, body, is_in_stream=True)
        elif body.get("object") != "chat.completion.chunk" or not isinstance(body.get("choices"), list):
            seen.flaw(f"an event that is no chunk: {payload[:80]!r}")
        else:
            self._chunk(body)

    def _chunk(self, body: dict[str, Any]) -> None:
        seen = self._seen
        seen.model = seen.model or str(body.get("model", ""))
        usage = body.get("usage")
        if isinstance(usage, dict):
            seen.usage = (usage.get("prompt_tokens", -1), usage.get("completion_tokens", -1))
        for choice in body["choices"]:
            delta = choice.get("delta") or {}
            seen.text += delta.get("content") or ""
            seen.has_tool_call = seen.has_tool_call or bool(delta.get("tool_calls"))
            seen.finish = choice.get("finish_reason") or seen.finish


class MessagesReading:
    """Anthropic's events."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._has_started = False
        self._open: int | None = None
        self._blocks = 0

    def take(self, name: str, payload: bytes) -> None:
        """One event."""
        seen = self._seen
        if seen.has_terminal or seen.error is not None:
            seen.flaw("an event after the end")
        body = parsed(payload)
        if body is None:
            seen.flaw(f"an event that is not JSON: {payload[:80]!r}")
            return
        kind = str(body.get("type", ""))
        if kind != name:
            seen.flaw(f"an event named {name!r} of type {kind!r}")
        if kind == "error":
            take_error(seen, body, is_in_stream=True)
        elif kind == "message_start":
            self._start(body)
        elif kind != "ping":
            if not self._has_started:
                seen.flaw(f"{kind} before message_start")
            self._within(kind, body)

    def _start(self, body: dict[str, Any]) -> None:
        seen = self._seen
        if self._has_started:
            seen.flaw("a second message_start")
        self._has_started = True
        message = body.get("message") or {}
        seen.model = str(message.get("model", ""))
        self._usage(message.get("usage") or {})

    def _within(self, kind: str, body: dict[str, Any]) -> None:
        seen = self._seen
        if kind == "content_block_start":
            if self._open is not None or body.get("index") != self._blocks:
                seen.flaw(f"content block {body.get('index')} opens out of order")
            self._open, self._blocks = self._blocks, self._blocks + 1
            seen.has_tool_call = seen.has_tool_call or (body.get("content_block") or {}).get("type") == "tool_use"
        elif kind == "content_block_delta":
            if self._open is None or body.get("index") != self._open:
                seen.flaw(f"a delta of content block {body.get('index')}, which is not open")
            seen.text += (body.get("delta") or {}).get("text") or ""
        elif kind == "content_block_stop":
            if self._open is None or body.get("index") != self._open:
                seen.flaw(f"content block {body.get('index')} closes but is not open")
            self._open = None
        elif kind == "message_delta":
            seen.finish = (body.get("delta") or {}).get("stop_reason") or seen.finish
            self._usage(body.get("usage") or {})
        elif kind == "message_stop":
            seen.has_terminal = True
            if self._open is not None:
                seen.flaw("message_stop with an open content block")

    def _usage(self, usage: dict[str, Any]) -> None:
        before = self._seen.usage or (0, 0)
        self._seen.usage = (usage.get("input_tokens") or before[0], usage.get("output_tokens") or before[1])


def take_whole(seen: Seen, body: bytes) -> None:
    """Reads an answer that was not streamed, or an error answer."""
    answer = parsed(body)
    kind = seen.headers.get("content-type", "")
    if not kind.startswith("application/json"):
        seen.flaw(f"status {seen.status} with content type {kind!r}")
    if answer is None:
        seen.flaw(f"a body that is no JSON object: {body[:80]!r}")
    elif seen.status != 200:
        take_error(seen, answer, is_in_stream=False)
    elif "error" in answer:
        seen.flaw("an error in an answer with status 200")
        take_error(seen, answer, is_in_stream=False)
    elif seen.dialect == "messages":
        _whole_message(seen, answer)
    else:
        _whole_completion(seen, answer)


def take_error(seen: Seen, body: dict[str, Any], *, is_in_stream: bool) -> None:
    """Reads an error object; its shape must be the dialect's."""
    told = body.get("error")
    if not isinstance(told, dict):
        seen.flaw("an error that is no object")
        told = {"message": told} if isinstance(told, str) else {}
    if seen.dialect == "messages" and body.get("type") != "error":
        seen.flaw("an error body without type error")
    message, kind, code = told.get("message"), told.get("type"), told.get("code")
    if not (isinstance(message, str) and message):
        seen.flaw("an error without a message")
    if not (isinstance(kind, str) and kind):
        seen.flaw("an error without a type")
    seen.error = ToldError(str(kind or ""), str(code or ""), str(message or ""), is_in_stream)


def _whole_completion(seen: Seen, answer: dict[str, Any]) -> None:
    try:
        choice = answer["choices"][0]
        seen.text, seen.finish = choice["message"]["content"], choice["finish_reason"]
        usage = answer["usage"]
        seen.usage = (usage["prompt_tokens"], usage["completion_tokens"])
        seen.model = answer["model"]
    except (KeyError, IndexError, TypeError) as error:
        seen.flaw(f"a completion without its parts ({type(error).__name__}: {error})")
    if answer.get("object") != "chat.completion":
        seen.flaw("a completion of another kind")


def _whole_message(seen: Seen, answer: dict[str, Any]) -> None:
    try:
        seen.text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
        seen.finish, seen.model = answer["stop_reason"], answer["model"]
        usage = answer["usage"]
        seen.usage = (usage["input_tokens"], usage["output_tokens"])
    except (KeyError, TypeError) as error:
        seen.flaw(f"a message without its parts ({type(error).__name__}: {error})")
    if answer.get("type") != "message" or answer.get("role") != "assistant":
        seen.flaw("a message of another kind")


def parsed(payload: bytes) -> dict[str, Any] | None:
    """A JSON object, None when it is none."""
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
