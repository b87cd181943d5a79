"""A stored answer as its raw events: every frame with its number, name and size, as the client got it.

Pure, and tolerant of anything. What a model or vendor wrote into a frame passes `safe_text`; at most
`MOST` frames are shown. Long answers are read off the loop by the caller.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from atp_console import bodies
from atp_console import format as fmt
from atp_console.paint import Line
from atp_engine.core.text import safe_text

MOST = 5_000
_DATA_CAP = 20_000
_BREAK = re.compile(r"\r?\n\r?\n")
_TYPE = re.compile(r'"(?:type|object|event)"\s*:\s*"([^"\\]{1,64})"')
_SSE = ("data:", "event:", "id:", "retry:", ":")


class Frame(NamedTuple):
    """One event: its name, what it carries, and its size in bytes."""

    name: str
    data: str
    size: int


def frames_of(body: str) -> list[Frame]:
    """The events of a stream, of JSON lines too; empty when the answer was no stream."""
    start = body.lstrip()
    if start.startswith(_SSE):
        return [_event(piece) for piece in _BREAK.split(body)[: MOST + 1] if piece.strip()]
    lines = [line for line in body.split("\n")[: MOST + 1] if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines[:3]):
        return [Frame(_type_of(line), line, _size(line)) for line in lines]
    return []


def lines_of(body: str) -> list[Line]:
    """The tab: a sentence, then a line per frame, and more where it carries several."""
    frames = frames_of(body)
    if not frames:
        size = fmt.grouped(_size(body))
        return [[(f"One answer of {size} bytes, no events.", "muted")], [], *bodies.as_sent(body)]
    shown = frames[:MOST]
    more = "more than " if len(frames) > MOST else ""
    lines: list[Line] = [[(f"{more}{fmt.grouped(len(shown))} events as the client got them", "muted")], []]
    for number, frame in enumerate(shown, 1):
        first, *rest = _carried(frame.data)
        head = f"{fmt.grouped(frame.size):>6} B  "
        lines.append([(f"{number:>5} ", "muted"), (frame.name, "accent"), (head, "muted"), (first, "text")])
        lines += [[("      " + line, "text")] for line in rest]
    return lines


def _event(piece: str) -> Frame:
    names, data, other = [], [], []
    for line in piece.split("\n"):
        field, _, value = line.rstrip("\r").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            names.append(value)
        elif field == "data":
            data.append(value)
        elif line.strip():
            other.append(line)
    text = "\n".join(data)
    title = safe_text(names[-1], limit=80) if names else _type_of(text) if data else "comment"
    return Frame(title, "\n".join([*other, text] if data else other), _size(piece))


def _type_of(text: str) -> str:
    if text.strip() == "[DONE]":
        return "done"
    found = _TYPE.search(text[:2_000])
    return safe_text(found[1], limit=64) if found else "data"


def _carried(data: str) -> list[str]:
    return safe_text(data, limit=_DATA_CAP, is_line=False).split("\n")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
