"""What a config's text holds, at a glance: its tables by kind, with their names. Pure; tolerant of any text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from atp_console.paint import Line
from atp_engine.core.text import safe_text

_TABLE = re.compile(r"^\s*\[\[?\s*([^\[\]]{1,200}?)\s*\]\]?\s*(?:#.*)?$")
_MOST_NAMES = 40
_LABEL = 12


def outline(text: str) -> Mapping[str, list[str]]:
    """Names of a text's tables by the kind that stands first in their path, in the text's order."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        match = _TABLE.match(line)
        if match is None:
            continue
        kind, _, rest = match[1].partition(".")
        names = found.setdefault(kind.strip(" \"'"), [])
        name = rest.strip(" \"'")
        if name and name not in names:
            names.append(name)
    return found


def outline_lines(text: str) -> list[Line]:
    """A line per kind: how many there are, and what they are called."""
    lines: list[Line] = []
    for kind, names in outline(text).items():
        shown = ", ".join(safe_text(one, limit=60) for one in names[:_MOST_NAMES])
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        count = f"{len(names)}  " if names else ""
        lines.append([(f"{safe_text(kind, limit=40):<{_LABEL}} ", "muted"), (count, "strong"), (shown + more, "text")])
    return lines
