"""What all full screens share: header with tabs, footer from the action table, repainting on a tick.

A screen carries out an action by its method `do_<id>`; the app carries out the global ones. Nothing
is painted when an event arrives, only in `paint`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from atp_console import files
from atp_console import format as fmt
from atp_console.actions import BY_ID, Action, Scope, actions_of
from atp_console.desk import Desk
from atp_console.key_names import is_typed
from atp_console.paint import Line
from atp_console.screens import taking
from atp_console.screens.dialogs import Item
from atp_console.widgets.bars import Bar, hints_line, titled
from atp_console.widgets.columns import name
from atp_console.widgets.notice_box import NoticeBox
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Table
from atp_console.widgets.text_view import TextView
from atp_engine.client.errors import EngineError
from atp_engine.core.text import safe_text

LEAST_HEIGHT = 16
"""Rows below which a screen shows its list alone."""
VIEW = "view:"
"""Before a saved view's name in an id."""


class Due(Enum):
    """What a tick may find due to be repainted; spread over ticks so that none takes long."""

    LIST = auto()
    """The request list: when requests changed, at most ten times a second."""
    FRAME = auto()
    """Header, footer, the box of a lost engine: twice a second, and when the link changes."""
    SIDE = auto()
    """Everything else: twice a second."""


TABS = (
    ("Live", "live"),
    ("Sessions", "sessions"),
    ("Metrics", "metrics"),
    ("Models", "models"),
    ("Config", "config"),
    ("Logs", "logs"),
    ("Play", "play"),
    ("Keys", "keys"),
)
"""Words in the header and the tab that they open."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded request with its answer's text, and the request that was started anew from it."""

    recorded_id: str
    recorded_text: str
    started_id: str
    model: str


@dataclass
class Go(Message):
    """Asks the app for another screen: requests that match `query`, a request, a deployment, or a replay."""

    tab: str
    query: str = ""
    id: str = ""
    replay: Replay | None = None


