"""The column chooser: which columns a list shows, and in which order. The list behind it follows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.binding import Binding

from atp_console.look import Look
from atp_console.paint import Line, Span
from atp_console.preferences import ColumnChoice
from atp_console.screens.chooser import Chooser
from atp_console.widgets.table import Column, Table, column, fitted

KEEP = "keep"


@dataclass(slots=True)
class _Entry:
    """A column that may be chosen."""

    title: str
    about: str
    is_shown: bool
    is_kept: bool
    has_room: bool = True


class ColumnChooser(Chooser[_Entry]):
    """Over a table with a catalog; calls `show` with every change and gives `keep` on enter. `show` gets
    None for the usual columns."""

    HINTS = (("space", "on/off"), ("enter", "keep"), ("esc", "leave"), ("J K", "move"), ("r", "usual ones"))
    BINDINGS = [  # noqa: RUF012
        Binding("space,x", "tick", show=False),
        Binding("J,shift+down", "shift(1)", show=False),
        Binding("K,shift+up", "shift(-1)", show=False),
        Binding("r", "reset", show=False),
    ]

    def __init__(
        self, look: Look, table: Table[Any], choice: ColumnChoice | None, show: Callable[[ColumnChoice | None], None]
    ) -> None:
        columns: tuple[Column[_Entry], ...] = (
            column("", 3, _tick_cell),
            column("", 14, _title_cell),
            column("", 16, lambda one, look: (one.about, "muted"), rank=1, grow=1, most=60),
            column("", 7, _room_cell),
        )
        super().__init__(look, columns, lambda one: one.title)
        self._behind = table
        self._before = choice
        self._show = show
        self._entries: list[_Entry] = []
        self._fill(choice)

    def title_line(self) -> Line:
        """Of which list, and how many show."""
        shown = sum(1 for one in self._entries if one.is_shown)
        out = sum(1 for one in self._entries if one.is_shown and not one.has_room)
        title = self._behind.catalog.title if self._behind.catalog is not None else ""
        line: Line = [(f"Columns of {title}", "title"), (f"  {shown} of {len(self._entries)}", "text")]
        return [*line, (f", {out} without room", "warn")] if out else line

    @property
    def choice(self) -> ColumnChoice | None:
        """What is ticked, in order; None when it is what is usual."""
        catalog = self._behind.catalog
        shown = tuple(one.title for one in self._entries if one.is_shown)
        kept = tuple(one.title for one in self._entries if one.is_shown and one.is_kept)
        found = ColumnChoice(shown, kept)
        return None if catalog is None or found == catalog.usual_choice else found

    def _fill(self, choice: ColumnChoice | None) -> None:
        catalog = self._behind.catalog
        if catalog is None:
            return
        choosable = catalog.choosable
        wanted = choice if choice is not None else catalog.usual_choice
        shown = [title for title in dict.fromkeys(wanted.shown) if title in choosable] or list(
            catalog.usual_choice.shown
        )
        titles = [*shown, *(title for title in choosable if title not in shown)]
        self._entries = [
            _Entry(title, choosable[title].about, title in shown, title in wanted.kept) for title in titles
        ]
        self._look_for_room()
        self.rows.set_rows(self._entries)

    def _look_for_room(self) -> None:
        catalog = self._behind.catalog
        if catalog is not None:
            seen = {one.title for one, _ in fitted(catalog.chosen(self.choice), self._behind.room)}
            for one in self._entries:
                one.has_room = one.title in seen

    def _changed(self) -> None:
        self._show(self.choice)
        self._look_for_room()
        self.paint()

    def on_resize(self) -> None:
        """Another width has other room."""
        super().on_resize()
        self.call_after_refresh(self._changed)

    def action_tick(self) -> None:
        """Shows the column, or leaves it out; one always stays."""
        one = self.rows.selected
        if one is None or (one.is_shown and sum(1 for entry in self._entries if entry.is_shown) == 1):
            return
        one.is_shown = not one.is_shown
        one.is_kept = one.is_shown
        self._changed()

    def action_shift(self, step: int) -> None:
        """Moves the column left or right in the list."""
        place = self.rows.cursor
        other = place + step
        if not self._entries or not 0 <= other < len(self._entries):
            return
        self._entries[place], self._entries[other] = self._entries[other], self._entries[place]
        self.rows.set_rows(self._entries)
        self._changed()

    def action_reset(self) -> None:
        """The usual columns in their usual order."""
        self._fill(None)
        self.rows.go(0)
        self._changed()

    def action_take(self) -> None:
        """Keeps what is ticked."""
        self.answer(KEEP)

    def action_leave(self) -> None:
        """As it was before."""
        self._show(self._before)
        self.answer("")

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click ticks."""
        event.stop()
        self.action_tick()


def _tick_cell(one: _Entry, look: Look) -> Span:
    return ("[x]", "key") if one.is_shown else ("[ ]", "muted")


def _title_cell(one: _Entry, look: Look) -> Span:
    return (one.title.replace("→", look.glyphs.arrow), "text" if one.is_shown else "muted")


def _room_cell(one: _Entry, look: Look) -> Span:
    return ("no room" if one.is_shown and not one.has_room else "", "warn")
