"""What can be done with any list: choose its columns, mark its rows, show only those, copy their ids."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from atp_console.desk import Desk
from atp_console.marks import MARKS_CAP, Marks
from atp_console.paint import Line
from atp_console.preferences import ColumnChoice
from atp_console.screens.base import ConsoleScreen
from atp_console.screens.columns import ColumnChooser
from atp_console.widgets.table import Catalog, Table
from atp_engine.core.filter import Sought

T = TypeVar("T")


class ListActs(ConsoleScreen):
    """Mixed into screens with lists, which call `set_up_list` for each."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._lists: list[Table[Any]] = []

    def set_up_list(self, table: Table[T], catalog: Catalog[T], marks: Marks | None = None) -> None:
        """The list gets the columns that were chosen for it, and marks."""
        table.catalog = catalog
        table.marked = marks if marks is not None else Marks()
        table.choose(self.desk.preferences.columns(catalog.name))
        self._lists.append(table)

    # --- what subclasses may say

    def refill(self, table: Table[Any]) -> None:
        """Builds the rows anew: what is marked, or whether only that shows, has changed."""
        self.paint_all()

    def marked_text(self, table: Table[Any]) -> str:
        """What is copied of the marked rows."""
        return "\n".join(table.marked.ids) if table.marked else ""

    # --- for subclasses

    def list_meant(self) -> Table[Any] | None:
        """The list that acts are about: the focused one, else the home pane."""
        for pane in (self.focused, self.home_pane()):
            if pane in self._lists and isinstance(pane, Table):
                return pane
        return None

    def leave_marked(self) -> bool:
        """Shows all rows again; False when no list was showing only its marked ones."""
        found = [table for table in self._lists if table.marked is not None and table.marked.is_only]
        for table in found:
            self._show_only(table, is_only=False)
        return bool(found)

    def marked_mode(self) -> Line:
        """The mode of the list that is meant, for the header."""
        table = self.list_meant()
        if table is None or table.marked is None or not table.marked.is_only:
            return []
        return [(f"{self.desk.look.glyphs.mark} MARKED ONLY", "warn")]

    def marks(self) -> Line:
        """Whether only marked rows show."""
        return self.marked_mode()

    def keep_preferences(self) -> None:
        """Writes what was set up, beside the loop."""
        self.run_worker(self._keep_preferences(), exclusive=False)

    async def _keep_preferences(self) -> None:
        try:
            await asyncio.to_thread(self.desk.preferences.write)
        except OSError as error:
            self.tell(f"It holds until you quit, but is not saved: {error.strerror or error}", severity="warning")

    # --- acts

    def do_columns(self) -> None:
        """Asks which columns to show."""
        table = self.list_meant()
        catalog = table.catalog if table is not None else None
        if table is None or catalog is None:
            self.tell("The columns of this list are fixed.")
            return
        preferences = self.desk.preferences
        wanted = before = preferences.columns(catalog.name)

        def show(choice: ColumnChoice | None) -> None:
            nonlocal wanted
            wanted = choice
            table.choose(choice)
            table.repaint()

        def closed(answer: str | None) -> None:
            if answer and wanted != before:
                preferences.set_columns(catalog.name, wanted)
                self.keep_preferences()
            self.paint_all()

        self.app.push_screen(ColumnChooser(self.desk.look, table, before, show), closed)

    def do_mark(self) -> None:
        """Marks the selected row, or unmarks it."""
        table = self.list_meant()
        if table is None or table.marked is None or table.selected is None:
            self.tell("There is no row to mark here.")
        elif not table.marked.toggle(table.selected_id):
            self.tell(f"{MARKS_CAP:,} rows are marked: that is the most.", severity="warning")
        else:
            self.refill(table)

    def do_mark_only(self) -> None:
        """Only the marked rows, or all."""
        table = self.list_meant()
        if table is None or not table.marked:
            self.tell(f"Nothing is marked here: {self.key('mark')} marks a row.")
        else:
            self._show_only(table, is_only=not table.marked.is_only)

    def _show_only(self, table: Table[Any], *, is_only: bool) -> None:
        if table.marked is not None:
            table.marked.is_only = is_only
            self.refill(table)

    def do_mark_copy(self) -> None:
        """The ids of the marked rows, one a line."""
        table = self.list_meant()
        text = self.marked_text(table) if table is not None else ""
        if table is None or table.marked is None or not text:
            self.tell(f"Nothing is marked here: {self.key('mark')} marks a row.")
        else:
            self.copy(f"{len(table.marked)} marked", text)

    def do_mark_clear(self) -> None:
        """No row is marked any more."""
        table = self.list_meant()
        if table is not None and table.marked is not None:
            table.marked.clear()
            self.refill(table)


def words_sought(words: Iterable[str], *attributes: str) -> tuple[Sought, ...]:
    """What a search by words lights up in the columns that show these texts."""
    return tuple(Sought(frozenset(attributes), re.compile(re.escape(word), re.IGNORECASE)) for word in words)
