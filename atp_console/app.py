"""The console's application: one source, one folded state, a tick that repaints, and the global actions.

`run` is the entry for the command line. The app never holds an engine: it follows a source, and
quitting says what should become of an engine that this console started.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from rich.segment import Segments
from rich.text import Text
from textual.app import App
from textual.filter import ANSIToTruecolor, LineFilter
from textual.screen import Screen

from atp_console import shots
from atp_console.actions import BY_ID, Action, Scope, bindings_of, key_label
from atp_console.desk import Desk, Undo
from atp_console.look import look_for
from atp_console.screens.base import ConsoleScreen, Due, Go
from atp_console.screens.config import ConfigScreen
from atp_console.screens.dialogs import Choice, Item, Picker, Question
from atp_console.screens.keys import KeysScreen
from atp_console.screens.live import LiveScreen
from atp_console.screens.logs import LogsScreen
from atp_console.screens.metrics import MetricsScreen
from atp_console.screens.models import ModelsScreen
from atp_console.screens.play import PlayScreen
from atp_console.screens.request import RequestScreen
from atp_console.screens.session import SessionScreen
from atp_console.screens.sessions import SessionsScreen
from atp_console.source import AttachedSource, EngineSource, ReadOnlySource
from atp_console.state import ConsoleState
from atp_console.theme import DEFAULT_THEME, OWN_THEMES, THEMES, palette_of
from atp_console.widgets.pane import Pane
from atp_engine.client.endpoint import Endpoint
from atp_engine.client.engine_client import connect
from atp_engine.client.follow import Batch, follow
from atp_engine.core.events import Notice
from atp_engine.core.text import safe_text

TICK_S = 0.1
_SLOW_TICKS = 5
_SIDE_TICK = 2
_BUSY_ARRIVALS = 8
_TOLD_AT_ONCE = 3
_GC_THRESHOLDS = (1_000, 2, 1_000)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ExitChoice(StrEnum):
    """How the console ended and what becomes of an engine that it started."""

    LEAVE = "leave"
    """The engine goes on, or was never ours."""
    STOP = "stop"
    """The engine that we started is to be stopped."""
    CRASHED = "crashed"
    """The console failed; it has said why. The engine goes on."""


class ConsoleApp(App[ExitChoice], inherit_bindings=False):
    """The application. Tests build it with their own source, clock and zone."""

    CSS_PATH = Path(__file__).parent / "styles" / "console.tcss"
    TITLE = "ATP Console"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    DEFAULT_MODE = "live"
    BINDINGS = bindings_of(Scope.GLOBAL)
    SCREENS_BY_TAB: ClassVar[dict[str, type[ConsoleScreen]]] = {
        "live": LiveScreen,
        "sessions": SessionsScreen,
        "metrics": MetricsScreen,
        "models": ModelsScreen,
        "config": ConfigScreen,
        "logs": LogsScreen,
        "play": PlayScreen,
        "keys": KeysScreen,
    }

    def __init__(
        self,
        source: EngineSource,
        *,
        place: str = "local",
        is_readonly: bool = False,
        is_ascii: bool = False,
        owns_engine: bool = False,
        theme: str | None = None,
        now: Callable[[], float] = time.time,
        zone: tzinfo | None = None,
        output_dir: Path | None = None,
    ) -> None:
        """`owns_engine` means that this console started the engine and may stop it. `theme` None or
        unknown is the default; `output_dir` None is the working directory."""
        super().__init__()
        name = theme if theme in THEMES else DEFAULT_THEME
        self.source: EngineSource = ReadOnlySource(source) if is_readonly else source
        self.desk = Desk(
            state=ConsoleState(),
            look=look_for(name, is_ascii=is_ascii, zone=zone),
            source=self.source,
            now=now,
            place=place,
            is_readonly=is_readonly,
            output_dir=output_dir or Path.cwd(),
        )
        self._owns_engine = owns_engine
        self._painted_requests = self._painted_link = -1
        self._painted_arrived = 0
        self._ticks = 0
        self._last_tab = "live"
        self._is_frozen_heap = False
        for own in OWN_THEMES:
            self.register_theme(own)
        self.theme = name
        for tab, screen in self.SCREENS_BY_TAB.items():
            self.add_mode(tab, self._factory(screen))

    def _factory(self, screen: type[ConsoleScreen]) -> Callable[[], Screen[None]]:
        return lambda: screen(self.desk)

    # --- life

    def on_mount(self) -> None:
        """Starts to follow the engine, and the tick."""
        self.theme_changed_signal.subscribe(self, lambda theme: self._wear(theme.name))
        self.run_worker(self._listen(), name="follow the engine")
        self.set_interval(TICK_S, self._tick)
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    loop.add_signal_handler(number, self.leave)

    async def on_unmount(self) -> None:
        """Closes the connections."""
        await self.source.aclose()

    async def _listen(self) -> None:
        async for update in follow(self.source):
            self.desk.state.apply(update, self.desk.now())
            if isinstance(update, tuple):
                self._tell_notices(update)

    def _tell_notices(self, batch: Batch) -> None:
        """Warnings and errors appear in the corner, a few at a time; the engine pane keeps them all."""
        for event in batch:
            if isinstance(event, Notice) and event.severity != "info" and len(self._notifications) < _TOLD_AT_ONCE:
                level: Literal["warning", "error"] = "error" if event.severity == "error" else "warning"
                self.notify(safe_text(event.text, limit=200), severity=level, timeout=6, markup=False)

    def _tick(self) -> None:
        """Finds what is due: the list at most ten times a second (five when it is busy), the rest twice."""
        state = self.desk.state
        self._ticks += 1
        due: set[Due] = set()
        is_busy = state.arrived - self._painted_arrived >= _BUSY_ARRIVALS
        if state.requests_version != self._painted_requests and (not is_busy or self._ticks % 2):
            due.add(Due.LIST)
        if state.link_version != self._painted_link:
            due.update(Due)
        if self._ticks % _SLOW_TICKS == 0:
            due.add(Due.FRAME)
        if self._ticks % _SLOW_TICKS == _SIDE_TICK:
            due.add(Due.SIDE)
        if due:
            self.paint_now(frozenset(due))

    def paint_now(self, due: frozenset[Due] = frozenset(Due)) -> None:
        """Paints the top screen; tests call it to skip the wait for a tick."""
        stack = self.screen_stack
        if not stack or not stack[-1].is_attached:
            return  # the console is being left: a last tick finds nothing to paint on
        state = self.desk.state
        self._painted_requests, self._painted_link = state.requests_version, state.link_version
        self._painted_arrived = state.arrived
        screen = stack[-1]
        if isinstance(screen, ConsoleScreen):
            screen.paint(due)
        if state.engine is not None and not self._is_frozen_heap and not self.is_headless:
            self._is_frozen_heap = True
            gc.freeze()  # what start-up made stays: no full collection has to walk it again
            gc.set_threshold(*_GC_THRESHOLDS)

    def _wear(self, theme: str) -> None:
        self.desk.look.palette = palette_of(THEMES.get(theme, THEMES[DEFAULT_THEME]))
        for screen in self.screen_stack:
            for pane in screen.query(Pane):
                pane.repaint()
        self.paint_now()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without the filter for ANSI colours: everything here is painted in true colours."""
        return [one for one in super().get_line_filters() if not isinstance(one, ANSIToTruecolor)]

    def _fatal_error(self) -> None:
        """A crash prints its traceback without the values of variables: they may hold prompts and tokens."""
        told = Text(traceback.format_exc(), "red")
        self._exit_renderables.append(Segments(self.console.render(told, self.console.options)))
        self._close_messages_no_wait()

    def leave(self) -> None:
        """Ends at once, as on a signal: an engine of ours is stopped only when nothing is in flight."""
        self.exit(ExitChoice.STOP if self._owns_engine and not self._in_flight else ExitChoice.LEAVE)

    @property
    def _in_flight(self) -> int:
        engine = self.desk.state.engine
        return engine.in_flight + engine.queued if engine is not None else 0

    # --- actions

    def action_act(self, id: str) -> None:
        """Carries out a global action."""
        action = BY_ID[id]
        tab = id.removeprefix("screen.")
        if tab in self.SCREENS_BY_TAB:
            self._switch(tab)
        elif not (action.is_mutating and self.desk.is_readonly):
            getattr(self, action.method)()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In read-only mode what changes the engine is not there."""
        if action == "act" and parameters and str(parameters[0]) in BY_ID:
            return not (BY_ID[str(parameters[0])].is_mutating and self.desk.is_readonly)
        return True

    def perform(self, action: Action) -> None:
        """Carries out any action on the screen that is on top."""
        if action.scope is Scope.GLOBAL:
            self.action_act(action.id)
        elif isinstance(self.screen, ConsoleScreen):
            self.screen.action_act(action.id)

    def do_screen_last(self) -> None:
        """The screen before this one."""
        self._switch(self._last_tab)

    def _switch(self, tab: str) -> None:
        if not isinstance(self.screen, ConsoleScreen):
            return
        if tab == self.current_mode:
            while len(self.screen_stack) > 1:
                self.pop_screen()
            return
        self._last_tab = self.current_mode
        self.switch_mode(tab)

    async def on_go(self, event: Go) -> None:
        """A screen asks for another one."""
        if event.tab == "request":
            await self.push_screen(RequestScreen(self.desk, event.id, opened_from=self.current_mode))
            return
        if event.tab == "session":
            await self.push_screen(SessionScreen(self.desk, event.id))
            return
        self._last_tab = self.current_mode
        await self.switch_mode(event.tab)
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        screen = self.screen
        if isinstance(screen, LiveScreen) and event.query:
            screen.set_query(event.query)
        elif isinstance(screen, PlayScreen) and event.replay is not None:
            screen.show_replay(event.replay)
        elif isinstance(screen, PlayScreen) and event.id:
            screen.take(event.id)
        elif isinstance(screen, ModelsScreen) and event.id:
            screen.paint_all()
            screen.deployments.go_to(event.id)

    def do_pane_next(self) -> None:
        """The focus moves on."""
        self.screen.focus_next(Pane)

    def do_pane_previous(self) -> None:
        """The focus moves back."""
        self.screen.focus_previous(Pane)

    def do_zoom(self) -> None:
        """One pane, or all."""
        if isinstance(self.screen, ConsoleScreen):
            self.screen.toggle_zoom()

    def do_back(self) -> None:
        """One step back: inside the screen, else to the screen below."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen) and screen.back():
            return
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif isinstance(screen, ConsoleScreen):
            screen.tell("Nothing to go back to. ctrl+q quits.")

    def do_undo(self) -> None:
        """The opposite of the last act."""
        screen, undo = self.screen, self.desk.undo
        if not isinstance(screen, ConsoleScreen):
            return
        if undo is None:
            screen.tell("No act can be taken back.")
            return
        self.desk.undo = None
        screen.ask(self._taken_back(screen, undo))

    async def _taken_back(self, screen: ConsoleScreen, undo: Undo) -> None:
        await undo.take_back()
        screen.tell(f"Taken back: {undo.what}.")
        screen.paint_all()

    def do_palette(self) -> None:
        """Every action that can be run here."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            self._pick("Actions", [(action, list(action.keys)) for action in screen.available_actions()])

    def do_help(self) -> None:
        """Exactly the keys that work here."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            self._pick(f"Keys in {screen.shown_name}", screen.live_actions())

    def _pick(self, title: str, actions: list[tuple[Action, list[str]]]) -> None:
        is_ascii = self.desk.look.is_ascii
        items = [
            Item(
                action.id,
                action.title,
                " ".join(key_label(key, is_ascii=is_ascii) for key in keys[:2]),
                action.scope,
            )
            for action, keys in actions
        ]

        def chosen(picked: str | None) -> None:
            if picked:
                self.perform(BY_ID[picked])

        self.push_screen(Picker(self.desk.look, title, items, is_searchable=True), chosen)

    def do_theme(self) -> None:
        """Asks for the colours."""
        items = [Item(name, name, group="dark" if theme.dark else "light") for name, theme in THEMES.items()]

        def chosen(picked: str | None) -> None:
            if picked:
                self.theme = picked

        self.push_screen(Picker(self.desk.look, "Colours", items, is_searchable=True), chosen)

    def do_screenshot(self) -> None:
        """The screen as two files."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            stamp = datetime.fromtimestamp(self.desk.now(), UTC).strftime("%Y%m%d-%H%M%S")
            svg, text = shots.svg(self), shots.text(self)
            screen.save(f"atp-console-{stamp}.txt", lambda: text)
            screen.save(f"atp-console-{stamp}.svg", lambda: svg)

    def do_dashboard(self) -> None:
        """Copies a one-time address of the web dashboard."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            screen.ask(self._dashboard(screen))

    async def _dashboard(self, screen: ConsoleScreen) -> None:
        code = await self.source.launch_code()
        engine = self.desk.state.engine
        screen.copy("dashboard address", f"{engine.url if engine else ''}/ui/#code={code.code}")

    def do_quit(self) -> None:
        """Leaves; asks when an engine of ours has work in flight."""
        if isinstance(self.screen, Question):
            return
        if not self._owns_engine or not self._in_flight or not self.desk.state.is_connected:
            self.leave()
            return
        text = [f"This console started the engine, and {self._in_flight} requests are at work."]
        choices = [
            Choice("n", "Stay", ""),
            Choice("l", "Leave it running", ExitChoice.LEAVE),
            Choice("s", "Stop it", ExitChoice.STOP),
        ]

        def answered(picked: str | None) -> None:
            if picked:
                self.exit(ExitChoice(picked))

        self.push_screen(Question(self.desk.look, "Quit?", text, choices), answered)


def place_of(endpoint: Endpoint) -> str:
    """`local` for a socket or a loopback address, else host and port."""
    host = urlsplit(endpoint.url).hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return "local" if endpoint.socket or is_loopback else endpoint.label


def run(
    endpoint: Endpoint,
    *,
    is_readonly: bool,
    is_ascii: bool = False,
    owns_engine: bool = False,
    theme: str | None = None,
    output_dir: Path | None = None,
) -> ExitChoice:
    """Runs the console on this terminal until it is left. Raises EndpointError on a wrong address.

    The terminal is restored however it ends: quit, SIGINT, SIGTERM, SIGHUP or a crash.
    """
    app = ConsoleApp(
        connect(endpoint, AttachedSource),
        place=place_of(endpoint),
        is_readonly=is_readonly,
        is_ascii=is_ascii,
        owns_engine=owns_engine,
        theme=theme,
        output_dir=output_dir,
    )
    choice = app.run()
    return ExitChoice.CRASHED if app.return_code else choice or ExitChoice.LEAVE
