"""Parts of a model's turn in Gemini's shape, for requests and answers alike.

A thought's signature stands on the part that follows it, or on an empty text at the end: there the
vendor looks for it (ai.google.dev/gemini-api/docs/thought-signatures, November 2026).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from atp_engine.dialects import ir
from atp_engine.dialects.whole_calls import arguments_object

Seal = Callable[[ir.Reasoning], str]
"""The wire's signature of a thought, empty for none."""


def model_parts(parts: Iterable[ir.Part], seal: Seal, drop: Callable[[str], None], *, has_thoughts: bool) -> list[Any]:
    """The parts of a turn; `drop` hears of what is lost, unsealed thoughts unless `has_thoughts`."""
    written: list[dict[str, Any]] = []
    signature = ""
    for part in parts:
        if isinstance(part, ir.Reasoning):
            if signature:
                written.append({"text": "", "thoughtSignature": signature})
            signature = seal(part)
            if not signature and not has_thoughts:
                drop("reasoning")
            elif part.text:
                written.append(thought_part(part.text))
            continue
        said = model_part(part, drop)
        if said is None:
            continue
        if signature:
            said["thoughtSignature"], signature = signature, ""
        written.append(said)
    if signature:
        written.append({"text": "", "thoughtSignature": signature})
    return written


def model_part(part: ir.Part, drop: Callable[[str], None]) -> dict[str, Any] | None:
    """One part of what a model said, None when it says nothing."""
    if isinstance(part, ir.Text | ir.Refusal):
        return {"text": part.text} if part.text else None
    if isinstance(part, ir.ToolCall):
        arguments, is_whole = arguments_object(part.arguments)
        if not is_whole:
            drop("arguments")
        return {"functionCall": {"id": part.id, "name": part.name, "args": arguments}}
    if isinstance(part, ir.Image) and part.base64:
        return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}
    return None


def thought_part(text: str) -> dict[str, Any]:
    """A summary of what the model thought."""
    return {"text": text, "thought": True}
