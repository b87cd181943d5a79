"""A dialog with a list and a line that says what its keys do; base of the column and the view chooser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical

from atp_console.look import Look
from atp_console.paint import Line, packed
from atp_console.screens.modal import Modal
from atp_console.widgets.bars import Bar
from atp_console.widgets.table import Column, Table

T = TypeVar("T")
WIDEST = 70


class Chooser(Modal[str], Generic[T]):
    """Subclasses say the title, the hints and what enter does; escape gives an empty string."""

    HINTS: Sequence[tuple[str, str]] = ()
    """Key and word, the most needed first."""
    BINDINGS = [  # noqa: RUF012
        Binding("down,j,ctrl+n", "move(1)", show=False),
        Binding("up,k,ctrl+p", "move(-1)", show=False),
        Binding("pagedown,ctrl+d", "move(10)", show=False),
        Binding("pageup,ctrl+u", "move(-10)", show=False),
        Binding("home,g", "move(-1000)", show=False),
        Binding("end,G", "move(1000)", show=False),
        Binding("enter", "take", show=False),
        Binding("escape,q", "leave", show=False),
    ]

    def __init__(self, look: Look, columns: Sequence[Column[T]], id_of: Callable[[T], str]) -> None:
        super().__init__()
        self.look = look
        self.rows = Table[T](look, columns, id_of, id="picker-list")
        self.rows.is_framed = False
        self.rows.has_titles = False
        self.rows.is_always_active = True
        self._title = Bar(look, lambda _width: [[(" ", "text"), *self.title_line()]], id="picker-title")
        self._hints = Bar(look, self._hints_line, id="picker-hints")

    def title_line(self) -> Line:
        """What this is."""
        return []

    def compose(self) -> ComposeResult:
        """Title, list, hints."""
        with Vertical(id="picker"):
            yield self._title
            yield self.rows
            yield self._hints

    def on_mount(self) -> None:
        """The list has the focus."""
        self._fit()
        self.start_in(self.rows)
        self.rows.go(0)

    def on_resize(self) -> None:
        """Another screen."""
        self._fit()

    def _fit(self) -> None:
        frame = self.query_one("#picker")
        frame.styles.width = min(WIDEST, max(20, self.size.width - 4))
        most = max(self.size.height - 4, 7) if self.size.height < 30 else self.size.height * 3 // 5
        frame.styles.height = min(most, max(len(self.rows.model), 2) + 4)

    def paint(self) -> None:
        """Draws it anew."""
        self._title.repaint()
        self.rows.forget_drawn()
        self.rows.repaint()

    def _hints_line(self, width: int) -> list[Line]:
        parts: list[tuple[int, Line]] = [
            (place, [(key, "key"), (f" {word}", "muted")]) for place, (key, word) in enumerate(self.HINTS)
        ]
        return [[(" ", "text"), *packed(parts, width - 2)]]

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click takes as enter does."""
        event.stop()
        self.action_take()

    def action_move(self, steps: int) -> None:
        """Another row."""
        self.rows.move(steps)

    def action_take(self) -> None:
        """Takes what is selected."""

    def action_leave(self) -> None:
        """Takes nothing."""
        self.answer("")
