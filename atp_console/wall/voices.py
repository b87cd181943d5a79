"""What a vendor says on the wire, in OpenAI's and in Anthropic's shape, as bytes.

The wall's upstream speaks with these. Every token's text names its speaker and its place
(`p1.7 ` is the seventh token of the primary's first answer), so that a caller's text proves where it
came from and whether a part is missing. Shapes as of November 2026.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

PROMPT_TOKENS = {"primary": 1101, "same": 1151, "fallback": 2202}
"""What each role says the prompt cost: a usage shows whose it is."""


@dataclass(frozen=True, slots=True)
class Grievance:
    """An error as both vendors word it: types, OpenAI's code, and the message."""

    chat_type: str
    chat_code: str | None
    messages_type: str
    message: str


GRIEVANCES = {
    "rate": Grievance("requests", "rate_limit_exceeded", "rate_limit_error", "Rate limit reached for requests."),
    "server": Grievance("server_error", None, "api_error", "The server had an error while processing the request."),
    "overloaded": Grievance("server_error", "overloaded", "overloaded_error", "Overloaded."),
    "context": Grievance(
        "invalid_request_error",
        "context_length_exceeded",
        "invalid_request_error",
        "prompt is too long: 9000 tokens > 8192 maximum context length.",
    ),
    "filter": Grievance(
        "invalid_request_error",
        "content_filter",
        "invalid_request_error",
        "Output blocked by content filtering policy: category violence.",
    ),
    "auth": Grievance("invalid_request_error", "invalid_api_key", "authentication_error", "Incorrect API key."),
    "prefill": Grievance(
        "invalid_request_error", "invalid_value", "invalid_request_error", "Assistant prefill is not supported."
    ),
    "invalid": Grievance(
        "invalid_request_error", "invalid_value", "invalid_request_error", "temperature: must be at most 2."
    ),
}


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who answers: the role, the number of its answer, and the model's name."""

    role: str
    number: int
    model: str
    block: int = 0
    """Index of the content block that is spoken in (Anthropic)."""

    def word(self, place: int) -> str:
        """The text of a token."""
        return f"{self.role[0]}{self.number}.{place} "

    def words(self, count: int, *, after: int = 0) -> str:
        """The text of `count` tokens after the first `after`."""
        return "".join(self.word(place) for place in range(after + 1, after + count + 1))


class Voice(Protocol):
    """One vendor's way to say things."""

    path: str
    """End of the URL that is spoken to."""

    def start(self, speaker: Speaker) -> bytes:
        """The events before any content."""
        ...

    def text(self, speaker: Speaker, text: str, *, is_first: bool) -> bytes:
        """An event with content; the first one of an answer may have to open a block."""
        ...

    def thought(self, speaker: Speaker, text: str) -> bytes:
        """An event with reasoning."""
        ...

    def call_part(self, speaker: Speaker, text: str, *, is_first: bool) -> bytes:
        """A piece of a tool call's arguments."""
        ...

    def stop(self, speaker: Speaker, tokens: int, *, with_usage: bool = True) -> bytes:
        """The finish reason, with the usage."""
        ...

    def done(self) -> bytes:
        """The terminal event."""
        ...

    def ping(self) -> bytes:
        """A sign of life without content."""
        ...

    def malformed(self) -> bytes:
        """A content event whose JSON is broken."""
        ...

    def complaint(self, grievance: Grievance, addition: str) -> bytes:
        """An error event inside a stream."""
        ...

    def refusal(self, grievance: Grievance, addition: str) -> bytes:
        """The body of an error answer."""
        ...

    def whole(self, speaker: Speaker, tokens: int) -> bytes:
        """A whole answer, not streamed."""
        ...


