"""The legacy completions dialect as clients speak it: read into `ir`, answered from `ir`.

Only a client's half of a codec: a vendor that has `/completions` gets the call as it is (see
`openai_completions_wire`), any other one a chat of one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import UnsupportedFeature
from atp_engine.core.types import TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.codec import StreamEncoder
from atp_engine.dialects.fields import BOOL, COUNT, FLOAT, INT, RAW, STR, STR_OR_STRINGS, Fields
from atp_engine.dialects.openai_chat_answers import FINISH, ending
from atp_engine.dialects.openai_chat_wire import usage_fields
from atp_engine.dialects.reading import NULL
from atp_engine.dialects.sse import frame

PATHS: Mapping[str, str] = MappingProxyType({"max_output_tokens": "max_tokens"})
UNTOLD: tuple[str, ...] = ("citations", "logprobs")
__all__ = ["FINISH", "PATHS", "UNTOLD", "decode_request", "encode_reply", "stream_encoder"]
_DEFAULT_MAX_TOKENS = 16
"""The dialect's own default, which vendors of other dialects do not share."""
_ID_LEAD = "cmpl-"


def decode_request(body: bytes) -> ir.ChatRequest:
    """The request as `ir`: the prompt is what the user says. Raises InvalidRequest naming the field,
    UnsupportedFeature for several prompts, tokens and text to fill in."""
    top = Fields.of_body(body)
    model = top.need("model", STR)
    prompt = _prompt(top)
    if top.take("suffix", STR):
        raise UnsupportedFeature("`suffix`: cannot be carried to the chosen deployment.", param="suffix")
    options = top.child("stream_options")
    stop = top.take("stop", STR_OR_STRINGS)
    limit = top.take("max_tokens", COUNT)
    for name in ("n", "best_of"):
        if (top.take(name, COUNT) or 1) > 1:
            top.dropped.add(name)
    request = ir.ChatRequest(
        model=model,
        messages=(ir.Message(ir.Role.USER, (ir.Text(prompt),)),),
        is_stream=top.take("stream", BOOL) or False,
        wants_usage=(options.take("include_usage", BOOL) if options else None) or False,
        max_output_tokens=_DEFAULT_MAX_TOKENS if limit is None else limit,
        temperature=top.take("temperature", FLOAT),
        top_p=top.take("top_p", FLOAT),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        seed=top.take("seed", INT),
        frequency_penalty=top.take("frequency_penalty", FLOAT),
        presence_penalty=top.take("presence_penalty", FLOAT),
        user=top.take("user", STR) or "",
    )
    if options:
        options.close()
    top.close()
    return msgspec.structs.replace(request, dropped_fields=top.dropped.paths())


def _prompt(top: Fields) -> str:
    raw = top.need("prompt", RAW)
    if raw == NULL:
        raise top.wrong("prompt", "is required")
    value = msgspec.json.decode(raw)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, str):
        if not value:
            raise top.wrong("prompt", "must not be empty")
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        raise UnsupportedFeature(
            "`prompt`: several prompts cannot be carried to the chosen deployment.", param="prompt"
        )
    if isinstance(value, list) and value:
        raise UnsupportedFeature("`prompt`: tokens cannot be carried to the chosen deployment.", param="prompt")
    raise top.wrong("prompt", "must be a string or a list of strings or tokens")


def _text_of(result: ir.ChatResult) -> str:
    return "".join(part.text for part in result.parts if isinstance(part, ir.Text | ir.Refusal))


def encode_reply(result: ir.ChatResult) -> bytes:
    """The answer as a text completion with one choice; thinking has no place in it."""
    choice = {"text": _text_of(result), "index": 0, "logprobs": None, "finish_reason": _finish(result.finish_reason)}
    body = {**_head(result.id, result.created, result.model), "choices": [choice]}
    if result.usage is not None:
        body["usage"] = usage_fields(result.usage)
    return msgspec.json.encode(body)


def _head(id: str, created: int, model: str) -> dict[str, Any]:
    answer_id = id if id.startswith(_ID_LEAD) else _ID_LEAD + id
    return {"id": answer_id, "object": "text_completion", "created": created, "model": model}


def _finish(reason: ir.FinishReason) -> str:
    word = FINISH[reason]
    return word if word in ("length", "content_filter") else "stop"


def stream_encoder(*, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of chunks; `wants_usage` adds the chunk without choices before `[DONE]`."""
    return _Encoder(wants_usage)


class _Encoder:
    __slots__ = ("_head", "_usage", "_wants_usage")

    def __init__(self, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._usage: TokenUsage | None = None
        self._head: dict[str, Any] = {}

    def encode(self, event: ir.StreamEvent) -> bytes:
        """See `StreamEncoder.encode`."""
        match event:
            case ir.TextDelta(text) | ir.RefusalDelta(text):
                return self._chunk(text, None)
            case ir.Started(id, model, created):
                self._head = _head(id, created, model)
            case ir.Stopped(reason):
                return self._chunk("", _finish(reason))
            case ir.UsageReported(usage):
                self._usage = usage
            case ir.Ended():
                return ending(self._head, self._usage if self._wants_usage else None)
        return b""

    def _chunk(self, text: str, finish_reason: str | None) -> bytes:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
        return frame(msgspec.json.encode({**self._head, "choices": [choice]}))
