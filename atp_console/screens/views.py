"""Saved views of the request list: filter, order and columns under a name; save, open, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.binding import Binding

from atp_console.desk import Desk
from atp_console.listing import SORT_ORDER
from atp_console.look import Look
from atp_console.paint import Line, Span
from atp_console.preferences import VIEW_NAME_CAP, VIEWS_CAP, SavedView
from atp_console.screens.chooser import Chooser
from atp_console.screens.dialogs import Choice, Question
from atp_console.screens.filtered import FilteredRequests
from atp_console.screens.form import Field, Form
from atp_console.widgets.columns import name
from atp_console.widgets.table import column
from atp_engine.core.text import safe_text


class SavedViews(FilteredRequests):
    """Mixed into Live."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._view_name = ""

    @property
    def shown_view(self) -> str:
        """Name of the view that the list is in; empty when it is in none, or was changed since."""
        view = self.desk.preferences.view(self._view_name) if self._view_name else None
        return self._view_name if view is not None and view == self._present(self._view_name) else ""

    def _present(self, view_name: str) -> SavedView:
        listing = self.listing
        columns = self.desk.preferences.columns(self.catalog.name)
        return SavedView(
            view_name, listing.filter.query, listing.sort, listing.is_ascending, listing.is_errors_only, columns
        )

    def open_view(self, view_name: str) -> None:
        """Shows the list as it was saved under this name."""
        preferences, listing, now = self.desk.preferences, self.listing, self.desk.now()
        view = preferences.view(view_name)
        if view is None:
            self.tell(f"There is no view {name(view_name)} any more.", severity="warning")
            return
        if listing.is_frozen:
            listing.thaw(now)
        if listing.is_errors_only != view.is_errors_only:
            listing.toggle_errors(now)
        sort = view.sort if view.sort in SORT_ORDER else SORT_ORDER[0]
        listing.set_sort(sort, now, is_ascending=view.is_ascending)
        if preferences.columns(self.catalog.name) != view.columns:
            preferences.set_columns(self.catalog.name, view.columns)
            self.keep_preferences()
        self.requests.choose(view.columns)
        self._view_name = view_name
        self.set_query(view.query)
        self.requests.focus()

    def do_view_save(self) -> None:
        """Asks for a name."""
        if self.filter_bar.is_editing:
            self.apply_query(self.filter_bar.input.value, is_typing=False)
        if self.problem is not None:
            self.tell("The filter has a mistake: mend it before you save it.", severity="warning")
            return
        said = _said(self._present(""))
        fields = [Field("name", f"name of: {said}", "such as slow-claude, night errors", self._view_name)]

        def filled(values: dict[str, str] | None) -> None:
            if values and (wanted := safe_text(values["name"], limit=VIEW_NAME_CAP).strip()):
                self._save(self._present(wanted))

        self.app.push_screen(Form(self.desk.look, "Save this view", fields), filled)

    def _save(self, view: SavedView) -> None:
        there = self.desk.preferences.view(view.name)
        if there is None or there == view:
            self._put(view)
            return

        def answered(picked: str | None) -> None:
            if picked:
                self._put(view)

        text = [f"{name(view.name)} is saved already:", f"then  {_said(there)}", f"now   {_said(view)}"]
        choices = [Choice("n", "No", ""), Choice("y", "Yes, overwrite it", view.name)]
        self.app.push_screen(Question(self.desk.look, "Overwrite the view?", text, choices), answered)

    def _put(self, view: SavedView) -> None:
        if not self.desk.preferences.set_view(view):
            self.tell(f"{VIEWS_CAP} views are saved: that is the most.", severity="warning")
            return
        self._view_name = view.name
        self.tell(f"Saved as {name(view.name)}. {self.key('view.open')} lists the views.")
        self.keep_preferences()
        self.paint_all()

    def do_view_open(self) -> None:
        """The list of saved views."""
        views = self.desk.preferences.views
        if not views:
            self.tell(f"No view is saved yet: {self.key('view.save')} saves filter, order and columns under a name.")
            return

        def chosen(picked: str | None) -> None:
            if picked:
                self.open_view(picked)

        self.app.push_screen(ViewChooser(self.desk.look, views, self._drop_view), chosen)

    def _drop_view(self, view_name: str) -> None:
        self.desk.preferences.drop_view(view_name)
        self.keep_preferences()


class ViewChooser(Chooser[SavedView]):
    """Gives the name of the view to open."""

    HINTS = (("enter", "open"), ("d", "delete"), ("esc", "close"))
    BINDINGS = [Binding("d,delete", "drop", show=False)]  # noqa: RUF012

    def __init__(self, look: Look, views: Sequence[SavedView], drop: Callable[[str], None]) -> None:
        columns = (
            column("", 12, _name_cell, grow=1, most=VIEW_NAME_CAP),
            column("", 20, _said_cell, rank=1, grow=3, most=200),
        )
        super().__init__(look, columns, lambda one: one.name)
        self._drop = drop
        self.rows.set_rows(views)
        self.rows.empty_of = lambda: [[("No view is saved.", "muted")]]

    def title_line(self) -> Line:
        """How many there are."""
        return [("Saved views", "title"), (f"  {len(self.rows.model)}", "text")]

    def action_take(self) -> None:
        """Opens the selected one."""
        view = self.rows.selected
        if view is not None:
            self.answer(view.name)

    def action_drop(self) -> None:
        """Deletes the selected one after a question."""
        view = self.rows.selected
        if view is None:
            return

        def answered(picked: str | None) -> None:
            if picked:
                self._drop(picked)
                rows = [self.rows.model.at(place) for place in range(len(self.rows.model))]
                self.rows.set_rows([one for one in rows if one.name != picked])
                self.paint()

        choices = [Choice("n", "No", ""), Choice("y", "Yes, delete it", view.name)]
        self.app.push_screen(Question(self.look, "Delete the view?", [name(view.name), _said(view)], choices), answered)


def _said(view: SavedView) -> str:
    """A view in words."""
    parts = [safe_text(view.query, limit=120) or "no filter"]
    parts += ["errors only"] if view.is_errors_only else []
    parts.append(f"by {safe_text(view.sort, limit=10)}{', upwards' if view.is_ascending else ''}")
    parts += [f"{len(view.columns.shown)} columns"] if view.columns is not None else []
    return "; ".join(parts)


def _name_cell(view: SavedView, look: Look) -> Span:
    return (name(view.name), "text")


def _said_cell(view: SavedView, look: Look) -> Span:
    return (_said(view), "muted")
