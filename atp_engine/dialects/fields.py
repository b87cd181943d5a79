"""A JSON object of a request, taken apart field by field; used by the codecs' request decoders.

Every field is taken once with its type; what is left at the end could not be carried and is named.
Values stay bytes until they are taken, so schemas pass through unchanged.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from atp_engine.core.errors import InvalidRequest, UnsupportedFeature
from atp_engine.core.text import safe_text
from atp_engine.dialects import json_text
from atp_engine.dialects.reading import NULL, Count, decode_body

T = TypeVar("T")

STR = msgspec.json.Decoder(str)
STRINGS = msgspec.json.Decoder(list[str])
BOOL = msgspec.json.Decoder(bool)
COUNT = msgspec.json.Decoder(Count)
INT = msgspec.json.Decoder(int)
FLOAT = msgspec.json.Decoder(float)
RAW = msgspec.json.Decoder(msgspec.Raw)
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
CONTENT: msgspec.json.Decoder[str | list[msgspec.Raw]] = msgspec.json.Decoder(str | list[msgspec.Raw])
STR_OR_STRINGS: msgspec.json.Decoder[str | list[str]] = msgspec.json.Decoder(str | list[str])
STR_OR_OBJECT: msgspec.json.Decoder[str | dict[str, msgspec.Raw]] = msgspec.json.Decoder(str | dict[str, msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

_INDEX = re.compile(r"\[\d+\]")
_NO_EFFECT = (b"null", b"false")
_MOST_NAMES = 64


class Dropped:
    """The paths that could not be carried, once each, in order; at most 64, cut and cleaned."""

    __slots__ = ("_paths",)

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}

    def add(self, path: str) -> None:
        """Adds a path; its indexes become `[]`."""
        if len(self._paths) < _MOST_NAMES:
            self._paths[safe_text(_INDEX.sub("[]", path), limit=80)] = None

    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._paths)


class Fields:
    """One object at `path` (empty for the body itself)."""

    __slots__ = ("_left", "dropped", "path")

    def __init__(self, left: dict[str, msgspec.Raw], path: str, dropped: Dropped) -> None:
        self._left = left
        self.path = path
        self.dropped = dropped

    @classmethod
    def of_body(cls, body: bytes) -> Fields:
        """The body's top level; raises InvalidRequest when it is not a JSON object."""
        return cls(decode_body(_OBJECT, body), "", Dropped())

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
        """The member's value, None when it is missing or null; raises InvalidRequest for another type."""
        raw = self._left.pop(name, None)
        if raw is None or raw == NULL:
            return None
        return _typed(decoder, raw, self.path, name)

    def need(self, name: str, decoder: msgspec.json.Decoder[T]) -> T:
        """The member's value; raises InvalidRequest when it is missing or null."""
        value = self.take(name, decoder)
        if value is None:
            raise InvalidRequest(f"`{self.at(name)}` is required.", param=self.at(name))
        return value

    def child(self, name: str) -> Fields | None:
        """The member as an object, None when missing or null."""
        inner = self.take(name, _OBJECT)
        return None if inner is None else Fields(inner, self.at(name), self.dropped)

    def children(self, name: str) -> list[Fields]:
        """The member as a list of objects, empty when missing or null."""
        return self.elements(name, self.take(name, ITEMS) or [])

    def elements(self, name: str, items: list[msgspec.Raw]) -> list[Fields]:
        """Already taken items as objects with their paths."""
        found: list[Fields] = []
        for place, raw in enumerate(items):
            path = f"{self.at(name)}[{place}]"
            found.append(Fields(_typed(_OBJECT, raw, path), path, self.dropped))
        return found

    def skip(self, *names: str) -> None:
        """Takes members that need no carrying."""
        for name in names:
            self._left.pop(name, None)

    def close(self) -> None:
        """Names what is left, unless it is null or false and so says nothing."""
        for name, raw in self._left.items():
            if bytes(raw) not in _NO_EFFECT:
                self.dropped.add(self.at(name))
        self._left = {}

    def wrong(self, name: str, complaint: str) -> InvalidRequest:
        """An error about a member, to raise."""
        return InvalidRequest(f"`{self.at(name)}`: {complaint}.", param=self.at(name))

    def unsupported(self, what: str) -> UnsupportedFeature:
        """An error about this object, to raise: content that another dialect cannot carry."""
        return UnsupportedFeature(
            f"`{self.path}`: {safe_text(what, limit=80)} cannot be carried to the chosen deployment.", param=self.path
        )


def _typed(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, path: str, name: str = "") -> T:
    """The value of a part of a body whose UTF-8 was checked as a whole."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        pass
    try:
        return json_text.decode(decoder, bytes(raw))
    except ValueError as error:
        path = f"{path}.{name}" if path and name else path or name
        complaint = safe_text(str(error).split(" - at ")[0], limit=160).replace("`", "")
        raise InvalidRequest(f"`{path}`: {complaint}.", param=path) from None


def compact(**members: Any) -> dict[str, Any]:
    """An object without the members that are None."""
    return {name: value for name, value in members.items() if value is not None}
