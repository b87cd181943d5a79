"""Tool calls put together again from their fragments, for dialects that know only whole ones."""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.dialects import ir, json_text

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class WholeCalls:
    """The calls of one stream that have begun and were not taken yet; fragments may come mixed."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[int, tuple[str, str, list[str]]] = {}

    def begin(self, call: ir.ToolCallStarted) -> None:
        """A call starts."""
        self._begun[call.index] = (call.id, call.name, [])

    def add(self, fragment: ir.ToolCallDelta) -> None:
        """More of its arguments; one for a call that was taken already is lost with it."""
        if fragment.index in self._begun:
            self._begun[fragment.index][2].append(fragment.arguments)

    def take(self) -> list[ir.ToolCall]:
        """All of them, in order; the stream says something else now."""
        calls = [ir.ToolCall(call_id, name, "".join(pieces)) for call_id, name, pieces in self._begun.values()]
        self._begun.clear()
        return calls


def arguments_object(text: str) -> tuple[msgspec.Raw | dict[str, Any], bool]:
    """A call's arguments as an object, and whether they were one.

    A model's broken JSON is carried as text, so that one bad call does not end the conversation.
    """
    encoded = text.strip().encode("utf-8", "replace") or b"{}"
    try:
        json_text.decode(_OBJECT, encoded)
    except ValueError:
        return {"invalid_json": text}, False
    return msgspec.Raw(json_text.without_lone_surrogates(encoded)), True
