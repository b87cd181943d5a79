"""A framed rectangle that paints itself line by line and repaints only the lines that changed.

Subclasses say what is in it (`heading`, `lines`); screens call `repaint` on their tick. Wide screens
draw a box around it, narrow ones a rule above it.
"""

from __future__ import annotations

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from atp_console.look import Look
from atp_console.paint import Line, PaintedStrip, cells, clipped, strip_of, width_of
from atp_console.theme import Palette

BOX_FROM_WIDTH = 100


class Pane(Widget, can_focus=True):
    """Base of all panes."""

    is_framed = True

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self._strips: list[Strip] = []
        self._boxed: dict[int, tuple[Strip, Strip]] = {}
        """Content strips (kept alive, by identity) and the same between the box's sides."""
        self._painted_with: Palette | None = None

    # --- what subclasses say

    def heading(self) -> tuple[Line, Line]:
        """Left and right part of the title line."""
        return [], []

    def lines(self, width: int, height: int) -> list[Line]:
        """The content; lines beyond `height` are not shown."""
        return []

    @property
    def frame_role(self) -> str:
        """Colour of the frame."""
        return "rule_on" if self.has_focus else "rule"

    # --- geometry

    @property
    def is_boxed(self) -> bool:
        """A box around, or only a rule above."""
        return self.is_framed and self.is_attached and self.screen.size.width >= BOX_FROM_WIDTH

    @property
    def inner_width(self) -> int:
        """Cells of a content line, its padding included."""
        return max(0, self.size.width - (2 if self.is_boxed else 0))

    @property
    def inner_height(self) -> int:
        """Content lines."""
        frame = 2 if self.is_boxed else 1 if self.is_framed else 0
        return max(0, self.size.height - frame)

    # --- painting

    def repaint(self) -> None:
        """Builds every line anew and refreshes those that differ."""
        if not self.is_attached or not self.display or not self.size:
            return
        if self._painted_with is not self.look.palette:
            self._painted_with = self.look.palette
            self._strips, self._boxed = [], {}
        fresh = self._framed(self.content_strips(self.inner_width, self.inner_height))
        old, self._strips = self._strips, fresh
        if len(old) != len(fresh):
            self.refresh()
            return
        width = self.size.width
        changed = [
            Region(0, y, width, 1)
            for y, (one, other) in enumerate(zip(old, fresh, strict=True))
            if one is not other and one != other
        ]
        if changed:
            self.refresh(*changed)

    def content_strips(self, width: int, height: int) -> list[Strip]:
        """The content as strips of `width` cells; by default `lines` with one cell of padding."""
        inner = max(0, width - 2)
        palette = self.look.palette
        mark = self.look.glyphs.cut
        return [
            strip_of([(" ", "text"), *clipped(line, inner, mark)], width, palette)
            for line in self.lines(inner, height)[:height]
        ]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Lines for Textual's compositor. They are complete, so its own styling of lines is left out,
        and a strip that did not change keeps what was computed for it."""
        if not self._strips:
            self._strips = self._framed(self.content_strips(self.inner_width, self.inner_height))
        blank = strip_of([], self.size.width, self.look.palette)
        strips = [self._strips[y] if y < len(self._strips) else blank for y in crop.line_range]
        for one in self.get_line_filters():
            if one.enabled:
                strips = [strip.apply_filter(one, self.look.palette.grounds["base"]) for strip in strips]
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def _framed(self, content: list[Strip]) -> list[Strip]:
        width, height, palette = self.size.width, self.inner_height, self.look.palette
        blank = strip_of([], self.inner_width, palette)
        content = [*content[:height], *[blank] * (height - len(content))]
        if not self.is_framed:
            return content
        left, right = self.heading()
        if not self.is_boxed:
            return [strip_of(self._title_line(left, right, width, "", ""), width, palette), *content]
        role = self.frame_role
        corner_tl, line, corner_tr, side, corner_bl, corner_br = tuple(self.look.glyphs.box)
        edge = strip_of([(side, role)], 1, palette)
        top = strip_of(self._title_line(left, right, width, corner_tl, corner_tr), width, palette)
        bottom = strip_of([(corner_bl + line * (width - 2) + corner_br, role)], width, palette)
        known, self._boxed = self._boxed, {}
        lines = [top]
        for strip in content:
            pair = known.get(id(strip)) or (strip, PaintedStrip.join([edge, strip, edge]))
            self._boxed[id(strip)] = pair
            lines.append(pair[1])
        return [*lines, bottom]

    def _title_line(self, left: Line, right: Line, width: int, start: str, end: str) -> Line:
        role = self.frame_role
        dash = self.look.glyphs.box[1]
        right = [(" ", "text"), *right, (" ", "text")] if right else []
        room = width - cells(start) - cells(end) - 2 - width_of(right)
        left = clipped(left, max(room - 3, 0), self.look.glyphs.cut) if left else []
        left = [(" ", "text"), *left, (" ", "text")] if left else []
        fill = max(0, room - width_of(left))
        return [(start + dash, role), *left, (dash * fill, role), *right, (dash + end, role)]

    # --- Textual's events

    def on_resize(self) -> None:
        """Another size: nothing painted is of use."""
        self._strips, self._boxed = [], {}
        self.repaint()

    def on_focus(self) -> None:
        """The frame shows the focus."""
        self._strips, self._boxed = [], {}
        self.repaint()

    def on_blur(self) -> None:
        """The frame shows that it has none."""
        self._strips, self._boxed = [], {}
        self.repaint()
