"""A dialog with a list and a line that says what its keys do; base of the column and the view chooser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen

from atp_console.key_names import key_label
from atp_console.look import Look
from atp_console.paint import Line, packed
from atp_console.widgets.bars import Bar
from atp_console.widgets.table import Column, Table

T = TypeVar("T")
WIDEST = 76


class Chooser(ModalScreen[str], Generic[T]):
    """Subclasses say the title, the hints and what enter does; escape gives an empty string."""

    HINTS: Sequence[tuple[str, str]] = ()
    """Key name and word, the most needed first."""
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
        self.rows.focus()
        self.rows.go(0)

    def on_resize(self) -> None:
        """Another screen."""
        self._fit()

    def _fit(self) -> None:
        frame = self.query_one("#picker")
        frame.styles.width = min(WIDEST, max(20, self.size.width - 4))
        frame.styles.height = min(max(7, self.size.height - 4), max(len(self.rows.model), 2) + 4)

    def paint(self) -> None:
        """Draws it anew."""
        self._title.repaint()
        self.rows.forget_drawn()
        self.rows.repaint()

    def _hints_line(self, width: int) -> list[Line]:
        is_ascii = self.look.is_ascii
        parts: list[tuple[int, Line]] = [
            (
                place,
                [(" ".join(key_label(key, is_ascii=is_ascii) for key in keys.split()), "key"), (f" {word}", "muted")],
            )
            for place, (keys, word) in enumerate(self.HINTS)
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
        self.dismiss("")
