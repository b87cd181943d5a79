"""Sessions: the conversations and agent runs, and the requests of the selected one."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.paint import Line
from atp_console.screens.base import Due, Go
from atp_console.screens.lists import ListActs, words_sought
from atp_console.screens.session_acts import SessionActing
from atp_console.widgets.bars import FilterBar
from atp_console.widgets.columns import name, request_catalog, session_catalog
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Table
from atp_engine.core.views import RequestView, SessionView

_LATEST = 200
_BUSY_S = 60.0
_TITLES = ("TIME", "ASKED → SERVED", "STATE", "TTFT", "TOTAL", "TOK/S", "IN", "OUT", "COST")


class SessionsScreen(SessionActing, ListActs):
    """Screen 2."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.TABLE, Scope.SESSIONS, Scope.SESSION)
    TAB = "sessions"
    NAME = "Sessions"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._words: list[str] = []
        look = desk.look
        catalog, of_session = (
            session_catalog(desk.now),
            request_catalog(desk.now, "session-requests", "Requests", _TITLES),
        )
        self.sessions = Table[SessionView](look, catalog.usual, lambda view: view.id, id="sessions")
        self.set_up_list(self.sessions, catalog)
        self.sessions.heading_of, self.sessions.empty_of = self._heading, self._empty
        self.requests = Table[RequestView](look, of_session.usual, lambda view: view.id, id="session-requests")
        self.set_up_list(self.requests, of_session)
        self.requests.heading_of = self._requests_heading
        self.requests.empty_of = lambda: [[("No request of it is held here.", "muted")]]
        self.filter_bar = FilterBar(look, self._verdict, "words of the id, client, key or title", id="filter")

    def compose_body(self) -> ComposeResult:
        """The list, and the requests of the selected session."""
        yield self.filter_bar
        with Container(id="split"):
            yield self.sessions
            yield self.requests

    def home_pane(self) -> Pane:
        """The list."""
        return self.sessions

    def paint_body(self, due: frozenset[Due]) -> None:
        """Twice a second: ages move, sums grow."""
        if Due.SIDE not in due:
            return
        found = [view for view in self.desk.state.latest_sessions(self.desk.now(), _BUSY_S) if self._is_found(view)]
        table = self.sessions
        if table.marked:
            table.marked.keep(self.desk.state.sessions)
        table.grow_old()
        self.requests.grow_old()
        table.set_rows(found)
        self.filter_bar.repaint()
        self._paint_requests()

    def _paint_requests(self) -> None:
        selected = self.sessions.selected
        self.requests.set_rows(self.desk.state.session_requests(selected.id, _LATEST) if selected else [])

    def _is_found(self, view: SessionView) -> bool:
        text = f"{view.id} {view.client} {view.key_name} {view.title}".lower()
        return all(word in text for word in self._words)

    def _heading(self) -> tuple[Line, Line]:
        total = len(self.desk.state.sessions)
        shown = len(self.sessions.model)
        words = fmt.grouped(total) if shown == total else f"{fmt.grouped(shown)} of {fmt.grouped(total)}"
        return [("Sessions", "title"), (f" {words}", "text")], [("busy in the last minute first", "muted")]

    def _requests_heading(self) -> tuple[Line, Line]:
        selected = self.sessions.selected
        if selected is None:
            return [("Requests", "title")], []
        left: Line = [("Requests of", "title"), (f" {name(selected.id)}", "text")]
        return left, [(self.key("list.open"), "key"), (" opens the session", "muted")]

    def _empty(self) -> list[Line]:
        if self._words:
            return [
                [],
                [("No session has these words. ", "text"), (self.key("back"), "key"), (" shows all again.", "muted")],
            ]
        return [[], [("No session yet: they appear with their first request.", "muted")]]

    def _verdict(self, width: int) -> list[Line]:
        found = f"{fmt.grouped(len(self.sessions.model))} of {fmt.grouped(len(self.desk.state.sessions))}"
        return [[(found, "text"), (f"  {self.key('back')}", "key"), (" clear", "muted")]]

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        """Every word must occur."""
        event.stop()
        self._find(event.text)
        self.paint_all()

    def on_filter_bar_accepted(self, event: FilterBar.Accepted) -> None:
        """Back to the list."""
        event.stop()
        self.sessions.focus()
        self.filter_bar.show(bool(self._words))

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another session's requests."""
        event.stop()
        if self.is_mounted:
            self._paint_requests()

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    def do_list_open(self) -> None:
        """The session, or one of its requests."""
        request = self.requests.selected
        if self.focused is self.requests and request is not None:
            self.post_message(Go("request", id=request.id))
        elif (selected := self.sessions.selected) is not None:
            self.post_message(Go("session", id=selected.id))

    def chosen_session(self) -> SessionView | None:
        """The selected one."""
        return self.sessions.selected

    def do_session_filter(self) -> None:
        """Opens the line to search in."""
        self.filter_bar.edit()

    def _find(self, text: str) -> None:
        self._words = text.lower().split()
        self.sessions.seek(words_sought(self._words, "id", "client", "key_name", "title"))

    def back(self) -> bool:
        """Leaves the search, shows all beside the marked, then clears the search."""
        if not self.filter_bar.is_editing and self.leave_marked():
            return True
        if self.filter_bar.is_editing or self._words:
            if not self.filter_bar.is_editing or not self._words:
                self._find("")
                self.filter_bar.set_text("")
            self.sessions.focus()
            self.filter_bar.show(bool(self._words))
            self.paint_all()
            return True
        if self.end_zoom():
            return True
        if self.focused is not self.sessions:
            self.sessions.focus()
            return True
        return False
