"""One request: its attempts in time, why it went where it went, every figure, what was said, the raw
events, and what the client sent beside what went up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from textual.app import ComposeResult
from textual.containers import Container

from atp_console import bodies, exports, frames, sent_text
from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.paint import Line
from atp_console.screens import taking
from atp_console.screens.base import LEAST_HEIGHT, Due
from atp_console.screens.request_acts import RequestActs
from atp_console.screens.taking import Way
from atp_console.widgets.columns import name
from atp_console.widgets.pane import Pane
from atp_console.widgets.request_panes import CandidatesPane, NumbersPane, TimelinePane
from atp_console.widgets.table import Table
from atp_console.widgets.text_view import TextView, wrapped_lines
from atp_engine.client.errors import EngineError, EngineRefused
from atp_engine.core.sent_views import SentView
from atp_engine.core.text import safe_text
from atp_engine.core.views import RequestDetail, RequestView

_ASK_S = 1.0
_IN_THREAD_CHARS = 20_000
_TABS = ("overview", "why", "request", "response", "events", "sent")
_TITLES = ("All", "Why", "Request", "Response", "Raw", "Sent")


class RequestScreen(RequestActs):
    """Opened over a list; `q` returns to it."""

    SCOPES = (Scope.LIST, Scope.REQUEST)
    NAME = "Request"

    def __init__(self, desk: Desk, id: str, *, opened_from: str) -> None:
        super().__init__(desk)
        self.request_id = id
        self.detail: RequestDetail | None = None
        self.tab = "overview"
        self._opened_from = opened_from
        self._is_raw = False
        self._missing = ""
        self._sent: SentView | None = None
        self._filled: dict[str, str] = {}
        """Which request, in which form, the tabs that are filled when they are turned to show."""
        self._is_asking = False
        look = desk.look
        self.timeline = TimelinePane(look, id="timeline")
        self.candidates = CandidatesPane(look, id="candidates")
        self.numbers = NumbersPane(look, id="numbers")
        self.request_body = TextView(look, lambda: self._body_heading("Request"), id="request-body")
        self.response_body = TextView(look, lambda: self._body_heading("Response"), id="response-body")
        self.events = TextView(look, lambda: self._wire_heading("Raw events", ""), id="raw-events")
        self.sent = TextView(look, lambda: self._wire_heading("Sent", " the client's and ours"), id="sent-calls")
        panes: tuple[Pane, ...] = (
            self.timeline,
            self.candidates,
            self.request_body,
            self.response_body,
            self.events,
            self.sent,
        )
        self._tabs: dict[str, Pane] = dict(zip(_TABS, panes, strict=True))

    def compose_body(self) -> ComposeResult:
        """Three panes above, the two bodies below; narrow screens show one tab at a time."""
        with Container(id="request-body-area"):
            with Container(id="request-upper"):
                yield self.timeline
                yield self.candidates
                yield self.numbers
            with Container(id="request-lower"):
                yield self.request_body
                yield self.response_body
            yield self.events
            yield self.sent

    def on_mount(self) -> None:
        """Asks for the request at once, and again while it is open."""
        super().on_mount()
        self.add_class("-tab-overview")
        self.ask(self._load())
        self.set_interval(_ASK_S, self._ask_again)

    def home_pane(self) -> Pane:
        """The pane of the tab."""
        return self._tabs[self.tab]

    def selected_request(self) -> RequestView | None:
        """This one."""
        held = self.desk.state.request(self.request_id)
        return held or (self.detail.request if self.detail else None)

    @property
    def shown_name(self) -> str:
        """The screen it was opened from."""
        return self._opened_from.capitalize()

    @property
    def shown_tab(self) -> str:
        """The screen it was opened from."""
        return self._opened_from

    # --- loading

    def _ask_again(self) -> None:
        is_open = self.detail is None or not self.detail.request.state.is_final
        if self.app.screen is self and is_open and self.desk.state.is_connected and not self._missing:
            self.ask(self._load())

    async def _load(self) -> None:
        if self._is_asking:
            return
        self._is_asking = True
        asked_id = self.request_id
        try:
            detail = await self.desk.source.request(asked_id)
        except EngineRefused as error:
            self._missing = error.message
        except EngineError:
            return
        else:
            if asked_id == self.request_id:
                await self._show(detail)
        finally:
            self._is_asking = False
        self.paint_all()

    async def _show(self, detail: RequestDetail) -> None:
        before, self.detail = self.detail, detail
        for view, now, then in (
            (self.request_body, detail.request_body, before.request_body if before else None),
            (self.response_body, detail.response_body, before.response_body if before else None),
        ):
            if before is None or now != then:
                await self._show_body(view, now)
        if before is not None and before.request.state is not detail.request.state:
            self._filled.clear()
        await self._fill()

    async def _show_body(self, view: TextView, body: str | None) -> None:
        if not body:
            view.set_lines([self._no_answer() if view is self.response_body else [(self._no_body(), "muted")]])
            return
        read = bodies.as_sent if self._is_raw else bodies.readable
        await self._lay_out(view, lambda: read(body), len(body))

    async def _lay_out(self, view: TextView, read: Callable[[], list[Line]], size: int) -> None:
        """Gives a view its lines; those of a long text are made and wrapped off the loop."""
        width = view.text_width

        def laid_out() -> tuple[list[Line], list[Line]]:
            lines = read()
            return lines, wrapped_lines(lines, width)

        lines, wrapped = await asyncio.to_thread(laid_out) if size > _IN_THREAD_CHARS else laid_out()
        if self.is_mounted:
            view.set_lines(lines, (width, wrapped))

    async def _fill(self) -> None:
        """The tabs that are made when they are turned to: raw events, and what was sent."""
        detail, tab = self.detail, self.tab
        if detail is None or tab not in ("events", "sent") or self._filled.get(tab) == detail.request.id:
            return
        self._filled[tab] = detail.request.id
        if tab == "events":
            body = detail.response_body
            if body:
                await self._lay_out(self.events, lambda: frames.lines_of(body), len(body))
            else:
                self.events.set_lines([[(self._no_body(), "muted")]])
            return
        if not detail.request.state.is_final:
            self.sent.set_lines([[(self._no_body(), "muted")]])
            return
        try:
            view = await self._asked_sent(detail.request.id)
        except EngineError as error:
            self._filled.pop(tab, None)
            self.sent.set_lines([[(safe_text(error.message, limit=300), "bad")]])
            return
        size = sum(len(call.body or "") for call in view.calls)
        await self._lay_out(self.sent, lambda: sent_text.lines_of(view, self.desk.look.glyphs), size)

    async def _asked_sent(self, id: str) -> SentView:
        """Asked for once; it does not change."""
        if self._sent is None or self._sent.request_id != id:
            self._sent = await self.desk.source.sent(id)
        return self._sent

    def _no_answer(self) -> Line:
        """The error that the client got instead, if it got one."""
        view = self.detail.request if self.detail else None
        if view is None or not view.state.is_final or not view.error_message:
            return [(self._no_body(), "muted")]
        words = safe_text(f"{view.http_status} {view.error_code}: {view.error_message}", limit=600)
        return [(f"{self.desk.look.glyphs.bad} {words}", "bad")]

    def _no_body(self) -> str:
        view = self.detail.request if self.detail else None
        if view is not None and not view.state.is_final:
            return "It is kept when the request is over."
        return "No body was kept of this request."

    # --- painting

    def paint_body(self, due: frozenset[Due]) -> None:
        """Twice a second; an open request's clock runs."""
        if Due.SIDE not in due:
            return
        self.set_class(self.size.height < LEAST_HEIGHT, "-tiny")
        for pane in (self.timeline, self.candidates, self.numbers):
            pane.detail, pane.now = self.detail, self.desk.now()
            pane.deployments = self.desk.state.deployments
            pane.repaint()

    def crumbs(self) -> Line:
        """Where one is."""
        crumb = f" {self.desk.look.glyphs.crumb} "
        detail = self.detail
        if detail is None:
            return [(crumb, "muted"), (self._missing or name(self.request_id), "bad" if self._missing else "muted")]
        session = name(detail.request.session_id)
        line: Line = [(crumb, "muted"), (session or name(detail.request.id), "text")]
        line.append((f"{crumb}request {detail.position} of {detail.session_requests}", "muted"))
        return line

    def vital_parts(self, width: int) -> list[tuple[int, Line]]:
        """The request's own vital signs instead of the engine's."""
        view = self.selected_request()
        if view is None:
            return []
        glyphs = self.desk.look.glyphs
        mark, role = fmt.state_mark(view, glyphs)
        cost = fmt.row_cost(view, glyphs, is_exact=True)
        parts: list[tuple[int, Line]] = [
            (0, [(mark, role)]),
            (1, [(fmt.duration(view.duration_ms, glyphs), "text")]),
            (2, [(cost, "text")]),
        ]
        if view.tries > 1:
            parts.append((2, [(f"{glyphs.tries} {view.tries} attempts", "warn")]))
        return parts

    def tab_words(self, width: int) -> list[tuple[Line, str]]:
        """Its own tabs by their letters."""
        gap = " " if width >= 100 else ""
        found: list[tuple[Line, str]] = []
        for tab, title in zip(_TABS, _TITLES, strict=True):
            key = self.key(f"tab.{tab}")
            words: Line = [(f"{key}{gap}{title}", "key")]
            found.append((words if tab == self.tab else [(key, "text"), (f"{gap}{title}", "muted")], f"tab.{tab}"))
        return found

    def marks(self) -> Line:
        """The neighbours in the session."""
        detail = self.detail
        older = "text" if detail and detail.previous_id else "muted"
        newer = "text" if detail and detail.next_id else "muted"
        return [
            (self.key("request.older"), "key"),
            (" prev  ", older),
            (self.key("request.newer"), "key"),
            (" next", newer),
        ]

    def _body_heading(self, title: str) -> tuple[Line, Line]:
        view = self.selected_request()
        dialect = f" {name(view.dialect)}" if view is not None else ""
        left: Line = [(title, "title"), (dialect, "muted")]
        return left, [("as sent" if self._is_raw else "as text", "muted")]

    def _wire_heading(self, title: str, rest: str) -> tuple[Line, Line]:
        view = self.selected_request()
        dialect = f" {name(view.dialect)}" if view is not None and not rest else rest
        return [(title, "title"), (dialect, "muted")], []

    # --- actions

    def do_tab_overview(self) -> None:
        """Timeline, why and numbers."""
        self._turn("overview")

    def do_tab_why(self) -> None:
        """Every candidate."""
        self._turn("why")

    def do_tab_request(self) -> None:
        """What was sent."""
        self._turn("request")

    def do_tab_response(self) -> None:
        """What came."""
        self._turn("response")

    def do_tab_events(self) -> None:
        """Every frame of the answer."""
        self._turn("events")

    def do_tab_sent(self) -> None:
        """The client's call and ours."""
        self._turn("sent")

    def _turn(self, tab: str) -> None:
        self.end_zoom()
        for other in self._tabs:
            self.set_class(other == tab, f"-tab-{other}")
        self.tab = tab
        self.call_after_refresh(self._after_turn)

    def _after_turn(self) -> None:
        self.home_pane().focus()
        self.ask(self._fill())
        self.paint_all()

    def do_request_older(self) -> None:
        """The session's request before this one."""
        self._step(self.detail.previous_id if self.detail else "", "It is the session's first request.")

    def do_request_newer(self) -> None:
        """The session's request after this one."""
        self._step(self.detail.next_id if self.detail else "", "It is the session's latest request.")

    def _step(self, id: str, at_the_end: str) -> None:
        if not id:
            self.tell(at_the_end)
            return
        self.request_id, self._missing = id, ""
        self.ask(self._load())

    def do_body_form(self) -> None:
        """Readable or as sent."""
        self._is_raw = not self._is_raw
        self.ask(self._reread())

    async def _reread(self) -> None:
        if self.detail is not None:
            await self._show_body(self.request_body, self.detail.request_body)
            await self._show_body(self.response_body, self.detail.response_body)

    def do_list_open(self) -> None:
        """Gives the focused pane the whole body."""
        self.toggle_zoom()

    def on_table_opened(self, event: Table.Opened) -> None:
        """No table here."""
        event.stop()

    def row_taken(self) -> object | None:
        """This one."""
        return self.selected_request()

    def do_request_copy(self) -> None:
        """Copy menu."""
        taking.copy_row(self)

    def do_request_export(self) -> None:
        """Into a file, in the form that is asked for."""
        stem = f"atp-{safe_text(self.request_id, limit=60)}"
        whole = Way("j", "JSON, everything known of it", "json", self._whole, stem)
        taking.export_rows(self, [whole] if self.detail is not None else [])

    async def _whole(self) -> str:
        detail = self.detail
        whole = msgspec.to_builtins(detail)
        if detail is not None and detail.request.state.is_final:
            whole["sent"] = msgspec.to_builtins(await self._asked_sent(detail.request.id))
        return exports.as_json(whole)

    def do_request_replay(self) -> None:
        """Sends it again."""
        self.replay_request()

    def do_request_replay_as(self) -> None:
        """Sends it to another model."""
        self.replay_request_as()

    def do_request_whatif(self) -> None:
        """How it would be routed now."""
        self.ask_whatif()

    def do_request_cancel(self) -> None:
        """Ends it after a question."""
        self.cancel_request()

    def back(self) -> bool:
        """Ends zoom, then leaves a tab, then the screen."""
        if self.end_zoom():
            return True
        if self.tab != "overview":
            self._turn("overview")
            return True
        return False
