"""The actions that work everywhere: screens, palette, help, colours, jump, pictures, the way out.

Mixed into the app, which holds the source and the tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from textual.app import App

from atp_console import shots
from atp_console.actions import BY_ID, Action, Scope
from atp_console.desk import Desk, Undo
from atp_console.key_names import key_label
from atp_console.screens.base import VIEW, ConsoleScreen, Go
from atp_console.screens.catalog import BY_TAB
from atp_console.screens.dialogs import Choice, Item, Picker, Question
from atp_console.screens.jump import Jump
from atp_console.screens.live import LiveScreen
from atp_console.screens.models import ModelsScreen
from atp_console.screens.play import PlayScreen
from atp_console.screens.request import RequestScreen
from atp_console.screens.session import SessionScreen
from atp_console.theme import THEMES
from atp_console.widgets.pane import Pane


class ExitChoice(StrEnum):
    """How the console ended and what becomes of an engine that it started."""

    LEAVE = "leave"
    """The engine goes on, or was never ours."""
    STOP = "stop"
    """The engine that we started is to be stopped."""
    CRASHED = "crashed"
    """The console failed; it has said why. The engine goes on."""


class GlobalActs(App[ExitChoice], inherit_bindings=False):
    """The base of the app."""

    desk: Desk
    owns_engine = False
    _last_tab = ""

    def leave(self) -> None:
        """Ends at once, as on a signal: an engine of ours is stopped only when nothing is in flight."""
        self.exit(ExitChoice.STOP if self.owns_engine and not self._in_flight else ExitChoice.LEAVE)

    @property
    def _in_flight(self) -> int:
        engine = self.desk.state.engine
        return engine.in_flight + engine.queued if engine is not None else 0

    def action_act(self, id: str) -> None:
        """Carries out a global action."""
        action = BY_ID[id]
        tab = id.removeprefix("screen.")
        if tab in BY_TAB:
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

    # --- screens

    def do_screen_last(self) -> None:
        """The screen before this one."""
        if self._last_tab:
            self._switch(self._last_tab)
        elif isinstance(self.screen, ConsoleScreen):
            self.screen.tell("There is no screen before this one.")

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
        if event.tab != self.current_mode:
            self._last_tab = self.current_mode
        await self.switch_mode(event.tab)
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        screen = self.screen
        if isinstance(screen, LiveScreen) and event.query:
            screen.set_query(event.query)
        elif isinstance(screen, LiveScreen) and event.id.startswith(VIEW):
            screen.open_view(event.id.removeprefix(VIEW))
        elif isinstance(screen, PlayScreen) and event.replay is not None:
            screen.show_replay(event.replay)
        elif isinstance(screen, PlayScreen) and event.id:
            screen.take(event.id)
        elif isinstance(screen, ModelsScreen) and event.id:
            screen.paint_all()
            screen.deployments.go_to(event.id)

    # --- panes

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

    def do_jump(self) -> None:
        """A letter on everything that can have the focus."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            self.push_screen(Jump(self.desk, screen), self._jumped)

    def _jumped(self, picked: str | None) -> None:
        if picked:
            self.perform(BY_ID[picked])

    def do_back(self) -> None:
        """One step back: inside the screen, else to the screen below."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen) and screen.back():
            return
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif isinstance(screen, ConsoleScreen):
            keys = self.desk.keys.keys_of(BY_ID["quit"])
            screen.tell(f"Nothing to go back to. {keys[0]} quits.")

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

    # --- lists of actions

    def do_palette(self) -> None:
        """Every action that can be run here."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            keys = self.desk.keys
            actions = [(action, keys.keys_of(action)) for action in screen.available_actions()]
            self._pick("Actions", actions, more=screen.palette_items())

    def do_help(self) -> None:
        """Exactly the keys that work here."""
        screen = self.screen
        if isinstance(screen, ConsoleScreen):
            self._pick(f"Keys in {screen.shown_name}", screen.live_actions(), is_by_key=True)

    def _pick(
        self,
        title: str,
        actions: Sequence[tuple[Action, Sequence[str]]],
        *,
        is_by_key: bool = False,
        more: Sequence[Item] = (),
    ) -> None:
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
        items += more

        def chosen(picked: str | None) -> None:
            if picked in BY_ID:
                self.perform(BY_ID[picked])
            elif picked and isinstance(self.screen, ConsoleScreen):
                self.screen.run_item(picked)

        self.push_screen(Picker(self.desk.look, title, items, is_searchable=True, is_by_key=is_by_key), chosen)

    def do_theme(self) -> None:
        """Asks for the colours."""
        items = [Item(name, name, group="dark" if theme.dark else "light") for name, theme in THEMES.items()]

        def chosen(picked: str | None) -> None:
            if picked:
                self.theme = picked

        self.push_screen(Picker(self.desk.look, "Colours", items, is_searchable=True), chosen)

    # --- out of the console

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
        code = await self.desk.source.launch_code()
        screen.copy("dashboard address", f"{self.desk.address}/ui/#code={code.code}")

    def do_quit(self) -> None:
        """Leaves; asks when an engine of ours has work in flight."""
        if isinstance(self.screen, Question):
            return
        if not self.owns_engine or not self._in_flight or not self.desk.state.is_connected:
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
