"""What a client sent against what went up, as lines: headers by their fate, bodies as a unified diff.

Pure. All text passes `safe_text`. Long bodies take a while: the caller reads them off the loop.
"""

from __future__ import annotations

import difflib
import json
from typing import Any

from atp_console.format import UNICODE, Glyphs
from atp_console.paint import Line, cells, fit
from atp_engine.core.sent_views import Fate, HeaderView, SentCall, SentView
from atp_engine.core.text import safe_text

_TEXT_CAP = 400_000
_LINE_CAP = 6_000
_SHOWN_CAP = 2_000
_CONTEXT = 2
_LABEL = 22
_LONGEST_LABEL = 34


def lines_of(view: SentView, glyphs: Glyphs = UNICODE) -> list[Line]:
    """The whole tab: notes, then each call with its address, headers and body against the client's."""
    lines: list[Line] = [[(f"{glyphs.half} {safe_text(note, limit=300)}", "warn")] for note in view.notes]
    if not view.calls:
        lines.append([("No upstream call was made: what the client sent is in c.", "muted")])
        return [*lines, [], *_client_headers(view)]
    for call in view.calls:
        lines += [[], *_head(call, view, glyphs)] if lines else _head(call, view, glyphs)
        lines += _body(call, view)
        lines += [[], [("headers that went up", "title")], *_headers(call.headers)]
    return [*lines, [], *_client_headers(view)]


def _head(call: SentCall, view: SentView, glyphs: Glyphs) -> list[Line]:
    where = safe_text(call.url, limit=300) or "a model inside this engine"
    lines: list[Line] = [
        [
            (f"attempt {call.number} ", "title"),
            (safe_text(call.deployment, limit=120), "strong"),
            (f" {glyphs.dot} {safe_text(call.model, limit=120)} {glyphs.dot} {where}", "muted"),
        ]
    ]
    if call.is_translated:
        lines.append(
            [("translated ", "warn"), (f"{safe_text(view.dialect)} {glyphs.arrow} {safe_text(call.dialect)}", "text")]
        )
    elif call.dialect:
        lines.append([("passed on ", "ok"), (f"in the client's own dialect, {safe_text(call.dialect)}", "text")])
    if call.dropped_fields:
        names = ", ".join(safe_text(one, limit=80) for one in call.dropped_fields[:20])
        lines.append([("left out ", "bad"), (names, "text")])
    if call.note:
        lines.append([(safe_text(call.note, limit=300), "warn")])
    return lines


def _body(call: SentCall, view: SentView) -> list[Line]:
    if call.body is None or view.body is None:
        return []
    ours, theirs = _parsed(call.body), _parsed(view.body)
    lines: list[Line] = []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lines += _fields(theirs, ours)
    return [*lines, [], [("body: - the client's, + ours", "title")], *_difference(theirs, ours, view.body, call.body)]


def _fields(theirs: dict[str, Any], ours: dict[str, Any]) -> list[Line]:
    """Top-level fields by what became of them."""
    groups = (
        ("changed ", "warn", [one for one in theirs if one in ours and theirs[one] != ours[one]]),
        ("only the client's ", "bad", [one for one in theirs if one not in ours]),
        ("only ours ", "ok", [one for one in ours if one not in theirs]),
    )
    lines: list[Line] = [
        [(title, role), (", ".join(safe_text(str(one), limit=60) for one in names[:20]), "text")]
        for title, role, names in groups
        if names
    ]
    return lines or [[("the body went up as it came", "ok")]]


def _difference(theirs: Any, ours: Any, their_text: str, our_text: str) -> list[Line]:
    before, after = _pretty(theirs, their_text), _pretty(ours, our_text)
    if before == after:
        return [[("  no difference", "muted")]]
    lines: list[Line] = []
    for line in list(difflib.unified_diff(before, after, lineterm="", n=_CONTEXT))[2:]:
        mark = line[:1]
        if mark == "@":
            lines.append([(f"  {line}", "muted")])
        else:
            role = {"-": "bad", "+": "ok"}.get(mark, "text")
            lines.append([(f"{mark} {line[1:]}", role)])
    if len(lines) > _SHOWN_CAP:
        rest = len(lines) - _SHOWN_CAP
        return [*lines[:_SHOWN_CAP], [(f"  {rest} more lines differ; E writes all of it to a file", "muted")]]
    return lines


def _pretty(parsed: Any, text: str) -> list[str]:
    shown = json.dumps(parsed, indent=2, ensure_ascii=False) if parsed is not None else text
    return safe_text(shown, limit=_TEXT_CAP, is_line=False).split("\n")[:_LINE_CAP]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _client_headers(view: SentView) -> list[Line]:
    lines: list[Line] = [[("headers of the client", "title")]]
    if view.query:
        lines.append([(fit("?query", _LABEL) + " ", "muted"), (safe_text(view.query, limit=300), "text")])
    if view.headers is None:
        return [*lines, [("  they were not kept", "muted")]]
    return [*lines, *_headers(view.headers)]


def _headers(headers: tuple[HeaderView, ...]) -> list[Line]:
    """A line per header: passed on, kept back, or ours."""
    label = max([_LABEL, *(min(_LONGEST_LABEL, cells(safe_text(one.name, limit=60))) for one in headers)])
    marks = {Fate.PASSED: ("=", "text"), Fate.KEPT: ("-", "bad"), Fate.OURS: ("+", "ok")}
    lines: list[Line] = []
    for one in headers:
        mark, role = marks[one.fate]
        lines.append(
            [
                (f"{mark} ", role),
                (fit(safe_text(one.name, limit=60), label) + " ", "muted"),
                (safe_text(one.value, limit=300), "text"),
                (f"  {one.fate}" if one.fate is Fate.KEPT else "", "muted"),
            ]
        )
    return lines or [[("  none", "muted")]]
