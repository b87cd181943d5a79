"""The console's own settings: one small TOML file of the person who looks, not of the engine.

A console may be attached to an engine on another machine, so colours, keys and the folder for exports are
not the engine's config. A wrong entry is left out and told with file and line; the rest holds.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from atp_console import keymap
from atp_console.actions import Scope
from atp_console.keymap import Keymap
from atp_engine.core.errors import ConfigProblem
from atp_engine.core.text import safe_text

FILE_NAME = "console.toml"
MOST_BYTES = 100_000
_MOST_DEPTH = 8
_KNOWN = ("theme", "ascii", "export_dir", "keys")
_HEADER = re.compile(r"\s*\[\s*(?P<name>[^\[\]]+?)\s*\]\s*(?:#.*)?$")
_NAME = r"""(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEY = re.compile(rf"\s*(?P<key>{_NAME}(?:\s*\.\s*{_NAME})*)\s*=")
_PART = re.compile(_NAME)
_PLACE = re.compile(r"^(?P<said>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person chose; None and empty leave it to the command line and the defaults."""

    theme: str = ""
    is_ascii: bool = False
    export_dir: Path | None = None
    """Where exports and screenshots go; None is the directory that the console was started in."""
    keys: Keymap = keymap.DEFAULT
    problems: tuple[ConfigProblem, ...] = field(default=(), compare=False)
    """What was left out."""


def read(path: Path, groups: Sequence[Collection[Scope]], themes: Collection[str]) -> Settings:
    """The settings in a file; without one, the defaults. Whatever is wrong with it is in `problems`."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    except OSError as failure:
        return _unusable(path, f"cannot be read ({failure.strerror})")
    if len(content) > MOST_BYTES:
        return _unusable(path, "is larger than 100 kB, which no settings file is")
    try:
        return parse(content.decode("utf-8-sig").replace("\r\n", "\n"), path, groups, themes)
    except UnicodeDecodeError:
        return _unusable(path, "is not UTF-8 text", "save it as UTF-8")


def parse(text: str, path: Path, groups: Sequence[Collection[Scope]], themes: Collection[str]) -> Settings:
    """The settings in a text that stands at `path`."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as wrong:
        return Settings(problems=(_syntax(path, str(wrong)),))
    lines = _lines_of(text)
    problems: list[ConfigProblem] = []

    def complain(key: tuple[str, ...], message: str, hint: str = "") -> None:
        line = next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), 1)
        shown = ".".join(safe_text(part, limit=60) for part in key)
        problems.append(ConfigProblem(str(path), line, 1, shown, message, hint))

    for name in tree.keys() - set(_KNOWN):
        complain((name,), "unknown key", _near(name, _KNOWN) or f"known here: {', '.join(_KNOWN)}")
    theme = tree.get("theme", "")
    if not isinstance(theme, str) or (theme and theme not in themes):
        close = _near(theme, sorted(themes)) if isinstance(theme, str) else ""
        complain(("theme",), "there is no such theme", close or f"such as {', '.join(sorted(themes)[:4])}")
        theme = ""
    is_ascii = tree.get("ascii", False)
    if not isinstance(is_ascii, bool):
        complain(("ascii",), "must be true or false")
        is_ascii = False
    export_dir = _directory(tree.get("export_dir"), path, complain)
    keys = _keys(tree.get("keys", {}), groups, complain)
    problems.sort(key=lambda one: (one.line, one.key))
    return Settings(theme, is_ascii, export_dir, keys, tuple(problems))


def _directory(value: Any, path: Path, complain: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        complain(("export_dir",), "must be a directory in quotes")
        return None
    try:
        folder = path.parent / Path(value).expanduser()
    except RuntimeError:  # a home directory that nobody has
        complain(("export_dir",), "this home directory is not known")
        return None
    if not folder.is_dir():
        complain(("export_dir",), f"there is no directory {safe_text(str(folder), limit=200)}", "make it first")
        return None
    return folder


def _keys(table: Any, groups: Sequence[Collection[Scope]], complain: Any) -> Keymap:
    if not isinstance(table, dict):
        complain(("keys",), "must be a table of action = key")
        return keymap.DEFAULT
    wanted: dict[str, object] = {}
    paths: dict[str, tuple[str, ...]] = {}
    for parts, value in _leaves(table, ()):
        action_id = ".".join(parts)
        if action_id in wanted:
            complain(("keys", *parts), f"{keymap.shown_id(action_id)} stands here twice")
            continue
        wanted[action_id], paths[action_id] = value, ("keys", *parts)
    found, problems = keymap.resolved(wanted, groups)
    for one in problems:
        complain(paths[one.action_id], one.message, one.hint)
    return found


def _leaves(table: Mapping[str, Any], before: tuple[str, ...]) -> list[tuple[tuple[str, ...], object]]:
    """Every value with its path: `list.open`, quoted or not, is one action id."""
    found: list[tuple[tuple[str, ...], object]] = []
    for name, value in table.items():
        path = (*before, name)
        if isinstance(value, dict) and len(path) < _MOST_DEPTH:
            found += _leaves(value, path)
        else:
            found.append((path, value))
    return found


def _lines_of(text: str) -> dict[tuple[str, ...], int]:
    """The line of each key that begins one; lines inside of lists and long texts do no harm."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _parts(header["name"])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key["key"])), number)
    return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _syntax(path: Path, said: str) -> ConfigProblem:
    place = _PLACE.match(said)
    message = place["said"] if place else said.removesuffix(" (at end of document)")
    hint = ""
    if "overwrite" in message or "immutable" in message or "Cannot" in message:
        hint = 'an id with a dot is quoted: "filter.toggle" = "f6"'
    elif message.startswith("Invalid value"):
        hint = "keys are written in quotes"
    line, column = (int(place["line"]), int(place["column"])) if place else (1, 1)
    message = safe_text(message[:1].lower() + message[1:], limit=200)
    return ConfigProblem(str(path), line, column, "", f"not valid TOML: {message}", hint)


def _unusable(path: Path, message: str, hint: str = "") -> Settings:
    return Settings(problems=(ConfigProblem(str(path), 0, 0, "", message, hint),))


def _near(word: str, known: Sequence[str]) -> str:
    found = get_close_matches(word[:80], known, n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else ""
