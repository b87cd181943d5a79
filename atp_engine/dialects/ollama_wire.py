"""The shapes of Ollama's chat answers, whole and streamed, as far as anybody reads them.

Shared by the pass-through tap and the codec. Wire facts: docs.ollama.com/api and the types of the
vendor's SDK ollama 0.6.3, November 2026. A stream is one JSON object a line; the line with `done: true`
ends it and alone holds the counts. Thinking counts into `eval_count`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.counts import Number, count
from atp_engine.dialects.faults import fault_from_event

NULL = msgspec.Raw(b"null")


class Function(msgspec.Struct, gc=False):
    """The called function; arguments are an object, text in some builds."""

    name: str | None = None
    arguments: msgspec.Raw = NULL


class Call(msgspec.Struct, gc=False):
    """A tool call; always whole. Older servers give no id."""

    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct, gc=False):
    """What the model says, or more of it."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Answer(msgspec.Struct, gc=False):
    """A chat answer or one line of it."""

    model: str | None = None
    created_at: str | None = None
    message: Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: Number = 0
    eval_count: Number = 0
    logprobs: list[msgspec.Raw] | None = None
    error: msgspec.Raw = NULL


_ANSWER = msgspec.json.Decoder(Answer)
_STRING = msgspec.json.Decoder(str)


def decode_answer(payload: bytes) -> Answer:
    """An answer or line. Raises ValueError for anything that is not one."""
    return json_text.decode(_ANSWER, payload)


def decode_reply(body: bytes) -> tuple[Answer, Message]:
    """A whole answer and its message.

    Raises BadUpstreamReply when it is not one, or the classified error of a 200 that holds one.
    """
    try:
        answer = decode_answer(body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not one of Ollama's.") from None
    if has_error(answer):
        raise fault_from_event(Dialect.OLLAMA, body)
    if answer.message is None:
        raise BadUpstreamReply("The provider's answer holds no message.")
    return answer, answer.message


def has_error(answer: Answer) -> bool:
    """True when the answer carries an error."""
    return answer.error is not NULL and bytes(answer.error) not in (b"null", b'""')


def usage_of(answer: Answer) -> TokenUsage | None:
    """The usage in our terms; None when it is missing or all zero. What a cached prompt saves is not told."""
    prompt, output = count(answer.prompt_eval_count), count(answer.eval_count)
    return TokenUsage(prompt, output) if prompt or output else None


def usage_fields(usage: TokenUsage) -> dict[str, int]:
    """The usage in Ollama's terms."""
    return {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.output_tokens}


def arguments_of(function: Function) -> str:
    """The arguments as JSON text."""
    raw = bytes(function.arguments)
    if raw == b"null":
        return "{}"
    return _STRING.decode(raw) if raw.startswith(b'"') else raw.decode()


def message_chars(message: Message) -> int:
    """Characters of everything a message says."""
    chars = len(message.content or "") + len(message.thinking or "")
    for call in message.tool_calls or ():
        if call.function is not None:
            chars += len(call.function.name or "") + len(bytes(call.function.arguments))
    return chars


def created_text(created: int) -> str:
    """`created_at` of UTC epoch seconds."""
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def created_of(text: str | None) -> int:
    """UTC epoch seconds of a `created_at`, 0 when it is none; its nanoseconds are cut."""
    try:
        return int(datetime.fromisoformat((text or "")[:19] + "+00:00").timestamp()) if text else 0
    except ValueError:
        return 0


def head_of(model: str, created: int) -> dict[str, Any]:
    """The members that every answer and line begins with."""
    return {"model": model, "created_at": created_text(created)}
