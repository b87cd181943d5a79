"""The console's application: one source, one folded state, a tick that repaints, a person's settings.

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
from datetime import tzinfo
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from rich.segment import Segments
from rich.text import Text
from textual import events
from textual.filter import ANSIToTruecolor, LineFilter
from textual.screen import Screen
from textual.widgets import Input, TextArea

from atp_console import settings, terminal
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.global_acts import ExitChoice, GlobalActs
from atp_console.look import look_for
from atp_console.preferences import Preferences
from atp_console.screens import catalog
from atp_console.screens.base import ConsoleScreen, Due
from atp_console.screens.modal import Modal
from atp_console.settings import Settings
from atp_console.source import AttachedSource, EngineSource, ReadOnlySource
from atp_console.state import ConsoleState
from atp_console.theme import DEFAULT_THEME, OWN_THEMES, THEMES, field_colours, palette_of
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
_DEFAULTS = Settings()


class ConsoleApp(GlobalActs, inherit_bindings=False):
    """The application. Tests build it with their own source, clock and zone."""

    CSS_PATH = Path(__file__).parent / "styles" / "console.tcss"
    TITLE = "ATP Console"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    DEFAULT_MODE = "live"

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
        url: str = "",
        chosen: Settings = _DEFAULTS,
        settings_file: Path | None = None,
    ) -> None:
        """`owns_engine` means that this console started the engine and may stop it. A `theme` that is not
        known is the chosen one; `output_dir` None is the chosen one, else the working directory. `url` is
        where a browser finds the engine, empty where it is for the engine to say."""
        super().__init__()
        name = next(one for one in (theme, chosen.theme, DEFAULT_THEME) if one in THEMES)
        self.source: EngineSource = ReadOnlySource(source) if is_readonly else source
        self.desk = Desk(
            state=ConsoleState(),
            look=look_for(name, is_ascii=is_ascii or chosen.is_ascii, zone=zone),
            source=self.source,
            now=now,
            place=place,
            is_readonly=is_readonly,
            output_dir=output_dir or chosen.export_dir or Path.cwd(),
            url=url,
        )
        self.desk.look.keys = chosen.keys
        self._bindings = chosen.keys.bindings((Scope.GLOBAL,))
        self._chosen, self._settings_file = chosen, settings_file
        self.owns_engine = owns_engine
        self._painted_requests = self._painted_link = -1
        self._painted_arrived = 0
        self._ticks = 0
        self._is_frozen_heap = False
        for own in OWN_THEMES:
            self.register_theme(own)
        self.theme = name
        for tab, screen in catalog.BY_TAB.items():
            self.add_mode(tab, self._factory(screen))

    def _factory(self, screen: type[ConsoleScreen]) -> Callable[[], Screen[None]]:
        return lambda: screen(self.desk)

    # --- life

    def on_mount(self) -> None:
        """Starts to follow the engine, and the tick."""
        self.theme_changed_signal.subscribe(self, lambda theme: self._wear(theme.name))
        self.run_worker(self._listen(), name="follow the engine")
        self.set_interval(TICK_S, self._tick)
        self._tell_problems()
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    loop.add_signal_handler(number, self.leave)
            terminal.watch(lambda: loop.call_soon_threadsafe(self.leave))

    async def on_event(self, event: events.Event) -> None:
        """Keys are carried out in the order in which they came: people type ahead."""
        if not (isinstance(event, events.Key) and not event.is_forwarded and await self._take(event)):
            await super().on_event(event)

    async def _take(self, key: events.Key) -> bool:
        """Carries a key out here and now where it is no text; left to the widgets it would be done after the
        next one has been sent to where the focus was. A dialog that is not up yet gets it first of all."""
        if not self.screen_stack:
            return False
        top, field = self.screen, self.focused
        if isinstance(top, Modal) and not top.is_up:
            top.take_early(key)
            return True
        if isinstance(field, Input | TextArea) or not isinstance(top, ConsoleScreen):
            return False
        return await self._check_bindings(key.key, priority=True) or await self._check_bindings(key.key)

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

    def _tell_problems(self) -> None:
        """What was left out of the settings, each with its line; the command lists them all."""
        problems = self._chosen.problems
        for one in problems[:_TOLD_AT_ONCE]:
            self.notify(safe_text(str(one), limit=300), severity="warning", timeout=12, markup=False)
        if len(problems) > _TOLD_AT_ONCE:
            more = f"{len(problems) - _TOLD_AT_ONCE} more problems in the settings: atp-console keymap lists them."
            self.notify(more, severity="warning", timeout=12, markup=False)

    def do_settings_read(self) -> None:
        """Keys, colours and the folder for exports as the file has them now."""
        path = self._settings_file
        if path is None:
            return
        self.use(settings.read(path, catalog.SCOPES, THEMES))
        if not self._chosen.problems and isinstance(self.screen, ConsoleScreen):
            self.screen.tell(f"Read {path}." if path.exists() else f"There is no {path}: everything is as it comes.")

    def use(self, chosen: Settings) -> None:
        """From now on these settings count, on every screen."""
        self._chosen = chosen
        self.desk.look.keys = chosen.keys
        self.desk.output_dir = chosen.export_dir or self.desk.output_dir
        self._bindings = chosen.keys.bindings((Scope.GLOBAL,))
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, ConsoleScreen):
                    screen.bind_keys()
        if chosen.theme:
            self.theme = chosen.theme
        self._tell_problems()
        self.screen.refresh_bindings()
        self.paint_now()

    def get_css_variables(self) -> dict[str, str]:
        """As the theme has them, and what our style sheet adds."""
        variables = super().get_css_variables()
        return {**variables, **field_colours(variables)}

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without the filter for ANSI colours: everything here is painted in true colours."""
        return [one for one in super().get_line_filters() if not isinstance(one, ANSIToTruecolor)]

    def _fatal_error(self) -> None:
        """A crash prints its traceback without the values of variables: they may hold prompts and tokens."""
        told = Text(traceback.format_exc(), "red")
        self._exit_renderables.append(Segments(self.console.render(told, self.console.options)))
        self._close_messages_no_wait()


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
    settings_file: Path | None = None,
    preferences_file: Path | None = None,
) -> ExitChoice:
    """Runs the console on this terminal until it is left. Raises EndpointError on a wrong address.

    What is set up in it is kept in `preferences_file`, None keeps it no longer than this run.
    The terminal is restored however it ends: quit, SIGINT, SIGTERM, SIGHUP or a crash.
    """
    place = place_of(endpoint)
    app = ConsoleApp(
        connect(endpoint, AttachedSource),
        place=place,
        is_readonly=is_readonly,
        is_ascii=is_ascii,
        owns_engine=owns_engine,
        theme=theme,
        url="" if place == "local" else endpoint.url,
        chosen=settings.read(settings_file, catalog.SCOPES, THEMES) if settings_file else _DEFAULTS,
        settings_file=settings_file,
    )
    app.desk.preferences = Preferences(preferences_file)
    choice = app.run()
    return ExitChoice.CRASHED if app.return_code else choice or ExitChoice.LEAVE
