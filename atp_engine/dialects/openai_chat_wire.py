"""The shapes of OpenAI chat answers, whole and streamed, as far as anybody reads them.

Shared by the pass-through tap and the codec. Compatible vendors differ: reasoning comes as
`reasoning_content` or `reasoning`, content as text or as a list of parts, arguments as text or as an
object, numbers as null; all of that is read, any other shape is a bad reply.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.counts import Number, count, tier_of
from atp_engine.dialects.faults import fault_from_event

NULL = msgspec.Raw(b"null")


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of `prompt_tokens`."""

    cached_tokens: Number = 0
    cache_write_tokens: Number = 0


class CompletionDetails(msgspec.Struct, gc=False):
    """Parts of `completion_tokens`."""

    reasoning_tokens: Number = 0


class Usage(msgspec.Struct, gc=False):
    """`usage` of an answer; DeepSeek has its cache hits beside the counts."""

    prompt_tokens: Number = 0
    completion_tokens: Number = 0
    total_tokens: Number = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Number = 0


class Function(msgspec.Struct, gc=False):
    """The called function, or a fragment of it."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Call(msgspec.Struct, gc=False):
    """A tool call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct, gc=False):
    """A message or a delta."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    audio: msgspec.Raw = NULL


class Choice(msgspec.Struct, gc=False):
    """One candidate: `message` in whole answers, `delta` in chunks."""

    index: int | None = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A completion or one chunk of it."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NULL
    id: str | None = None
    created: Number = 0
    service_tier: str | None = None


ANSWER = msgspec.json.Decoder(Answer)
"""For text that is known to be UTF-8; `decode_answer` is for any."""


def decode_answer(payload: bytes) -> Answer:
    """A completion or chunk. Raises ValueError for anything that is not one."""
    return json_text.decode(ANSWER, payload)


def decode_reply(body: bytes) -> tuple[Answer, Choice, Message]:
    """A whole answer, its first choice and the message in it.

    Raises BadUpstreamReply when there is none, or the classified error of a 200 that holds one.
    """
    try:
        answer = ANSWER.decode(body) if body.isascii() else decode_answer(body)
    except (ValueError, RecursionError):
        answer = _decode_odd(body)
    if answer.error is not NULL and has_error(answer):
        raise fault_from_event(Dialect.OPENAI_CHAT, body)
    choice = answer.choices[0] if answer.choices else None
    if choice is None or choice.message is None:
        raise BadUpstreamReply("The provider's answer holds no message.")
    return answer, choice, choice.message


def _decode_odd(body: bytes) -> Answer:
    """The second, careful reading of an answer; raises BadUpstreamReply when that fails too."""
    try:
        return decode_answer(body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not a chat completion.") from None


def has_error(answer: Answer) -> bool:
    """True when the answer carries an error object."""
    return answer.error is not NULL and bytes(answer.error) not in (b"null", b"{}", b'""')


def usage_of(usage: Usage | None, tier: str | None = None) -> TokenUsage | None:
    """The usage in our terms, at the tier that the answer names; None when it is missing or all zero, for an answer
    costs something.

    OpenAI counts cached tokens inside `prompt_tokens` and reasoning inside `completion_tokens`. xAI
    and Google leave reasoning out of `completion_tokens`, which their total gives away (2026-11).
    """
    if usage is None:
        return None
    prompt, output = count(usage.prompt_tokens), count(usage.completion_tokens)
    if not prompt and not output:
        return None
    cached = written = reasoning = 0
    if usage.prompt_cache_hit_tokens:
        cached = count(usage.prompt_cache_hit_tokens)
    prompt_details, details = usage.prompt_tokens_details, usage.completion_tokens_details
    if prompt_details is not None:
        if prompt_details.cached_tokens:
            cached = count(prompt_details.cached_tokens)
        if prompt_details.cache_write_tokens:
            written = count(prompt_details.cache_write_tokens)
    if details is not None and details.reasoning_tokens:
        reasoning = count(details.reasoning_tokens)
        if count(usage.total_tokens) == prompt + output + reasoning:
            output += reasoning
        reasoning = min(reasoning, output)
    if cached or written:
        cached = min(cached, prompt)
        written = min(written, prompt - cached)
    return TokenUsage(prompt - cached - written, output, cached, written, reasoning, tier=tier_of(tier) if tier else "")


def usage_fields(usage: TokenUsage) -> dict[str, Any]:
    """The usage in OpenAI's terms, the reverse of `usage_of`."""
    prompt = usage.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def content_chars(message: Message, text: str) -> int:
    """Characters of everything a message or delta says, `text` being the text of its content."""
    chars = len(text)
    if message.refusal:
        chars += len(message.refusal)
    if thought := message.reasoning_content or message.reasoning:
        chars += len(thought)
    if message.tool_calls or message.function_call is not None:
        functions = [call.function for call in message.tool_calls or ()]
        for function in (*functions, message.function_call):
            if function is not None:
                chars += len(function.name or "") + len(arguments_of(function))
    return chars


def text_of(content: str | list[Any] | None) -> str:
    """The text of a content; of a list of parts those with text (Mistral's reasoning models)."""
    if content is None or type(content) is str:
        return content or ""
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def arguments_of(function: Function) -> str:
    """The arguments as JSON text."""
    if isinstance(function.arguments, dict):
        return msgspec.json.encode(function.arguments).decode()
    return function.arguments or ""
