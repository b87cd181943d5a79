"""`atp-console keymap`: every action with its keys, and what is wrong in the console's settings."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from atp_console import settings
from atp_console.actions import ACTIONS, Action
from atp_console.commands.command import Place
from atp_console.key_names import key_label
from atp_console.screens import catalog
from atp_console.settings import Settings
from atp_console.theme import THEMES
from atp_engine.core.text import safe_text


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument(
        "file", nargs="?", type=Path, help="the settings file (default: console.toml beside the config)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`; exit code 2 when something in the file was left out."""
    path = arguments.file or place.settings_file
    found = settings.read(path, catalog.SCOPES, THEMES)
    if arguments.json:
        print(_as_json(path, found))
    else:
        print("\n".join(_lines(path, found)))
        for problem in found.problems:
            print(safe_text(str(problem), limit=600), file=sys.stderr)
    return 2 if found.problems else 0


def _lines(path: Path, found: Settings) -> list[str]:
    rows = [(action, " ".join(key_label(key) for key in found.keys.keys_of(action)) or "(none)") for action in ACTIONS]
    id_width = max(len(action.id) for action in ACTIONS)
    key_width = max(len(keys) for _, keys in rows)
    changed = len(found.keys.changed)
    lines = [
        f"{path}: " + (f"{changed} of {len(rows)} actions have keys of their own" if path.exists() else "not there")
    ]
    scope = ""
    for action, keys in rows:
        if action.scope != scope:
            scope = action.scope
            lines += ["", scope]
        mark = "*" if action.id in found.keys.changed else " "
        lines.append(f"{mark} {action.id:<{id_width}}  {keys:<{key_width}}  {action.title}")
    return lines


def _as_json(path: Path, found: Settings) -> str:
    def row(action: Action) -> dict[str, object]:
        return {
            "id": action.id,
            "scope": action.scope,
            "title": action.title,
            "keys": found.keys.keys_of(action),
            "default_keys": action.keys,
            "is_changed": action.id in found.keys.changed,
            "is_mutating": action.is_mutating,
        }

    problems = [{"line": one.line, "key": one.key, "message": one.message, "hint": one.hint} for one in found.problems]
    told = {"file": str(path), "actions": [row(action) for action in ACTIONS], "problems": problems}
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()
