"""A pane of text of any length: wrapped once per width, drawn only where visible, scrolled by keys."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.strip import Strip

from atp_console.look import Look
from atp_console.paint import Line, cells, strip_of, wrapped
from atp_console.widgets.pane import Pane

_REACH = 4
"""Characters looked at per cell: what has no width of its own may make many."""


class TextView(Pane):
    """Shows lines with roles. `heading` is given by the owner."""

    def __init__(self, look: Look, heading: Callable[[], tuple[Line, Line]], *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._heading = heading
        self._source: list[Line] = []
        self._wrapped: list[Line] = []
        self._wrapped_width = -1
        self.top = 0

    def set_lines(self, lines: list[Line], wrapped_for: tuple[int, list[Line]] = (-1, [])) -> None:
        """Shows other text from its start. `wrapped_for` is `wrapped_lines` of it for a width, made
        elsewhere because wrapping long text takes long."""
        self._source = lines
        self._wrapped_width, self._wrapped = wrapped_for
        self.top = 0
        self.repaint()

    @property
    def text_width(self) -> int:
        """Cells of a line of text."""
        return max(1, self.inner_width - 2)

    @property
    def page(self) -> int:
        """Lines visible at once."""
        return max(1, self.inner_height)

    @property
    def line_count(self) -> int:
        """Lines after wrapping."""
        return len(self._wrapped)

    def move(self, steps: int) -> None:
        """Scrolls."""
        self.top = max(0, min(self.top + steps, len(self._wrapped) - self.page))
        self.repaint()

    def go(self, line: int) -> None:
        """Scrolls to a line."""
        self.top = 0
        self.move(line)

    def heading(self) -> tuple[Line, Line]:
        """The owner's title, and how far down one is."""
        left, right = self._heading()
        if len(self._wrapped) > self.page:
            share = round(100 * self.top / max(1, len(self._wrapped) - self.page))
            right = [*right, (f"  {share}%" if right else f"{share}%", "muted")]
        return left, right

    def content_strips(self, width: int, height: int) -> list[Strip]:
        """The visible lines."""
        inner = max(1, width - 2)
        if self._wrapped_width != inner:
            self._wrapped = wrapped_lines(self._source, inner)
            self._wrapped_width = inner
            self.top = max(0, min(self.top, len(self._wrapped) - max(1, height)))
        visible = self._wrapped[self.top : self.top + height]
        return [strip_of([(" ", "text"), *line], width, self.look.palette) for line in visible]

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        event.stop()
        self.move(-3)


def wrapped_lines(lines: list[Line], width: int) -> list[Line]:
    """Every line in pieces of at most `width` cells."""
    return [piece for line in lines for piece in wrapped_line(line, width)]


def wrapped_line(line: Line, width: int) -> list[Line]:
    """One line as lines of at most `width` cells: at spaces for plain text, anywhere for mixed roles."""
    if len(line) == 1:
        text, role = line[0]
        indent = text[: len(text) - len(text.lstrip(" "))][: width // 2]
        return [[(indent + piece, role)] for piece in wrapped(text[len(indent) :], max(1, width - len(indent)))]
    pieces: list[Line] = [[]]
    room = width
    for text, role in line:
        rest = text
        if cells(rest) > room:
            if room:
                kept = wrapped(rest[: _REACH * room], room)[0] or rest[:1]
                kept = kept if rest.startswith(kept) else rest[:1]
                pieces[-1].append((kept, role))
                rest = rest[len(kept) :]
            *full, rest = wrapped(rest, width)
            pieces += [[(piece, role)] for piece in full]
            pieces.append([])
            room = width
        if rest:
            pieces[-1].append((rest, role))
            room -= cells(rest)
    return pieces
