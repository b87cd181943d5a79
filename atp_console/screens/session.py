"""One session: what it is held to, its sums, and its requests, the newest first."""

from __future__ import annotations

from textual.app import ComposeResult

from atp_console import format as fmt
from atp_console.actions import Action, Scope
from atp_console.desk import Desk
from atp_console.paint import Line
from atp_console.screens.base import LEAST_HEIGHT, Due, Go
from atp_console.screens.session_acts import SessionActing
from atp_console.widgets.columns import REQUEST_COLUMNS, name
from atp_console.widgets.pane import Pane
from atp_console.widgets.request_panes import flowing
from atp_console.widgets.table import Column, Table
from atp_engine.client.errors import EngineError
from atp_engine.core.text import safe_text
from atp_engine.core.views import RequestView, SessionView

_MOST = 500
_LEFT_OUT = ("SESSION", "CLIENT", "KEY")
_COLUMNS: tuple[Column[RequestView], ...] = tuple(one for one in REQUEST_COLUMNS if one.title not in _LEFT_OUT)


class SessionScreen(SessionActing):
    """Opened with enter from Sessions."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.SESSION)
    TAB = "sessions"
    NAME = "Session"

    def __init__(self, desk: Desk, id: str) -> None:
        super().__init__(desk)
        self._session_id = id
        self._kept: SessionView | None = desk.state.sessions.get(id)
        self._stored: dict[str, RequestView] = {}
        self.facts = FactsPane(self, id="session-facts")
        self.requests = Table[RequestView](desk.look, _COLUMNS, lambda view: view.id, id="session-all")
        self.requests.heading_of = lambda: (
            [("Requests", "title"), (f" {fmt.grouped(len(self.requests.model))}", "text")],
            [],
        )
        self.requests.empty_of = lambda: [[("No request of it is kept.", "muted")]]

    def compose_body(self) -> ComposeResult:
        """Facts above the list."""
        yield self.facts
        yield self.requests

    def on_mount(self) -> None:
        """Asks for what is stored of it."""
        super().on_mount()
        self.ask(self._read())

    async def _read(self) -> None:
        try:
            detail = await self.desk.source.talks.detail(self._session_id)
        except EngineError:
            return  # what is held here is shown; the frame tells of a lost engine
        self._kept = self._kept or detail.session
        self._stored = {view.id: view for view in detail.requests}
        self.paint_all()

    def home_pane(self) -> Pane:
        """The list."""
        return self.requests

    def crumbs(self) -> Line:
        """Which session."""
        return [(f" {self.desk.look.glyphs.dot} {name(self._session_id)}", "text")]

    @property
    def view(self) -> SessionView | None:
        """The session as it is now, or as it was last."""
        view = self.desk.state.sessions.get(self._session_id)
        if view is not None:
            self._kept = view
        return self._kept

    @property
    def is_over(self) -> bool:
        """True when the engine has forgotten it."""
        return self._session_id not in self.desk.state.sessions

    def chosen_session(self) -> SessionView | None:
        """This one, while it goes on."""
        return self.desk.state.sessions.get(self._session_id)

    def is_available(self, action: Action) -> bool:
        """A session that is over cannot be acted on."""
        return super().is_available(action) and not (
            action.is_mutating and action.scope is Scope.SESSION and self.is_over
        )

    def paint_body(self, due: frozenset[Due]) -> None:
        """Twice a second."""
        if Due.SIDE not in due:
            return
        self.set_class(self.size.height < LEAST_HEIGHT, "-tiny")
        rows = {**self._stored, **{view.id: view for view in self.desk.state.session_requests(self._session_id, _MOST)}}
        ordered = sorted(rows.values(), key=lambda view: (view.started_at, view.id), reverse=True)
        self.requests.set_rows(ordered[:_MOST])
        self.facts.repaint()

    def do_list_open(self) -> None:
        """The request."""
        selected = self.requests.selected
        if selected is not None:
            self.post_message(Go("request", id=selected.id))

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    def back(self) -> bool:
        """Ends zoom."""
        return self.end_zoom()


class FactsPane(Pane):
    """Who it is, what it did, what it is held to."""

    def __init__(self, owner: SessionScreen, *, id: str) -> None:
        super().__init__(owner.desk.look, id=id)
        self._owner = owner

    def heading(self) -> tuple[Line, Line]:
        """Its id and whether it goes on."""
        view = self._owner.view
        if view is None:
            return [("Session", "title")], []
        state: Line = [("over", "muted")] if self._owner.is_over else hold_line(view, self.look.glyphs.frozen)
        return [("Session", "title"), (f" {name(view.id)}", "text")], state

    def lines(self, width: int, height: int) -> list[Line]:
        """Label and value per line."""
        view, glyphs, now = self._owner.view, self.look.glyphs, self._owner.desk.now()
        if view is None:
            return [[("Nothing is known of it.", "muted")]]
        dot = f" {glyphs.dot} "
        errors: Line = [(f"{dot}{view.errors} failed", "bad")] if view.errors else []
        budget = "no cap" if view.budget_usd is None else f"${view.budget_usd:g} this month"
        facts: list[tuple[str, Line]] = [
            ("title", [(safe_text(view.title, limit=200) or glyphs.none, "text")]),
            ("from", [(f"{name(view.client) or glyphs.none}{dot}key {name(view.key_name) or glyphs.none}", "text")]),
            ("requests", [(f"{fmt.grouped(view.requests)}{dot}{view.in_flight} in flight", "text"), *errors]),
            ("tokens", [(f"{fmt.grouped(view.prompt_tokens)} in{dot}{fmt.grouped(view.output_tokens)} out", "text")]),
            ("cost", [(fmt.cost(view.cost_nusd, view.price_state, glyphs), "text")]),
            (
                "time",
                [(f"began {fmt.age(now - view.started_at)} ago{dot}last {fmt.age(now - view.last_at)} ago", "text")],
            ),
            (
                "held to",
                [
                    (f"deployment {name(view.pinned) or 'by route'}", "warn" if view.pinned else "muted"),
                    (f"{dot}class {view.qos or 'of its key'}", "warn" if view.qos else "muted"),
                    (f"{dot}budget {budget}", "warn" if view.budget_usd is not None else "muted"),
                ],
            ),
        ]
        if height < len(facts):
            short = dict(facts)
            order = ("requests", "cost", "tokens", "held to", "from", "time", "title")
            return flowing([(label, short[label]) for label in order], width)
        return [[(f"{label:<9}", "muted"), *spans] for label, spans in facts]


def hold_line(view: SessionView, mark: str) -> Line:
    """Whether it goes on, as glyph and word."""
    return [(f"{mark} {view.hold}", "warn")] if view.hold else [("goes on", "muted")]
