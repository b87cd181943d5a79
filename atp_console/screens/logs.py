"""Logs: what operators did, and what the engine said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from textual.app import ComposeResult

from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.look import Look
from atp_console.paint import Line, Span, wrapped
from atp_console.screens.base import Due, Go
from atp_console.screens.lists import ListActs, words_sought
from atp_console.widgets.bars import FilterBar
from atp_console.widgets.columns import name
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Catalog, Table, column
from atp_engine.client.errors import EngineError
from atp_engine.core.log_views import AuditView, LogLine
from atp_engine.core.text import safe_text

_MOST = 500
_AGAIN_S = 2.0
_LEVELS = ("debug", "info", "warning", "error")
_WORDS = {"warning": "warn", "critical": "fatal"}
_ROLES = {"debug": "muted", "info": "text", "warning": "warn", "error": "bad", "critical": "bad"}


class LogsScreen(ListActs):
    """Screen 7: two lists, one at a time on a small screen."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.TABLE, Scope.LOGS)
    TAB = "logs"
    NAME = "Logs"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        look = desk.look
        self.level = "info"
        self._words: list[str] = []
        self._lines: tuple[LogLine, ...] = ()
        self._acts: tuple[AuditView, ...] = ()
        self._problem = ""
        self._read_at = float("-inf")
        self._is_reading = False
        self.logs = Table[LogLine](look, _LOG.usual, lambda one: str(one.number), id="log-lines")
        self.set_up_list(self.logs, _LOG)
        self.logs.heading_of = self._log_heading
        self.logs.empty_of = lambda: [[], [("Nothing at this level.", "muted")]]
        self.acts = Table[AuditView](look, _AUDIT.usual, lambda one: str(one.number), id="audit-lines")
        self.set_up_list(self.acts, _AUDIT)
        self.acts.heading_of = self._act_heading
        self.acts.empty_of = lambda: [[], [("Nobody changed anything yet.", "muted")]]
        self.detail = RecordPane(look, id="log-detail")
        self.filter_bar = FilterBar(look, self._verdict, "words of a line", id="filter")

    def compose_body(self) -> ComposeResult:
        """The lists, and the selected record whole."""
        yield self.filter_bar
        yield self.logs
        yield self.acts
        yield self.detail

    def home_pane(self) -> Pane:
        """The log."""
        return self.logs

    def marks(self) -> Line:
        """The level."""
        level: Line = [("level ", "muted"), (f"{self.level}+", "text")]
        mode = self.marked_mode()
        return [*mode, ("  ", "text"), *level] if mode else level

    def paint_body(self, due: frozenset[Due]) -> None:
        """Reads again every two seconds while it is looked at."""
        if Due.SIDE not in due:
            return
        for table in (self.logs, self.acts):
            table.grow_old()
            table.repaint()
        self.filter_bar.repaint()
        is_on_top = self.app.screen_stack[-1] is self
        if is_on_top and not self._is_reading and self.desk.state.is_connected:
            age = self.desk.now() - self._read_at
            if age >= _AGAIN_S or age < 0:
                self.read_now()

    def read_now(self) -> None:
        """Asks the engine, beside the loop."""
        self._is_reading = True
        self._read_at = self.desk.now()
        self.run_worker(self._read(self.level), exclusive=True, group="logs")

    async def _read(self, level: str) -> None:
        try:
            page = await self.desk.source.logs(level, _MOST)
            acts = await self.desk.source.audit(_MOST)
        except EngineError as error:
            self._problem = error.message
        else:
            self._problem, self._lines, self._acts = "", page.lines, acts.entries
        finally:
            self._is_reading = False
        self._show()

    def _show(self) -> None:
        self.logs.set_rows([one for one in self._lines if self._is_found(_text_of(one))])
        self.acts.set_rows([one for one in self._acts if self._is_found(f"{one.actor} {one.action} {one.target}")])
        self._paint_detail()
        self.filter_bar.repaint()

    def _is_found(self, text: str) -> bool:
        lower = text.lower()
        return all(word in lower for word in self._words)

    def _paint_detail(self) -> None:
        zone = self.desk.look.zone
        if self.focused is self.acts:
            self.detail.record = _act_record(self.acts.selected, zone)
        else:
            self.detail.record = _log_record(self.logs.selected)
        self.detail.repaint()

    def _log_heading(self) -> tuple[Line, Line]:
        if self._problem:
            return [("Log", "title")], [(name(self._problem), "bad")]
        return [("Log", "title"), (f" {fmt.grouped(len(self.logs.model))}", "text")], [("newest first", "muted")]

    def _act_heading(self) -> tuple[Line, Line]:
        return [("Audit", "title"), (f" {fmt.grouped(len(self.acts.model))}", "text")], [("who did what", "muted")]

    def _verdict(self, width: int) -> list[Line]:
        found = len(self.logs.model) + len(self.acts.model)
        total = len(self._lines) + len(self._acts)
        return [
            [
                (f"{fmt.grouped(found)} of {fmt.grouped(total)}", "text"),
                (f"  {self.key('back')}", "key"),
                (" clear", "muted"),
            ]
        ]

    # --- acts

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        """Every word must occur."""
        event.stop()
        self._find(event.text)
        self._show()

    def on_filter_bar_accepted(self, event: FilterBar.Accepted) -> None:
        """Back to the list."""
        event.stop()
        self.logs.focus()
        self.filter_bar.show(bool(self._words))

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another record."""
        event.stop()
        if self.is_mounted:
            self._paint_detail()

    def on_descendant_focus(self) -> None:
        """The other list."""
        self._paint_detail()

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    def do_list_open(self) -> None:
        """The request that a record is about."""
        line, act = self.logs.selected, self.acts.selected
        found = ""
        if self.focused is self.acts and act is not None and act.action.startswith("request."):
            found = act.target
        elif self.focused is not self.acts and line is not None:
            found = line.request_id
        if found:
            self.post_message(Go("request", id=found))
        else:
            self.tell("This line is about no request.")

    def do_log_level(self) -> None:
        """The next level, from debug to error."""
        self.level = _LEVELS[(_LEVELS.index(self.level) + 1) % len(_LEVELS)]
        self.read_now()
        self.app.call_later(self.paint, frozenset({Due.FRAME}))

    def do_log_filter(self) -> None:
        """Opens the line to search in."""
        self.filter_bar.edit()

    def _find(self, text: str) -> None:
        self._words = text.lower().split()
        for table in (self.logs, self.acts):
            table.seek(words_sought(self._words, _FOUND))

    def refill(self, table: Table[Any]) -> None:
        """Only the marked ones, or all."""
        self._show()
        self.paint_all()

    def marked_text(self, table: Table[Any]) -> str:
        """A line has no id that says anything: its words are copied."""
        marked = table.marked if table.marked is not None else ()
        if table is self.acts:
            acts = [_act_record(one, self.desk.look.zone) for one in self._acts if str(one.number) in marked]
            return "\n".join(" ".join(value for _, value in record) for record in acts)
        lines = [_log_record(one) for one in self._lines if str(one.number) in marked]
        return "\n".join(" ".join(value for _, value in record) for record in lines)

    def back(self) -> bool:
        """Leaves the search, shows all beside the marked, then clears the search."""
        if not self.filter_bar.is_editing and self.leave_marked():
            return True
        if self.filter_bar.is_editing or self._words:
            if not self.filter_bar.is_editing or not self._words:
                self._find("")
                self.filter_bar.set_text("")
            self.logs.focus()
            self.filter_bar.show(bool(self._words))
            self._show()
            return True
        if self.end_zoom():
            return True
        if self.focused is not self.logs:
            self.logs.focus()
            return True
        return False


class RecordPane(Pane):
    """One record whole: a line per field."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.record: list[tuple[str, str]] = []

    def heading(self) -> tuple[Line, Line]:
        """What it is."""
        return [("Record", "title")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Label and value."""
        found: list[Line] = []
        for label, value in self.record:
            for place, piece in enumerate(wrapped(value, max(10, width - 12)) or [""]):
                found.append([(f"{'' if place else label:<11} ", "muted"), (piece, "text")])
        return found


def _text_of(one: LogLine) -> str:
    return f"{one.level} {one.logger} {one.event} {one.request_id} {one.fields}"


def _log_record(one: LogLine | None) -> list[tuple[str, str]]:
    if one is None:
        return []
    shown = [("event", one.event), ("at", one.at), ("level", one.level), ("logger", one.logger)]
    shown += [("request", one.request_id)] if one.request_id else []
    shown += [(label, str(value)) for label, value in one.fields.items()]
    return [(safe_text(label, limit=20), safe_text(value, limit=2_000)) for label, value in shown]


def _act_record(one: AuditView | None, zone: Any) -> list[tuple[str, str]]:
    if one is None:
        return []
    at = datetime.fromtimestamp(one.at, zone or UTC).strftime("%Y-%m-%d %H:%M:%S")
    shown = [("act", one.action), ("target", one.target), ("by", one.actor), ("at", at), ("detail", one.detail)]
    return [(label, safe_text(value, limit=2_000)) for label, value in shown if value]


def _level(one: LogLine, look: Look) -> Span:
    glyphs = look.glyphs
    mark = {"warning": glyphs.half, "error": glyphs.bad, "critical": glyphs.bad}.get(one.level, glyphs.dot)
    return (f"{mark} {_WORDS.get(one.level, one.level)}", _ROLES.get(one.level, "text"))


def _more(one: LogLine, look: Look) -> Span:
    said = " ".join(f"{label}={value}" for label, value in one.fields.items() if label != "trace")
    return (safe_text(said, limit=200), "muted")


def _clock(at: str, look: Look) -> str:
    try:
        return fmt.clock(datetime.fromisoformat(at).timestamp(), look.zone)
    except ValueError:
        return look.glyphs.none


_FOUND = "found"
"""What a search by words looks into: nearly everything."""
_LOG: Catalog[LogLine] = Catalog(
    "log",
    "the log",
    (
        column("TIME", 8, lambda one, look: (_clock(one.at, look), "muted"), about="when it was said"),
        column("LEVEL", 7, _level, about="how severe it is", shows=(_FOUND,)),
        column("EVENT", 24, lambda one, look: (safe_text(one.event, limit=200), _ROLES.get(one.level, "text")),
               grow=3, most=200, about="what was said", shows=(_FOUND,)),
        column("FIELDS", 14, _more, rank=1, grow=2, most=120, about="the rest of it", shows=(_FOUND,)),
        column("LOGGER", 12, lambda one, look: (name(one.logger), "muted"), rank=3, grow=1, most=28,
               about="the part of the engine", shows=(_FOUND,)),
        column("REQUEST", 12, lambda one, look: (name(one.request_id) or look.glyphs.none, "muted"), rank=2, most=26,
               grow=1, about="the request that it is about", shows=(_FOUND,)),
    ),
    (column("AT", 24, lambda one, look: (safe_text(one.at, limit=32), "muted"), about="day and exact time"),),
)  # fmt: skip
_AUDIT: Catalog[AuditView] = Catalog(
    "audit",
    "the audit trail",
    (
        column("TIME", 8, lambda one, look: (fmt.clock(one.at, look.zone), "muted"), about="when it was done"),
        column("WHO", 12, lambda one, look: (name(one.actor), "text"), grow=1, most=24, about="who did it",
               shows=(_FOUND,)),
        column("ACT", 16, lambda one, look: (name(one.action), "accent"), grow=1, most=24, about="what was done",
               shows=(_FOUND,)),
        column("TARGET", 14, lambda one, look: (name(one.target) or look.glyphs.none, "text"), grow=2, most=60,
               about="to what", shows=(_FOUND,)),
        column("DETAIL", 14, lambda one, look: (safe_text(one.detail, limit=120), "muted"), rank=1, grow=2, most=80,
               about="more of it"),
    ),
    (column("DAY", 10, lambda one, look: (_day(one.at, look), "muted"), about="the day"),),
)  # fmt: skip


def _day(at: float, look: Look) -> str:
    return datetime.fromtimestamp(at, look.zone or UTC).strftime("%Y-%m-%d")
