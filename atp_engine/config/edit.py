"""One value of a config text changed, and nothing else: comments, order and style stay as they are.

`services/configuration` edits with it. The result is compared with what was meant before anybody gets it, so
an edit is exact or refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Item, Table

from atp_engine.config.keypath import keypath
from atp_engine.config.positions import KeyPath
from atp_engine.config.sources import plain
from atp_engine.core.errors import ConfigError, ConfigProblem


def edited(text: str, key: str, value: str | None) -> str:
    """The text with one key set to a value as people write it, or taken out. Raises ConfigError."""
    return without(text, key) if value is None else with_value(text, key, toml_value(value))


def toml_value(text: str) -> Any:
    """What is meant by a value on a command line: TOML where it is some, else the text itself."""
    try:
        tree = tomllib.loads(f"value = {text}")
    except ValueError:
        return text
    return tree["value"] if list(tree) == ["value"] else text


def value_at(tree: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key. Raises ConfigError when there is none."""
    found: Any = tree
    for part in keypath(key):
        is_place = isinstance(part, int) and isinstance(found, (list, tuple))
        if part in range(len(found)) if is_place else isinstance(found, Mapping) and part in found:
            found = found[part]
        else:
            raise _problem(key, "is not stated")
    return found


def with_value(text: str, key: str, value: Any) -> str:
    """The text with the key stating `value`; a table that is missing is added at the end.

    Raises ConfigError when the key leads through something that is no table, or when the text cannot be
    changed there without touching more.
    """
    path = keypath(key)
    wanted = _tree(text)
    _put(wanted, path, value, key)
    document = _document(text)
    try:
        _set(document, path, value)
        edited = tomlkit.dumps(document)
    except (TOMLKitError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _by_hand(key) from error
    return _exact(_with_ends_of(text, edited), wanted, key)


def without(text: str, key: str) -> str:
    """The text without the key. Raises ConfigError when it is not stated or cannot be taken out alone."""
    path = keypath(key)
    wanted = _tree(text)
    value_at(wanted, key)
    parent: Any = value_at(wanted, _dotted(path[:-1])) if path[:-1] else wanted
    del parent[path[-1]]
    document = _document(text)
    try:
        holder: Any = document
        for part in path[:-1]:
            holder = holder[part]
        del holder[path[-1]]
        edited = tomlkit.dumps(document)
    except (TOMLKitError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _by_hand(key) from error
    return _exact(_with_ends_of(text, edited), wanted, key)


def _set(document: Any, path: KeyPath, value: Any) -> None:
    holder: Any = document
    for place, part in enumerate(path[:-1]):
        if isinstance(part, str) and part not in holder:
            is_last = place == len(path) - 2
            holder[part] = tomlkit.table(is_super_table=not is_last)
        holder = holder[part]
    last = path[-1]
    present = holder[last] if isinstance(last, int) or last in holder else None
    item = tomlkit.item(value)
    if isinstance(present, Array) and isinstance(item, Array) and "\n" not in present.as_string():
        item.multiline(False)
    if isinstance(present, Item) and not isinstance(present, (Table, AoT)):
        item.trivia.indent = present.trivia.indent
        item.trivia.comment_ws = present.trivia.comment_ws
        item.trivia.comment = present.trivia.comment
        item.trivia.trail = present.trivia.trail
    holder[last] = item


def _put(tree: Any, path: KeyPath, value: Any, key: str) -> None:
    """The same on the plain tree, to compare with."""
    for part in path[:-1]:
        if isinstance(tree, dict) and isinstance(part, str):
            tree = tree.setdefault(part, {})
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            raise _problem(key, "leads through something that is no table")
    last = path[-1]
    is_fitting = isinstance(tree, dict) if isinstance(last, str) else isinstance(tree, list) and last < len(tree)
    if not is_fitting:
        raise _problem(key, "leads through something that is no table")
    tree[last] = value


def _exact(edited: str, wanted: Mapping[str, Any], key: str) -> str:
    try:
        is_meant = tomllib.loads(plain(edited)) == wanted
    except (ValueError, RecursionError):
        is_meant = False
    if not is_meant:
        raise _by_hand(key)
    return edited


def _with_ends_of(text: str, edited: str) -> str:
    """New lines end as the others do, and a byte order mark stays."""
    if "\r\n" in text:
        edited = edited.replace("\r\n", "\n").replace("\n", "\r\n")
    return "\ufeff" + edited if text.startswith("\ufeff") and not edited.startswith("\ufeff") else edited


def _document(text: str) -> Any:
    try:
        return tomlkit.parse(text.removeprefix("\ufeff"))
    except (TOMLKitError, RecursionError) as error:
        raise _problem("", f"the file cannot be edited: {error}") from error


def _tree(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(plain(text))
    except (ValueError, RecursionError) as error:
        raise _problem("", f"the file cannot be edited, it is not valid TOML: {error}") from error


def _dotted(path: KeyPath) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f'."{part}"' for part in path).removeprefix(".")


def _by_hand(key: str) -> ConfigError:
    return _problem(key, "cannot be changed here without touching more", "edit the file: atp-console config edit")


def _problem(key: str, message: str, hint: str = "") -> ConfigError:
    return ConfigError([ConfigProblem("", 0, 0, key, message, hint)])
