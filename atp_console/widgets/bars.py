"""The lines at the edges: header with tabs, footer with hints, and the filter with its verdict.

They are told what to show; the footer's hints come from the action table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input

from atp_console.actions import Action
from atp_console.key_names import key_label
from atp_console.look import Look
from atp_console.paint import Line, packed, spread, strip_of, width_of
from atp_console.widgets.pane import Pane

QUERY_CAP = 512


class Bar(Pane, can_focus=False):
    """Unframed lines on the bar's ground, built by a function of the width."""

    is_framed = False

    def __init__(self, look: Look, build: Callable[[int], list[Line]], *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._build = build

    def content_strips(self, width: int, height: int) -> list[Strip]:
        """The built lines."""
        return [strip_of(line, width, self.look.palette, "bar") for line in self._build(width)[:height]]


def hints_line(actions: Iterable[tuple[Action, list[str]]], width: int, look: Look) -> Line:
    """Footer hints `key word`, by rank; the last ones are left out when they do not fit."""
    parts: list[tuple[int, Line]] = [
        (
            action.rank if action.rank < 90 else 0,
            [(key_label(keys[0], is_ascii=look.is_ascii), "key"), (f" {action.hint}", "muted")],
        )
        for action, keys in sorted(actions, key=lambda one: one[0].rank)
        if action.hint
    ]
    return [(" ", "text"), *packed(parts, width - 2)]


def titled(left: Iterable[tuple[int, Line]], right: Line, width: int, look: Look) -> Line:
    """A header line: ranked parts on the left, state on the right."""
    room = width - width_of(right) - 3
    return [(" ", "text"), *spread(packed(left, room), right, width - 2, look.glyphs.cut), (" ", "text")]


class FilterBar(Horizontal):
    """One line to type a filter in, with what it finds or what is wrong with it beside it."""

    class Typed(Message):
        """The text changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Accepted(Message):
        """Enter: back to the list."""

    def __init__(self, look: Look, status: Callable[[int], list[Line]], placeholder: str, *, id: str) -> None:
        super().__init__(id=id)
        self._look = look
        self._status = status
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Slash, input, verdict."""
        yield Bar(self._look, lambda _width: [[(" / ", "key")]], id="filter-mark")
        yield Input(
            placeholder=self._placeholder, compact=True, max_length=QUERY_CAP, id="filter-input", select_on_focus=False
        )
        yield Bar(self._look, self._status, id="filter-status")

    @property
    def input(self) -> Input:
        """The text field."""
        return self.query_one("#filter-input", Input)

    @property
    def is_editing(self) -> bool:
        """True while the text field has the focus."""
        return self.input.has_focus

    def show(self, is_shown: bool) -> None:
        """Shows or hides the line."""
        self.set_class(is_shown, "-shown")

    def edit(self) -> None:
        """Shows the line and puts the focus into it: at once, or keys that follow fast would still be the list's."""
        self.show(True)
        self.screen.set_focus(self.input)
        self.input.cursor_position = len(self.input.value)

    def set_text(self, text: str) -> None:
        """Replaces the text without an event."""
        with self.prevent(Input.Changed):
            self.input.value = text

    def repaint(self) -> None:
        """Repaints the verdict."""
        for bar in self.query(Bar):
            bar.repaint()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tells the screen."""
        event.stop()
        self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Tells the screen."""
        event.stop()
        self.post_message(self.Accepted())
