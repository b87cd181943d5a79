"""Where each key and value stands in a TOML text, so that every complaint has a line and a column.

`config/load.py` asks. The text has already passed `tomllib`, which tells values but no places; so this
scanner trusts the grammar and only keeps count. It never raises on a text that tomllib accepted.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""Keys from the top; list places as numbers: `("routes", "auto", "deployments", 0)`."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


class Spot(NamedTuple):
    """A place in the text, counted from 1."""

    line: int
    column: int


class Positions:
    """The places of one text's keys and values."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._keys: dict[KeyPath, int] = {}
        self._values: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}
        self._scan()

    def key(self, path: KeyPath) -> Spot:
        """Where the key stands, or the nearest table around it; line 1 for an empty path."""
        return self._nearest(path, self._keys, self._values)

    def value(self, path: KeyPath) -> Spot:
        """Where the value begins, or else its key, or the nearest table around it."""
        return self._nearest(path, self._values, self._keys)

    def depth(self, path: KeyPath) -> int:
        """How much of the path stands in this text: the number of its leading parts."""
        while path and path not in self._keys and path not in self._values:
            path = path[:-1]
        return len(path)

    def spot(self, offset: int) -> Spot:
        """The place of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        return Spot(line, offset - self._starts[line - 1] + 1)

    def _nearest(self, path: KeyPath, first: dict[KeyPath, int], second: dict[KeyPath, int]) -> Spot:
        while path:
            for offsets in (first, second):
                if path in offsets:
                    return self.spot(offsets[path])
            path = path[:-1]
        return Spot(1, 1)

    def _scan(self) -> None:
        text, at, table = self._text, 0, ()  # type: str, int, KeyPath
        while (at := self._skip(at)) < len(text):
            if text.startswith("[[", at):
                parts, at = self._read_key(at + 2)
                path = (*self._resolve(parts[:-1]), parts[-1][0])
                self._keys.setdefault(path, parts[-1][1])
                table = (*path, self._lengths.get(path, 0))
                self._lengths[path] = self._lengths.get(path, 0) + 1
                self._keys[table] = parts[-1][1]
                at = self._after(at, "]]")
            elif text[at] == "[":
                parts, at = self._read_key(at + 1)
                table = self._resolve(parts)
                at = self._after(at, "]")
            else:
                at = self._pair(at, table)

    def _resolve(self, parts: list[tuple[str, int]]) -> KeyPath:
        """A header's path, where a list of tables means its latest one."""
        path: KeyPath = ()
        for name, offset in parts:
            path = (*path, name)
            self._keys.setdefault(path, offset)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def _pair(self, at: int, table: KeyPath) -> int:
        parts, at = self._read_key(at)
        path = table
        for name, offset in parts:
            path = (*path, name)
            self._keys.setdefault(path, offset)
        return self._value(self._blank(self._after(at, "=")), path)

    def _value(self, at: int, path: KeyPath) -> int:
        self._values[path] = at
        text = self._text
        if text[at : at + 1] == "[":
            at, place = self._skip(at + 1), 0
            while at < len(text) and text[at] != "]":
                at = self._skip(self._value(at, (*path, place)))
                place += 1
                if text[at : at + 1] == ",":
                    at = self._skip(at + 1)
            return at + 1
        if text[at : at + 1] == "{":
            at = self._skip(at + 1)
            while at < len(text) and text[at] != "}":
                at = self._skip(self._pair(at, path))
                if text[at : at + 1] == ",":
                    at = self._skip(at + 1)
            return at + 1
        end = self._string_end(at)
        return end if end > at else max(self._end_of(_SCALAR, at), at + 1)

    def _read_key(self, at: int) -> tuple[list[tuple[str, int]], int]:
        """The dotted key at `at`: its parts with their places, and where it ends."""
        parts: list[tuple[str, int]] = []
        while True:
            at = self._blank(at)
            end = self._string_end(at)
            if end > at:
                name = str(tomllib.loads(f"key = {self._text[at:end]}")["key"])
            else:
                end = max(self._end_of(_BARE, at), at + 1)
                name = self._text[at:end]
            parts.append((name, at))
            at = self._blank(end)
            if self._text[at : at + 1] != ".":
                return parts, at
            at += 1

    def _string_end(self, at: int) -> int:
        for pattern in _STRINGS:
            if match := pattern.match(self._text, at):
                return match.end()
        return at

    def _after(self, at: int, mark: str) -> int:
        found = self._text.find(mark, at)
        return len(self._text) if found < 0 else found + len(mark)

    def _skip(self, at: int) -> int:
        return self._end_of(_BLANK, at)

    def _blank(self, at: int) -> int:
        return self._end_of(_SPACE, at)

    def _end_of(self, pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(self._text, at)
        return match.end() if match else at
