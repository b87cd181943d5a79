"""Lines of roled text turned into Textual strips of an exact width.

A `Span` is text with a role; a `Line` is a list of spans. Text here is shown as it is: whoever makes a
span from outside text passes it through `safe_text` first. No markup exists on this path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from atp_console.theme import Palette

Span = tuple[str, str]
Line = list[Span]

_REACH = 4
_MOST_REACH = 65_536


def cells(text: str) -> int:
    """Width on screen."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int, mark: str = "…") -> str:
    """The text in at most `width` cells; a cut ends in `mark`."""
    if cells(text) <= width:
        return text
    if width <= cells(mark):
        return mark[: max(width, 0)]
    room = width - cells(mark)
    if text.isascii():
        return text[:room] + mark
    return set_cell_size(text, room).rstrip() + mark


def fit(text: str, width: int, *, is_right: bool = False, mark: str = "…") -> str:
    """The text in exactly `width` cells."""
    size = cells(text)
    if size > width:
        text = cut(text, width, mark)
        size = cells(text)
    blank = " " * (width - size)
    return blank + text if is_right else text + blank


def width_of(line: Iterable[Span]) -> int:
    """Cells of a line."""
    return sum(cells(text) for text, _ in line)


def clipped(line: Line, width: int, mark: str = "…") -> Line:
    """The line in at most `width` cells."""
    if width_of(line) <= width:
        return line
    kept: Line = []
    room = width
    for text, role in line:
        size = cells(text)
        if size >= room:
            kept.append((cut(text + " ", room, mark), role))
            break
        kept.append((text, role))
        room -= size
    return kept


def spread(left: Line, right: Line, width: int, mark: str = "…") -> Line:
    """Left and right parts of one line, the left one cut when they meet."""
    room = width - width_of(right)
    if room < 4:
        return clipped(left, width, mark)
    left = clipped(left, room - 1 if right else room, mark)
    return [*left, (" " * (room - width_of(left)), "text"), *right]


class PaintedStrip(Strip):
    """A strip that does not keep itself in its own cache, so that it goes with its last reference and
    a list that scrolls for hours leaves no work to the garbage collector."""

    __slots__ = ()

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """As the base class, without remembering the case in which nothing is cut."""
        cuts = list(cuts)
        if cuts == [self.cell_length]:
            return [self]
        return super().divide(cuts)


def lit(line: Line, pattern: re.Pattern[str]) -> Line:
    """The line with everything that the pattern finds in one of its spans in the role `match`."""
    found: Line = []
    for text, role in line:
        at = 0
        for match in pattern.finditer(text):
            start, end = match.span()
            if start == end:
                continue
            if start > at:
                found.append((text[at:start], role))
            found.append((text[start:end], "match"))
            at = end
        if at < len(text):
            found.append((text[at:], role))
    return found


def strip_of(line: Line, width: int, palette: Palette, ground: str = "base") -> Strip:
    """The line in exactly `width` cells on a ground."""
    styles = palette.styles[ground]
    segments: list[Segment] = []
    used = 0
    for text, role in line:
        size = cells(text)
        if used + size > width:
            segments.append(Segment(set_cell_size(text, width - used), styles[role]))
            used = width
            break
        if size:
            segments.append(Segment(text, styles[role]))
            used += size
    if used < width:
        segments.append(Segment(" " * (width - used), styles["text"]))
    return PaintedStrip(segments, width)


def wrapped(text: str, width: int) -> list[str]:
    """The text's own lines, broken at spaces where they are wider than `width` cells."""
    if width < 1:
        return []
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.extend(_wrapped_paragraph(paragraph, width))
    return lines


def _wrapped_paragraph(paragraph: str, width: int) -> list[str]:
    """Looks at a few widths of text at a time, so that a line of a megabyte costs no more than its lines."""
    lines: list[str] = []
    rest = paragraph.expandtabs(4)
    at, reach = 0, _REACH * width + _REACH
    while True:
        seen = rest[at : at + reach]
        is_rest = at + len(seen) == len(rest)
        if cells(seen) <= width:
            if is_rest:
                lines.append(seen)
                return lines
            if reach < _MOST_REACH:
                reach *= 2  # characters without a width of their own
                continue
        head = seen[:width] if seen.isascii() else set_cell_size(seen, width).rstrip("\0")
        head = head if seen.startswith(head) else head.rstrip(" ")
        space = head.rfind(" ")
        if space > width // 3 and len(head) < len(seen) and not seen[len(head)].isspace():
            head = head[: space + 1]
        head = head or seen[:1]
        lines.append(head.rstrip())
        at += len(head)
        if lines[-1]:
            while at < len(rest) and rest[at] == " ":
                at += 1


def packed(parts: Iterable[tuple[int, Line]], width: int, gap: str = "  ") -> Line:
    """Ranked parts side by side in their given order; those of the highest rank go when there is no room."""
    kept = list(parts)
    while len(kept) > 1 and sum(width_of(line) + len(gap) for _, line in kept) - len(gap) > width:
        worst = max(range(len(kept)), key=lambda place: (kept[place][0], place))
        del kept[worst]
    joined: Line = []
    for _, line in kept:
        if joined:
            joined.append((gap, "text"))
        joined += line
    return joined