def _event(body: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()


class ChatVoice:
    """OpenAI chat completions."""

    path = "/chat/completions"

    def start(self, speaker: Speaker) -> bytes:
        """The role chunk."""
        return self._chunk(speaker, {"role": "assistant", "content": ""})

    def text(self, speaker: Speaker, text: str, *, is_first: bool) -> bytes:
        """A content chunk."""
        return self._chunk(speaker, {"content": text})

    def thought(self, speaker: Speaker, text: str) -> bytes:
        """A chunk of reasoning, as compatible vendors send it."""
        return self._chunk(speaker, {"reasoning_content": text})

    def call_part(self, speaker: Speaker, text: str, *, is_first: bool) -> bytes:
        """A chunk of a tool call."""
        part: dict[str, Any] = {"index": 0, "function": {"arguments": text}}
        if is_first:
            part |= {"id": "call_1", "type": "function"}
            part["function"]["name"] = "look_up"
        return self._chunk(speaker, {"tool_calls": [part]})

    def stop(self, speaker: Speaker, tokens: int, *, with_usage: bool = True) -> bytes:
        """The finish reason, then the usage chunk."""
        events = self._chunk(speaker, {}, finish_reason="stop")
        if not with_usage:
            return events
        return events + _event(
            self._envelope(speaker, "chat.completion.chunk", []) | {"usage": _usage(speaker, tokens)}
        )

    def done(self) -> bytes:
        """`[DONE]`."""
        return b"data: [DONE]\n\n"

    def ping(self) -> bytes:
        """A comment, as OpenRouter sends it."""
        return b": PROCESSING\n\n"

    def malformed(self) -> bytes:
        """A chunk cut in the middle, with its blank line."""
        return b'data: {"id":"chatcmpl-wall","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"cont\n\n'

    def complaint(self, grievance: Grievance, addition: str) -> bytes:
        """An error object in a data event."""
        return b"data: " + self.refusal(grievance, addition) + b"\n\n"

    def refusal(self, grievance: Grievance, addition: str) -> bytes:
        """`{"error": {...}}`."""
        told = {
            "message": grievance.message + addition,
            "type": grievance.chat_type,
            "param": None,
            "code": grievance.chat_code,
        }
        return json.dumps({"error": told}).encode()

    def whole(self, speaker: Speaker, tokens: int) -> bytes:
        """A chat completion."""
        message = {"role": "assistant", "content": speaker.words(tokens), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        answer = self._envelope(speaker, "chat.completion", [choice]) | {"usage": _usage(speaker, tokens)}
        return json.dumps(answer).encode()

    def _chunk(self, speaker: Speaker, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event(self._envelope(speaker, "chat.completion.chunk", [choice]))

    def _envelope(self, speaker: Speaker, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-wall",
            "object": kind,
            "created": 1_790_000_000,
            "model": speaker.model,
            "choices": choices,
        }


def _usage(speaker: Speaker, tokens: int) -> dict[str, int]:
    prompt = PROMPT_TOKENS[speaker.role]
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


class MessagesVoice:
    """Anthropic messages: thinking, when there is some, is one block; the text or the tool call after it another."""

    path = "/messages"

    def start(self, speaker: Speaker) -> bytes:
        """`message_start` and a ping; blocks open with their first piece."""
        usage = {"input_tokens": PROMPT_TOKENS[speaker.role], "output_tokens": 1}
        message = self._message(speaker, []) | {"stop_reason": None, "usage": usage}
        return _event({"type": "message_start", "message": message}, "message_start") + self.ping()

    def text(self, speaker: Speaker, text: str, *, is_first: bool) -> bytes:
        """A text delta; the first token opens its block."""
        opening = self._open(speaker, {"type": "text", "text": ""}) if is_first else b""
        return opening + self._delta(speaker, {"type": "text_delta", "text": text})

    def thought(self, speaker: Speaker, text: str) -> bytes:
        """A whole thinking block."""
        block = self._open(speaker, {"type": "thinking", "thinking": "", "signature": ""})
        return block + self._delta(speaker, {"type": "thinking_delta", "thinking": text}) + self._shut(speaker)

    def call_part(self, speaker: Speaker, text: str, *, is_first: bool) -> bytes:
        """A piece of a tool's input."""
        block = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}
        opening = self._open(speaker, block) if is_first else b""
        return opening + self._delta(speaker, {"type": "input_json_delta", "partial_json": text})

    def stop(self, speaker: Speaker, tokens: int, *, with_usage: bool = True) -> bytes:
        """The block's end and `message_delta`."""
        body: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
        body["usage"] = {"output_tokens": tokens} if with_usage else {}
        return self._shut(speaker) + _event(body, "message_delta")

    def done(self) -> bytes:
        """`message_stop`."""
        return _event({"type": "message_stop"}, "message_stop")

    def ping(self) -> bytes:
        """A ping event."""
        return _event({"type": "ping"}, "ping")

    def malformed(self) -> bytes:
        """A text delta cut in the middle, with its blank line."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_de\n\n'

    def complaint(self, grievance: Grievance, addition: str) -> bytes:
        """An `error` event."""
        return b"event: error\ndata: " + self.refusal(grievance, addition) + b"\n\n"

    def refusal(self, grievance: Grievance, addition: str) -> bytes:
        """`{"type": "error", ...}`."""
        told = {"type": grievance.messages_type, "message": grievance.message + addition}
        return json.dumps({"type": "error", "error": told, "request_id": "req_wall"}).encode()

    def whole(self, speaker: Speaker, tokens: int) -> bytes:
        """A message."""
        usage = {"input_tokens": PROMPT_TOKENS[speaker.role], "output_tokens": tokens}
        content = [{"type": "text", "text": speaker.words(tokens)}]
        return json.dumps(self._message(speaker, content) | {"stop_reason": "end_turn", "usage": usage}).encode()

    def _message(self, speaker: Speaker, content: list[Any]) -> dict[str, Any]:
        return {
            "id": "msg_wall",
            "type": "message",
            "role": "assistant",
            "model": speaker.model,
            "content": content,
            "stop_sequence": None,
        }

    def _open(self, speaker: Speaker, block: dict[str, Any]) -> bytes:
        body = {"type": "content_block_start", "index": speaker.block, "content_block": block}
        return _event(body, "content_block_start")

    def _delta(self, speaker: Speaker, delta: dict[str, Any]) -> bytes:
        return _event({"type": "content_block_delta", "index": speaker.block, "delta": delta}, "content_block_delta")

    def _shut(self, speaker: Speaker) -> bytes:
        return _event({"type": "content_block_stop", "index": speaker.block}, "content_block_stop")


VOICES: dict[str, Voice] = {"chat": ChatVoice(), "messages": MessagesVoice()}