class ConsoleScreen(Screen[None], inherit_bindings=False):
    """Base of Live, Sessions, Models and Request."""

    SCOPES: ClassVar[tuple[Scope, ...]] = ()
    TAB: ClassVar[str] = ""
    NAME: ClassVar[str] = ""
    group_taken = ""
    """The filter field that a row's name belongs to, where rows are sums of others."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (130, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (22, "-short"), (30, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = ""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._heights: dict[Widget, Any] = {}
        """Heights of their own that zoomed panes get back."""
        self.bind_keys()
        self._head = Bar(desk.look, self._header, id="header")
        self._foot = Bar(desk.look, self._footer, id="footer")
        self._lost = NoticeBox(desk.look, lambda: desk.state.link, id="lost")

    def bind_keys(self) -> None:
        """Binds the keys of the person who looks."""
        self._bindings = self.desk.keys.bindings(self.SCOPES)

    def key(self, action_id: str) -> str:
        """An action's key as it is shown in a text."""
        return self.desk.look.key(action_id)

    # --- what subclasses say

    def compose_body(self) -> ComposeResult:
        """The panes between header and footer."""
        yield from ()

    def crumbs(self) -> Line:
        """What follows the screen's name in the header."""
        return []

    @property
    def shown_name(self) -> str:
        """The name in the header."""
        return self.NAME

    @property
    def shown_tab(self) -> str:
        """The tab that is marked as here."""
        return self.TAB

    def marks(self) -> Line:
        """What stands at the right end of the header."""
        return []

    def paint_body(self, due: frozenset[Due]) -> None:
        """Repaints the panes that are due."""

    def home_pane(self) -> Pane | None:
        """The pane that has the focus at first and gets it back."""
        return None

    def back(self) -> bool:
        """Undoes one step inside the screen; False when there is none."""
        return False

    def palette_items(self) -> list[Item]:
        """What the palette lists beside the actions."""
        views = self.desk.preferences.views
        return [Item(f"{VIEW}{one.name}", f"Open the view {name(one.name)}", group="Saved views") for one in views]

    def run_item(self, id: str) -> None:
        """Does what stands in the palette beside the actions."""
        self.post_message(Go("live", id=id))

    # --- frame

    def compose(self) -> ComposeResult:
        """Header, body, footer, and the box that tells of a lost engine."""
        yield self._head
        yield from self.compose_body()
        yield self._foot
        yield self._lost

    def on_mount(self) -> None:
        """The home pane gets the focus; the classes of this size are there from the first layout on."""
        classes = {}
        for limits, cells in (
            (self.HORIZONTAL_BREAKPOINTS, self.app.size.width),
            (self.VERTICAL_BREAKPOINTS, self.app.size.height),
        ):
            fitting = [title for least, title in limits if cells >= least]
            classes.update({title: title == fitting[-1] for _, title in limits})
        self.update_classes(classes)  # in one: each update styles every widget of the screen anew
        home = self.home_pane()
        if home is not None:
            home.focus()

    def on_screen_resume(self) -> None:
        """Everything is painted when the screen comes back."""
        self.call_after_refresh(self.paint_all)

    def paint_all(self) -> None:
        """Paints the whole screen now."""
        self.paint(frozenset(Due))

    def paint(self, due: frozenset[Due]) -> None:
        """Called by the app's tick."""
        if not self.is_mounted:
            return
        self.paint_body(due)
        if Due.FRAME in due:
            self._lost.update()
            self._head.repaint()
            self._foot.repaint()

    def _header(self, width: int) -> list[Line]:
        look, state = self.desk.look, self.desk.state
        glyphs = look.glyphs
        brand: Line = [("ATP ", "accent"), (self.shown_name, "strong")]
        left: list[tuple[int, Line]] = [(0, brand + self.crumbs()), *self.vital_parts(width)]
        tabs: list[tuple[int, Line]] = [(0, words) for words, _ in self.tab_words(width)]
        right: Line = [("read-only" if self.desk.is_readonly else "rw", "warn" if self.desk.is_readonly else "muted")]
        right.append((f" {glyphs.dot} {self.desk.place}", "muted"))
        if state.engine is not None and state.engine.config_problems:
            tabs.append((1, [(f"{glyphs.bad} config file not applied", "bad")]))
        if state.engine is not None and state.engine.warnings:
            more = f" (+{len(state.engine.warnings) - 1})" if len(state.engine.warnings) > 1 else ""
            tabs.append((2, [(f"{glyphs.half} {safe_text(state.engine.warnings[0], limit=40)}{more}", "warn")]))
        return [titled(left, self.marks(), width, look), titled(tabs, right, width, look)]

    def tab_words(self, width: int) -> list[tuple[Line, str]]:
        """The words of each tab of the header, this one marked, with the action that opens it."""
        gap = " " if width >= 100 else ""
        found: list[tuple[Line, str]] = []
        for title, tab in TABS:
            action_id = f"screen.{tab}"
            key = self.key(action_id) if self.desk.keys.keys_of(BY_ID[action_id]) else ""
            is_here = tab == self.shown_tab
            words: Line = [(f"{key}{gap}{title}", "key")] if is_here else [(key, "text"), (f"{gap}{title}", "muted")]
            found.append((words, action_id))
        return found

    def tab_places(self, width: int) -> list[tuple[str, int, str]]:
        """The tabs that have room in the header's second line: action, column of the key, the key."""
        found: list[tuple[str, int, str]] = []
        shown = "".join(text for text, _ in self._header(width)[1])
        at = 0
        for words, action_id in self.tab_words(width):
            text = "".join(part for part, _ in words)
            at = shown.find(text, at)
            if at < 0:
                break
            found.append((action_id, at, self.key(action_id)))
            at += len(text)
        return found

    def vital_parts(self, width: int) -> list[tuple[int, Line]]:
        """The engine's vital signs, ranked for the room there is."""
        look, engine = self.desk.look, self.desk.state.engine
        glyphs = look.glyphs
        if engine is None or self.desk.state.link is not None:
            return [
                (
                    1,
                    [
                        (
                            f"{glyphs.bad} engine away" if self.desk.state.link else f"{glyphs.connecting} connecting",
                            "warn",
                        )
                    ],
                )
            ]
        up = fmt.span(engine.uptime_s)
        where = f"engine {name(engine.url.partition('//')[2])} " if width >= 110 else ""
        spark = fmt.sparkline(list(self.desk.state.rates), 10, glyphs) if width >= 110 else ""
        error_role = "bad" if engine.error_share >= 0.05 else "warn" if engine.error_share >= 0.01 else "text"
        return [
            (3, [(f"{glyphs.full_dot} ", "ok"), (f"{where}up {up}", "muted")]),
            (
                2,
                [("rps ", "muted"), (f"{engine.requests_per_s:.1f}", "text"), (f" {spark}" if spark else "", "stream")],
            ),
            (1, [("in-flight ", "muted"), (str(engine.in_flight), "text")]),
            (2, [("err ", "muted"), (fmt.share(engine.error_share), error_role)]),
            (4, [("p95 ", "muted"), (fmt.duration(engine.p95_ms, glyphs), "text")]),
            (2, [(f"{fmt.dollars(engine.cost_per_hour_nusd)}/h", "text")]),
        ]

    def _footer(self, width: int) -> list[Line]:
        return [hints_line(self.live_actions(), width, self.desk.look)]

    # --- actions

    def live_actions(self) -> list[tuple[Action, list[str]]]:
        """The actions that have a key here and now, each with its keys."""
        found: dict[str, list[str]] = {}
        is_typing = isinstance(self.focused, (Input, TextArea))
        for key, active in self.active_bindings.items():
            action_id = active.binding.id
            if action_id in BY_ID and active.enabled and not (is_typing and is_typed(key)):
                found.setdefault(action_id, []).append(key)
        return [(BY_ID[action_id], keys) for action_id, keys in found.items()]

    def available_actions(self) -> list[Action]:
        """Every action that can be run here, with a key or without."""
        return [one for one in actions_of((*self.SCOPES, Scope.GLOBAL)) if self.is_available(one)]

    def is_available(self, action: Action) -> bool:
        """False for actions that must not exist now."""
        return not (action.is_mutating and self.desk.is_readonly)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Textual's question whether a binding is live."""
        if action == "act" and parameters and str(parameters[0]) in BY_ID:
            return self.is_available(BY_ID[str(parameters[0])])
        return True

    def action_act(self, id: str) -> None:
        """Carries out an action of this screen."""
        action = BY_ID[id]
        if self.is_available(action):
            getattr(self, action.method)()

    def do_list_down(self) -> None:
        """Next row or line."""
        self._scrolled(1)

    def do_list_up(self) -> None:
        """Row or line before."""
        self._scrolled(-1)

    def do_list_page_down(self) -> None:
        """Half a page on."""
        self._scrolled(max(1, self._page() // 2))

    def do_list_page_up(self) -> None:
        """Half a page back."""
        self._scrolled(-max(1, self._page() // 2))

    def do_list_first(self) -> None:
        """To the top."""
        pane = self.active_list()
        if pane is not None:
            pane.go(0)

    def do_list_last(self) -> None:
        """To the bottom."""
        pane = self.active_list()
        if isinstance(pane, Table):
            pane.go(len(pane.model) - 1)
        elif pane is not None:
            pane.go(pane.line_count)

    def do_list_open(self) -> None:
        """Opens the selected row."""

    def view_path(self) -> str:
        """The dashboard's page of this list, below the engine's address; empty where there is none."""
        return ""

    def row_taken(self) -> object | None:
        """What copying is about: the selected row of the list that keys move in."""
        pane = self.active_list()
        return pane.selected if isinstance(pane, Table) else None

    def do_copy(self) -> None:
        """Asks what to copy of the selected row."""
        taking.copy_row(self)

    def do_export(self) -> None:
        """Asks for a form and a place, and writes the rows of the list."""
        taking.export_rows(self)

    def active_list(self) -> Table[Any] | TextView | None:
        """The list that keys move in: the focused one, else the home pane."""
        for pane in (self.focused, self.home_pane()):
            if isinstance(pane, (Table, TextView)):
                return pane
        return None

    def _scrolled(self, steps: int) -> None:
        pane = self.active_list()
        if pane is not None:
            pane.move(steps)

    def _page(self) -> int:
        pane = self.active_list()
        return pane.page if pane is not None else 1

    # --- zoom

    def toggle_zoom(self) -> None:
        """Gives the focused pane the whole body, or all panes their place again."""
        if self.has_class("-zoom"):
            self.end_zoom()
            return
        pane = self.focused if isinstance(self.focused, Pane) else self.home_pane()
        if pane is None:
            return
        self.add_class("-zoom")
        node: Widget | None = pane
        while isinstance(node, Widget) and node is not self:
            node.add_class("-zoomed")
            if "height" in node.styles.inline.get_rules():
                self._heights[node] = node.styles.inline.height
                node.styles.inline.clear_rule("height")
            node = node.parent if isinstance(node.parent, Widget) else None
        self.call_after_refresh(self.paint_all)

    def end_zoom(self) -> bool:
        """All panes again; False when none was zoomed."""
        if not self.has_class("-zoom"):
            return False
        self.remove_class("-zoom")
        for node in self.query(".-zoomed"):
            node.remove_class("-zoomed")
            if node in self._heights:
                node.styles.height = self._heights.pop(node)
        self.call_after_refresh(self.paint_all)
        return True

    # --- doing things

    def tell(self, text: str, *, severity: str = "information") -> None:
        """A short message in the corner; never markup."""
        level = severity if severity in ("information", "warning", "error") else "information"
        self.app.notify(text, severity=level, timeout=4, markup=False)  # type: ignore[arg-type]

    def ask(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a call to the engine beside the loop; its failure is told, never raised."""
        self.run_worker(self._told(work), exclusive=False)

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except EngineError as error:
            self.tell(f"Not done: {error.message}", severity="error")

    def copy(self, label: str, text: str) -> None:
        """Puts text on the clipboard through the terminal (OSC 52); long text goes to a file instead."""
        if len(text) > _CLIPBOARD_CAP:
            self.save(f"atp-copy-{label}.txt", lambda: text)
            return
        self.app.copy_to_clipboard(text)
        self.tell(f"Copied {label} ({len(text)} characters). No clipboard here? Copy again and choose f for a file.")

    def save(self, file_name: str, make: Callable[[], str]) -> None:
        """Writes a new private file into the output directory, off the loop, and says where it is."""
        self.run_worker(self._saved(file_name, make), exclusive=False)

    async def _saved(self, file_name: str, make: Callable[[], str]) -> None:
        try:
            path = await asyncio.to_thread(lambda: files.write_new(self.desk.output_dir, file_name, make()))
        except OSError as error:
            self.tell(f"Not written: {error.strerror or error}", severity="error")
        else:
            self.tell(f"Written: {path}")


_CLIPBOARD_CAP = 70_000
