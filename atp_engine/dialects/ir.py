"""A chat call, its answer and its stream, free of any vendor's shape.

Codecs decode a dialect into these values and encode them into another one; the simulated provider
writes its answers as them. Nothing in here is checked twice: a decoder has already refused what is
malformed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from atp_engine.core.types import TokenUsage


class Role(StrEnum):
    """Who speaks. Tool results are parts of a user's message; `developer` counts as system."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT_FULL = "context_full"
    """The model's context window was used up before `max_output_tokens`."""
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    """The vendor paused a long turn; the client sends it back to go on."""


class Citation(msgspec.Struct, frozen=True):
    """A page on the web that a text builds upon."""

    url: str
    title: str = ""
    quote: str = ""
    """The words of the page, where the vendor tells them."""
    start: int = 0
    """Characters of the answer's text where what builds upon it begins and ends; 0 and 0 when unknown."""
    end: int = 0


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Plain text, in answers maybe with more about it."""

    text: str
    logprobs: tuple[msgspec.Raw, ...] = ()
    """Per token an object with `token`, `logprob`, `bytes` and `top_logprobs`."""
    citations: tuple[Citation, ...] = ()


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A picture: `base64` with its `media_type`, or a `url` that the vendor fetches."""

    media_type: str = ""
    base64: str = ""
    url: str = ""


class Document(msgspec.Struct, frozen=True, tag="document"):
    """A file to read, such as a PDF: `base64` with its `media_type`, or a `url` that the vendor fetches."""

    media_type: str = ""
    base64: str = ""
    url: str = ""
    name: str = ""
    """File name or title, for people and models."""


class Reasoning(msgspec.Struct, frozen=True, tag="reasoning"):
    """The model's thinking. `signature` is the vendor's seal (see `seals`); when `is_redacted` it is all
    there is."""

    text: str
    signature: str = ""
    is_redacted: bool = False


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The model's own words for why it does not answer."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """The model asks for a tool. `arguments` is JSON text as the model wrote it, maybe broken."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What the tool gave back for the call `call_id`."""

    call_id: str
    parts: tuple[Text | Image | Document, ...]
    is_error: bool = False


Part = Text | Image | Document | Reasoning | Refusal | ToolCall | ToolResult


class Message(msgspec.Struct, frozen=True):
    """One turn."""

    role: Role
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call; `parameters` is its JSON schema, kept as the client's bytes."""

    name: str
    description: str
    parameters: msgspec.Raw
    is_strict: bool = False


class ToolChoice(msgspec.Struct, frozen=True):
    """`mode` is auto, none, required or named; `name` goes with named."""

    mode: str
    name: str = ""


class JsonFormat(msgspec.Struct, frozen=True):
    """The answer must be JSON; of a schema when `schema` is not empty."""

    schema: msgspec.Raw = msgspec.Raw(b"")
    name: str = ""
    is_strict: bool = False


class Thinking(msgspec.Struct, frozen=True):
    """How much the model may think: an `effort` word, a token budget, or not at all."""

    effort: str = ""
    """none, minimal, low, medium, high, xhigh, max; empty when unsaid."""
    budget_tokens: int = 0
    is_enabled: bool = True


class ChatRequest(msgspec.Struct, frozen=True):
    """One call. None or 0 means that the client did not say."""

    model: str
    messages: tuple[Message, ...]
    is_stream: bool = False
    wants_usage: bool = False
    """The client asked for usage in the stream (dialects that always send it: True)."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    has_parallel_calls: bool | None = None
    max_output_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    candidates: int = 1
    json_format: JsonFormat | None = None
    thinking: Thinking | None = None
    user: str = ""
    """The client's name for its end user, opaque."""
    service_tier: str = ""
    """auto, standard, flex, priority or a vendor's own word; empty when unsaid."""
    verbosity: str = ""
    """low, medium or high; empty when unsaid."""
    logprobs: int | None = None
    """Probabilities of the tokens are wanted, of so many alternatives each."""
    shared: dict[str, msgspec.Raw] = {}
    """Fields that OpenAI's dialects share by name, see `openai_knobs`."""
    dropped_fields: tuple[str, ...] = ()
    """Paths in the client's body that these values cannot hold, without indexes: `messages[].name`."""


class ChatResult(msgspec.Struct, frozen=True):
    """A whole answer. `usage` is None when the vendor did not report it."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish_reason: FinishReason
    usage: TokenUsage | None
    created: int = 0
    """UTC epoch seconds, 0 where the vendor does not tell."""
    stop_sequence: str = ""
    dropped_fields: tuple[str, ...] = ()
    """Parts of the vendor's answer that these values cannot hold."""
    echo: dict[str, msgspec.Raw] = {}
    """Fields of the request that the client's dialect repeats in its answer."""


class Started(msgspec.Struct, frozen=True):
    """First event of a stream. `usage` holds what is known of the prompt already, if anything."""

    id: str
    model: str
    created: int = 0
    usage: TokenUsage | None = None
    echo: dict[str, msgspec.Raw] = {}
    """As in `ChatResult`."""


class TextDelta(msgspec.Struct, frozen=True):
    """More text."""

    text: str
    logprobs: tuple[msgspec.Raw, ...] = ()
    """As in `Text`."""


class Cited(msgspec.Struct, frozen=True):
    """A page that the text so far builds upon."""

    citation: Citation


class ReasoningDelta(msgspec.Struct, frozen=True):
    """More thinking, or the seal that closes it."""

    text: str = ""
    signature: str = ""
    is_redacted: bool = False


class RefusalDelta(msgspec.Struct, frozen=True):
    """More of a refusal."""

    text: str


class ToolCallStarted(msgspec.Struct, frozen=True):
    """A tool call begins; `index` counts the answer's calls from 0."""

    index: int
    id: str
    name: str


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A fragment of the arguments' JSON text of call `index`."""

    index: int
    arguments: str


class Stopped(msgspec.Struct, frozen=True):
    """The model is done; usage may still follow."""

    reason: FinishReason
    stop_sequence: str = ""


class UsageReported(msgspec.Struct, frozen=True):
    """The whole call's usage so far; a later one replaces it."""

    usage: TokenUsage


class Ended(msgspec.Struct, frozen=True):
    """The terminal event: only a stream that has it is whole."""


StreamEvent = (
    Started
    | TextDelta
    | Cited
    | ReasoningDelta
    | RefusalDelta
    | ToolCallStarted
    | ToolCallDelta
    | Stopped
    | UsageReported
    | Ended
)
