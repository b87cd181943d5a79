"""Live: every request as it runs, with the selected one's words and reason, sessions and deployments.

The list is the state's `listing`; this screen only moves the cursor, asks for the preview of the one
selected request and turns keys into changes of the listing.
"""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical

from atp_console import format as fmt
from atp_console.actions import Action, Scope
from atp_console.desk import Desk
from atp_console.listing import SORT_ORDER
from atp_console.paint import Line
from atp_console.preview import Preview
from atp_console.screens.base import Due, Go
from atp_console.screens.dialogs import Item, Picker
from atp_console.screens.views import SavedViews
from atp_console.widgets.columns import DEPLOYMENT_PANE_COLUMNS, SESSION_PANE_COLUMNS, name
from atp_console.widgets.first_run import FirstRunPane
from atp_console.widgets.live_panes import EnginePane, TailPane, WhyPane
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Table
from atp_engine.core.text import safe_text
from atp_engine.core.views import DeploymentView, RequestView, SessionView

_ASK_S = 0.25
_OLDER_PAGE = 200
_OLDER_PAGES = 5
_WITHOUT_REQUESTS = frozenset({"copy", "test"})


class LiveScreen(SavedViews):
    """The first screen."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.TABLE, Scope.LIVE)
    TAB = "live"
    NAME = "Live"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.preview = Preview(desk.source)
        self._is_loading_older = False
        self._has_older = True

        look, state = desk.look, desk.state
        self.requests.heading_of, self.requests.empty_of = self._requests_heading, self._nothing_matches
        self.first_run = FirstRunPane(look, is_readonly=desk.is_readonly, id="first-run")
        self.sessions = Table[SessionView](look, SESSION_PANE_COLUMNS, lambda view: view.id, id="sessions")
        self.sessions.heading_of = self._sessions_heading
        self.deployments = Table[DeploymentView](look, DEPLOYMENT_PANE_COLUMNS, lambda view: view.key, id="deployments")
        self.deployments.heading_of = lambda: (
            [("Deployments", "title"), (f" {len(state.deployments)}", "muted")],
            [],
        )
        self.tail_pane = TailPane(look, id="tail")
        self.why_pane = WhyPane(look, id="why")
        self.engine_pane = EnginePane(look, id="engine")

    # --- layout

    def compose_body(self) -> ComposeResult:
        """Filter line, list with side panes, previews below."""
        yield self.filter_bar
        with Vertical(id="live-body"):
            yield self.first_run
            with Horizontal(id="live-upper"):
                yield self.requests
                with Vertical(id="live-side"):
                    yield self.sessions
                    yield self.deployments
            with Container(id="live-lower"):
                yield self.tail_pane
                yield self.why_pane
                yield self.engine_pane

    def on_mount(self) -> None:
        """Follows the newest request at first."""
        self.set_class(self.is_first_run, "-empty", update=False)
        super().on_mount()
        self.requests.is_following = True
        if self.desk.preferences.problem:
            self.tell(safe_text(self.desk.preferences.problem, limit=200), severity="warning")
        self.set_interval(_ASK_S, self._ask_preview)

    def home_pane(self) -> Pane:
        """The list, or the first steps while there is nothing to list."""
        return self.first_run if self.is_first_run else self.requests

    @property
    def is_first_run(self) -> bool:
        """True while no request has ever been seen."""
        return not self.desk.state.request_count

    def is_available(self, action: Action) -> bool:
        """Without requests, what acts on them is not there."""
        has_object = not self.is_first_run or action.scope is Scope.GLOBAL or action.id in _WITHOUT_REQUESTS
        return has_object and super().is_available(action)

    def selected_request(self) -> RequestView | None:
        """The row under the cursor."""
        return None if self.is_first_run else self.requests.selected

    # --- painting

    def paint_body(self, due: frozenset[Due]) -> None:
        """List on every change, the panes around it twice a second."""
        state = self.desk.state
        if self._show_first_run():
            self.first_run.first_run, self.first_run.engine = state.first_run, state.engine
            self.first_run.repaint()
            return
        if Due.SIDE in due:
            self.listing.refresh(self.desk.now())
            self.requests.grow_old()
        if due & {Due.LIST, Due.SIDE}:
            self.requests.sync()
            self.requests.repaint()
            self.filter_bar.repaint()
        self.paint_preview()
        if Due.SIDE in due:
            self._paint_side()

    def _show_first_run(self) -> bool:
        if self.has_class("-empty") != self.is_first_run:
            had_focus = self.focused is None or self.focused in (self.first_run, self.requests)
            self.set_class(self.is_first_run, "-empty")
            self.refresh_bindings()
            if had_focus:
                self.home_pane().focus()
        return self.is_first_run

    def _paint_side(self) -> None:
        state = self.desk.state
        self.sessions.set_rows(state.latest_sessions(self.desk.now(), 0))
        self.deployments.set_rows(list(state.deployments.values()))
        self.engine_pane.engine, self.engine_pane.notices = state.engine, state.notices
        self.engine_pane.repaint()

    def paint_preview(self) -> None:
        """Turns tail and why to the selected request."""
        selected = self.selected_request()
        loop_time = asyncio.get_running_loop().time()
        if self.preview.point(selected.id if selected else "", loop_time, is_following=self.requests.is_following):
            self._ask_preview()
        view = self.desk.state.request(self.preview.id)
        tail, why = self.tail_pane, self.why_pane
        tail.view = why.view = view
        tail.tail = self.preview.tail(view) if view else None
        why.detail = self.preview.detail(view) if view else None
        tail.repaint()
        why.repaint()

    def _ask_preview(self) -> None:
        view = self.desk.state.request(self.preview.id)
        if view is None or not self.desk.state.is_connected or not self.tail_pane.region:
            return
        if self.app.screen is self and self.preview.is_due(view):
            self.run_worker(self.preview.ask(view), group="preview")

    def marks(self) -> Line:
        """Whether the list runs."""
        glyphs = self.desk.look.glyphs
        if self.is_first_run:
            return []
        mode = self.marked_mode()
        if self.listing.is_frozen:
            words: Line = [(f"{glyphs.frozen} FROZEN", "warn")]
        elif self.requests.is_following:
            words = [(f"{glyphs.down} FOLLOW", "ok")]
        else:
            words = [("pinned", "muted")]
        return [*mode, ("  ", "text"), *words] if mode else words

    def _requests_heading(self) -> tuple[Line, Line]:
        listing, glyphs, table = self.listing, self.desk.look.glyphs, self.requests
        dot = f" {glyphs.dot} "
        total = self.desk.state.request_count
        shown = (
            f" {fmt.grouped(len(listing))} of {fmt.grouped(total)}" if listing.is_narrowed else f" {fmt.grouped(total)}"
        )
        left: Line = [("Requests", "title"), (shown, "text")]
        if listing.is_errors_only:
            left.append((f"{dot}errors only", "bad"))
        direction = glyphs.up if listing.is_ascending else glyphs.down
        left.append((f"{dot}{listing.sort} {direction}", "muted"))
        if self.shown_view:
            left += [(f"{dot}view ", "muted"), (name(self.shown_view), "accent")]
        right: Line = []
        if listing.is_frozen:
            right = [(f"{glyphs.frozen} +{fmt.grouped(listing.new_while_frozen)} new", "warn")]
        elif table.top and not table.is_following:
            right = [(f"{glyphs.up} {fmt.grouped(table.top)} above, g to the top", "muted")]
        return left, right

    def _sessions_heading(self) -> tuple[Line, Line]:
        sessions = self.desk.state.sessions.values()
        running = sum(1 for one in sessions if one.in_flight)
        right: Line = [(f"{running} at work", "stream")] if running else []
        return [("Sessions", "title"), (f" {fmt.grouped(len(sessions))}", "muted")], right

    def _nothing_matches(self) -> list[Line]:
        if self.listing.is_narrowed:
            return [
                [],
                [("Nothing matches. ", "text"), (self.key("back"), "key"), (" shows everything again.", "muted")],
            ]
        return [[], [("No requests are held here.", "muted")]]

    # --- actions

    def back(self) -> bool:
        """Leaves the text field, shows all beside the marked, clears the filter, ends zoom, errors-only and
        freeze, in that order."""
        if not self.filter_bar.is_editing and self.leave_marked():
            return True
        if self.leave_filter():
            return True
        if self.end_zoom():
            return True
        if self.listing.is_errors_only:
            self.do_errors()
            return True
        if self.listing.is_frozen:
            self.do_freeze()
            return True
        if self.focused is not self.home_pane():
            self.home_pane().focus()
            return True
        return False

    def do_freeze(self) -> None:
        """Stands still, or runs."""
        if self.listing.is_frozen:
            self.listing.thaw(self.desk.now())
        else:
            self.listing.freeze()
        self.paint_all()

    def do_follow(self) -> None:
        """Stays with the newest, or with the selected."""
        if self.requests.is_following:
            self.requests.go(self.requests.cursor)
        else:
            self._follow()
        self.paint_all()

    def _follow(self) -> None:
        if self.listing.is_frozen:
            self.listing.thaw(self.desk.now())
        self.requests.follow()

    def do_list_first(self) -> None:
        """In the request list the top follows."""
        if self.active_list() is self.requests:
            self._follow()
            self.paint_all()
        else:
            super().do_list_first()

    def do_sort(self) -> None:
        """The next order."""
        place = SORT_ORDER.index(self.listing.sort)
        self._sort_by(SORT_ORDER[(place + 1) % len(SORT_ORDER)], is_ascending=False)

    def do_sort_reverse(self) -> None:
        """The other way round."""
        self._sort_by(self.listing.sort, is_ascending=not self.listing.is_ascending)

    def _sort_by(self, sort: str, *, is_ascending: bool) -> None:
        if self.listing.is_frozen:
            self.listing.thaw(self.desk.now())
        self.listing.set_sort(sort, self.desk.now(), is_ascending=is_ascending)
        self.paint_all()

    def do_list_open(self) -> None:
        """The request, the session's requests, or the deployment."""
        session, deployment = self.sessions.selected, self.deployments.selected
        if self.focused is self.sessions:
            if session is not None:
                self.set_query(f'session="{name(session.id)}"')
                self.requests.focus()
            return
        if self.focused is self.deployments:
            if deployment is not None:
                self.post_message(Go("models", id=deployment.key))
            return
        view = self.selected_request()
        if view is not None:
            self.post_message(Go("request", id=view.id))

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    def on_table_moved(self, event: Table.Moved) -> None:
        """Moving marks the header; at the end of the list, older requests are fetched."""
        event.stop()
        table = self.requests
        if not table.is_following and table.cursor >= len(self.listing) - 1 and self.listing.sort == "time":
            self._load_older()

    def _load_older(self) -> None:
        state = self.desk.state
        if self._is_loading_older or not self._has_older or state.is_full or self.listing.is_frozen:
            return
        if self.listing.is_ascending or not state.is_connected or not state.oldest_id:
            return
        self._is_loading_older = True
        self.ask(self._older())

    async def _older(self) -> None:
        """Pages of the past, until something of them shows in the list."""
        state = self.desk.state
        before = len(self.listing)
        try:
            for _ in range(_OLDER_PAGES):
                page = await self.desk.source.requests("", _OLDER_PAGE, state.oldest_id)
                state.add_older(page.requests, self.desk.now())
                self._has_older = bool(page.next_before)
                if not self._has_older or state.is_full or len(self.listing) > before:
                    break
        finally:
            self._is_loading_older = False

    def do_copy(self) -> None:
        """A line of the first steps, or something of the selected request."""
        first_run = self.desk.state.first_run
        if not self.is_first_run or first_run is None:
            super().do_copy()
            return
        pastes = [(one.name, "\n".join(one.lines)) for one in first_run.connections[:9]]
        items = [
            Item(str(place), safe_text(title, limit=40), str(place + 1)) for place, (title, _) in enumerate(pastes)
        ]

        def chosen(picked: str | None) -> None:
            if picked:
                title, text = pastes[int(picked)]
                self.copy(safe_text(title, limit=40), text)

        self.app.push_screen(Picker(self.desk.look, "Copy the lines for", items, is_searchable=False), chosen)

    def do_replay(self) -> None:
        """Sends the selected request again."""
        self.replay_request()

    def do_replay_as(self) -> None:
        """Sends it to another model."""
        self.replay_request_as()

    def do_whatif(self) -> None:
        """How it would be routed now."""
        self.ask_whatif()

    def do_cancel(self) -> None:
        """Ends the selected request after a question."""
        self.cancel_request()

    def do_test(self) -> None:
        """One request through the simulated model."""
        self.ask(self._test())

    async def _test(self) -> None:
        reply = await self.desk.source.test_request()
        said = safe_text(reply.text, limit=80)
        self.tell(f"Test request: {reply.status} {said}", severity="information" if reply.status == 200 else "error")
