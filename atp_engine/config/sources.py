"""The files that make up one config: the main file and its `conf.d` fragments, merged into one tree.

`config/load.py` merges and asks for places. A value stands in one file only: the same key in two files is told
with both places, never decided by an order that nobody remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from atp_engine.config.positions import KeyPath, Positions, Spot
from atp_engine.core.errors import ConfigError, ConfigProblem

FRAGMENTS = "conf.d"
"""Directory beside the main file; its `*.toml` count, in the order of their names."""
MAX_FRAGMENTS = 256


class SourceFile(NamedTuple):
    """A file with its text as it stands on the disk."""

    path: Path
    text: str


class Place(NamedTuple):
    """Where something stands."""

    file: str
    spot: Spot


class Sources:
    """Places of keys and values over all files; the first file is the main one.

    A text is scanned when the first place in it is asked for: a good one mostly never is.
    """

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        """`texts` by file name, as `plain` gives them."""
        self._texts = tuple(texts)

    def key(self, path: KeyPath) -> Place:
        """Where the key stands, or the nearest table around it; the main file's first line when nowhere."""
        name, positions = self._holder(path)
        return Place(name, positions.key(path))

    def value(self, path: KeyPath) -> Place:
        """Where the value begins, or else its key, or the nearest table around it."""
        name, positions = self._holder(path)
        return Place(name, positions.value(path))

    def main_or_holder(self, path: KeyPath) -> str:
        """The file that states the key, or most of the way to it; the main one where none does."""
        return self._texts[0][0] if len(self._texts) == 1 else self._holder(path)[0]

    @cached_property
    def places(self) -> tuple[tuple[str, Positions], ...]:
        """Each file with its places."""
        return tuple((name, Positions(text)) for name, text in self._texts)

    def _holder(self, path: KeyPath) -> tuple[str, Positions]:
        return max(self.places, key=lambda file: file[1].depth(path))  # the first of equals


def plain(text: str) -> str:
    """The text as the parser wants it: no byte order mark, plain line ends."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def merged(trees: Sequence[tuple[str, Mapping[str, Any]]], sources: Sources) -> dict[str, Any]:
    """One tree of all; tables are joined. Raises ConfigError where two files state the same key."""
    whole: dict[str, Any] = {}
    owners: dict[KeyPath, int] = {}
    problems: list[ConfigProblem] = []
    for number, (name, tree) in enumerate(trees):
        for path, former in _join(whole, tree, (), owners, number):
            first, again = sources.places[former], sources.places[number]
            at, spot = first[1].key(path), again[1].key(path)
            dotted = ".".join(map(str, path))
            problems.append(
                ConfigProblem(name, spot.line, spot.column, dotted, f"is stated in {first[0]}:{at.line} already")
            )
    if problems:
        raise ConfigError(problems)
    return whole


def _join(
    into: dict[str, Any], tree: Mapping[str, Any], path: KeyPath, owners: dict[KeyPath, int], number: int
) -> list[tuple[KeyPath, int]]:
    """Adds a tree; returns the keys that another file has stated, each with that file's number."""
    clashes: list[tuple[KeyPath, int]] = []
    for key, value in tree.items():
        at = (*path, key)
        present = into.get(key)
        if isinstance(value, Mapping) and (present is None or isinstance(present, dict)):
            clashes += _join(into.setdefault(key, {}), value, at, owners, number)
            owners.setdefault(at, number)
        elif key in into:
            clashes.append((at, owners.get(at, 0)))
        else:
            into[key] = value
            owners[at] = number
    return clashes
