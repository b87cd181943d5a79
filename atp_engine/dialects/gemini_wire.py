"""The shapes of Gemini's answers, whole and streamed, as far as anybody reads them.

Shared by the pass-through tap and the codec. Wire facts: ai.google.dev/api/generate-content and the types
of the vendor's SDK google-genai 3.6.1, November 2026. Every chunk of a stream is a whole
`GenerateContentResponse`; usage counts up from chunk to chunk; there is no terminal event, a stream is
whole when a candidate has its `finishReason` and the body ended in an orderly way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.counts import Number, count
from atp_engine.dialects.faults import fault_from_event

NULL = msgspec.Raw(b"null")


class Usage(msgspec.Struct, gc=False, rename="camel"):
    """`usageMetadata` of an answer or a chunk."""

    prompt_token_count: Number = 0
    candidates_token_count: Number = 0
    thoughts_token_count: Number = 0
    cached_content_token_count: Number = 0
    tool_use_prompt_token_count: Number = 0


class Call(msgspec.Struct, gc=False):
    """A function call; always whole."""

    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = NULL


class Part(msgspec.Struct, gc=False, rename="camel"):
    """A part of a candidate's content."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: msgspec.Raw = NULL
    executable_code: msgspec.Raw = NULL
    code_execution_result: msgspec.Raw = NULL


class Content(msgspec.Struct, gc=False):
    """What a candidate says, or more of it."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    """One answer; `index` is left out for the first."""

    index: int | None = 0
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: msgspec.Raw = NULL
    logprobs_result: msgspec.Raw = NULL


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    """Why a prompt got no candidate."""

    block_reason: str | None = None


class Answer(msgspec.Struct, gc=False, rename="camel"):
    """A `GenerateContentResponse`."""

    candidates: list[Candidate] | None = None
    usage_metadata: Usage | None = None
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: Feedback | None = None
    error: msgspec.Raw = NULL

    @property
    def block_reason(self) -> str:
        """Why the prompt was refused, empty when it was not."""
        feedback = self.prompt_feedback
        return (feedback.block_reason or "") if feedback is not None and not self.candidates else ""


_ANSWER = msgspec.json.Decoder(Answer)


def decode_answer(payload: bytes) -> Answer:
    """An answer or chunk. Raises ValueError for anything that is not one."""
    return json_text.decode(_ANSWER, payload)


def decode_reply(body: bytes) -> Answer:
    """A whole answer with a candidate or the reason for none.

    Raises BadUpstreamReply when it is not one, or the classified error of a 200 that holds one.
    """
    try:
        answer = decode_answer(body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not one of Gemini's.") from None
    if has_error(answer):
        raise fault_from_event(Dialect.GEMINI, body)
    if not answer.candidates and not answer.block_reason:
        raise BadUpstreamReply("The provider's answer holds no candidate.")
    return answer


def has_error(answer: Answer) -> bool:
    """True when the answer carries an error object."""
    return answer.error is not NULL and bytes(answer.error) not in (b"null", b"{}")


def usage_of(usage: Usage | None) -> TokenUsage | None:
    """The usage in our terms; None when it is missing or all zero, for an answer costs something.

    `promptTokenCount` holds the cached tokens; thoughts stand beside `candidatesTokenCount`, not in it.
    """
    if usage is None:
        return None
    prompt = count(usage.prompt_token_count) + count(usage.tool_use_prompt_token_count)
    thoughts = count(usage.thoughts_token_count)
    output = count(usage.candidates_token_count) + thoughts
    if not prompt and not output:
        return None
    cached = min(count(usage.cached_content_token_count), prompt)
    return TokenUsage(prompt - cached, output, cached, 0, thoughts)


def usage_fields(usage: TokenUsage) -> dict[str, Any]:
    """The usage in Gemini's terms; what was written to a cache counts as prompt."""
    fields: dict[str, Any] = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.prompt_tokens + usage.output_tokens,
    }
    if usage.cache_read_tokens:
        fields["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        fields["thoughtsTokenCount"] = usage.reasoning_tokens
    return fields


def part_chars(part: Part) -> int:
    """Characters of what a part says."""
    chars = len(part.text or "")
    if part.function_call is not None:
        chars += len(part.function_call.name or "") + len(bytes(part.function_call.args))
    return chars


def is_content(part: Part) -> bool:
    """True when a part says anything at all."""
    if part.text or part.function_call is not None:
        return True
    return any(raw is not NULL for raw in (part.inline_data, part.executable_code, part.code_execution_result))
