"""`atp-console import FORMAT FILE`: another gateway's config as one of ours, on standard output or into a file.

What has no equivalent is a comment at the top. The file is data: it is read with a size cap and without tags.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from atp_console.commands import import_claude_code_router, import_litellm, import_llama_swap
from atp_console.commands.command import Place, Refused
from atp_console.commands.import_draft import Draft, Tree

MAX_BYTES = 1_048_576
_MAX_ALIASES = 200
"""References of one YAML text; a bomb needs a few, and then doubles."""
_MAX_NODES = 100_000
FORMATS: Mapping[str, Callable[[Tree, Draft], None]] = {
    "litellm": import_litellm.read,
    "claude-code-router": import_claude_code_router.read,
    "llama-swap": import_llama_swap.read,
}


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("format", choices=list(FORMATS))
    parser.add_argument("file", type=Path, help="the other gateway's config")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of showing it; must not exist")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`."""
    text = imported(arguments.format, _read(arguments.file), arguments.file.name)
    if arguments.out is None:
        print(text, end="")
        return 0
    try:
        descriptor = os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"cannot write {arguments.out}: {error.strerror}") from None
    print(f"written to {arguments.out}; check it with: atp-console check {arguments.out}", file=sys.stderr)
    return 0


def imported(kind: str, text: str, name: str) -> str:
    """The text of a config of ours. Raises Refused when the other one cannot be read."""
    tree = _json(text) if kind == "claude-code-router" else _yaml(text)
    if not isinstance(tree, Mapping):
        raise Refused(f"{name} holds no table at its top", 2)
    draft = Draft(f"{name} ({kind})")
    FORMATS[kind](tree, draft)
    if not draft.deployments and not draft.providers:
        raise Refused(f"{name} names no model that could be imported; is it a config of {kind}?", 2)
    return draft.text()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise Refused(f"{path} is larger than 1 MiB", 2)
        return content.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", 2) from None
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text: byte {error.start}", 2) from None


def _json(text: str) -> Any:
    try:
        return json.loads(_without_comments(text))
    except (ValueError, RecursionError) as error:
        raise Refused(f"not valid JSON: {error}", 2) from None


def _without_comments(text: str) -> str:
    """JSON as people write it: `//` and `/* */` comments and commas before an end are taken out."""
    found: list[str] = []
    at, is_text = 0, False
    while at < len(text):
        letter = text[at]
        if is_text:
            step = 2 if letter == "\\" else 1
            found.append(text[at : at + step])
            is_text = letter != '"'
        elif text.startswith(("//", "/*"), at):
            end = text.find("\n" if text[at + 1] == "/" else "*/", at + 2)
            step = (len(text) if end < 0 else end + (0 if text[at + 1] == "/" else 2)) - at
        else:
            step, is_text = 1, letter == '"'
            if letter in "]}":
                while found and (found[-1].isspace() or found[-1] == ","):
                    if found.pop() == ",":
                        break
            found.append(letter)
        at += step
    return "".join(found)


def _yaml(text: str) -> Any:
    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in events)
        if aliases > _MAX_ALIASES or len(events) > _MAX_NODES or aliases * len(events) > 10 * _MAX_NODES:
            raise Refused("the YAML is larger than any config", 2)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Refused(f"not valid YAML{place}: {getattr(error, 'problem', None) or error}", 2) from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"not valid YAML: {error}", 2) from None
