"""Keys & budgets: who may call, and how much of each window is used."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from textual.app import ComposeResult

from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.look import Look
from atp_console.paint import Line, Span
from atp_console.screens.base import Due, Go
from atp_console.screens.dialogs import Choice, Question
from atp_console.screens.form import Field, Form
from atp_console.screens.lists import ListActs
from atp_console.widgets.columns import name
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Catalog, Column, Table, column
from atp_engine.client.errors import EngineError
from atp_engine.core.key_views import KeyMade, KeySummary, KeyWindow, KeyWish
from atp_engine.core.types import QoS
from atp_engine.core.window_views import WindowView

_AGAIN_S = 2.0
_DAY_S = 86_400.0
_BAR = 10


class KeysScreen(ListActs):
    """Screen 9."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.TABLE, Scope.KEYS)
    TAB = "keys"
    NAME = "Keys"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        look = desk.look
        self._problem = ""
        self._live = 0
        self._read_at = float("-inf")
        self._is_reading = False
        self._rows: tuple[list[KeySummary], list[WindowView]] = ([], [])
        keys, windows = _key_catalog(desk.now), _window_catalog(desk.now)
        self.keys = Table[KeySummary](look, keys.usual, lambda one: one.id, id="key-rows")
        self.set_up_list(self.keys, keys)
        self.keys.heading_of = self._heading
        self.keys.empty_of = lambda: [
            [],
            [("No key is known. ", "text"), (self.key("key.create"), "key"), (" makes one.", "muted")],
        ]
        self.windows = Table[WindowView](look, windows.usual, _window_id, id="window-rows")
        self.set_up_list(self.windows, windows)
        self.windows.heading_of = lambda: ([("Windows", "title"), (f" {len(self.windows.model)}", "text")], [])
        self.windows.empty_of = lambda: [
            [],
            [("No window holds anybody back: [windows.*] in the config, or a key's own.", "muted")],
        ]

    def compose_body(self) -> ComposeResult:
        """Keys above, windows below."""
        yield self.keys
        yield self.windows

    def home_pane(self) -> Pane:
        """The keys."""
        return self.keys

    def paint_body(self, due: frozenset[Due]) -> None:
        """Reads again every two seconds while it is looked at."""
        if Due.SIDE not in due:
            return
        for table in (self.keys, self.windows):
            table.grow_old()
            table.repaint()
        is_on_top = self.app.screen_stack[-1] is self
        if is_on_top and not self._is_reading and self.desk.state.is_connected:
            age = self.desk.now() - self._read_at
            if age >= _AGAIN_S or age < 0:
                self._is_reading = True
                self._read_at = self.desk.now()
                self.run_worker(self._read(), exclusive=True, group="keys")

    async def _read(self) -> None:
        try:
            keys = await self.desk.source.keys.list()
            windows = await self.desk.source.keys.windows()
        except EngineError as error:
            self._problem = error.message
        else:
            self._problem = ""
            self._live = sum(1 for one in keys if one.revoked_at is None)
            self._rows = (
                sorted(keys, key=lambda one: (one.revoked_at is not None, -one.created_at)),
                sorted(windows, key=lambda one: -(one.share or 0.0)),
            )
            self._show()
        finally:
            self._is_reading = False
        self.keys.repaint()

    def _show(self) -> None:
        keys, windows = self._rows
        for table in (self.keys, self.windows):
            table.forget_drawn()
        self.keys.set_rows(keys)
        self.windows.set_rows(windows)

    def refill(self, table: Table[Any]) -> None:
        """Only the marked ones, or all."""
        self._show()
        self.paint_all()

    def _heading(self) -> tuple[Line, Line]:
        if self._problem:
            return [("Keys", "title")], [(name(self._problem), "bad")]
        return [("Keys", "title"), (f" {self._live}", "text")], [
            ("secrets are shown once, when they are made", "muted")
        ]

    # --- acts

    def do_key_create(self) -> None:
        """Asks for what the key shall be."""
        fields = [
            Field("name", "name", "who will hold it: laptop, ci-bot"),
            Field("project", "project", "a label that windows can refer to (optional)"),
            Field("qos", "class", "gold, silver or bronze", "silver"),
            Field("usd", "$ per day", "a budget of its own (optional)"),
            Field("days", "expires in", "days (optional)"),
        ]

        def filled(values: dict[str, str] | None) -> None:
            if values:
                self._create(values)

        self.app.push_screen(Form(self.desk.look, "A new key", fields), filled)

    def _create(self, values: dict[str, str]) -> None:
        try:
            wish = KeyWish(
                name=values["name"],
                project=values["project"],
                qos=QoS(values["qos"] or "silver"),
                expires_in_s=float(values["days"]) * _DAY_S if values["days"] else None,
                windows=(KeyWindow(period="day", max_usd=float(values["usd"].lstrip("$"))),) if values["usd"] else (),
            )
        except ValueError:
            self.tell("Not made: the class is gold, silver or bronze; dollars and days are numbers.", severity="error")
            return
        self.ask(self._created(wish))

    async def _created(self, wish: KeyWish) -> None:
        self._show_secret(await self.desk.source.keys.create(wish))

    def do_key_rotate(self) -> None:
        """A new secret for the selected key."""
        self._ask_about("Give it a new secret?", "Whoever uses the old one is refused from now on.", self._rotate)

    async def _rotate(self, id: str) -> None:
        self._show_secret(await self.desk.source.keys.rotate(id))

    def do_key_revoke(self) -> None:
        """Ends the selected key."""
        self._ask_about("Revoke this key?", "Its next request is refused. It cannot be undone.", self._revoke)

    async def _revoke(self, id: str) -> None:
        is_done = await self.desk.source.keys.revoke(id)
        self._read_at = float("-inf")
        self.tell("Revoked." if is_done else "It was over already.")

    def _ask_about(self, title: str, warning: str, act: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        selected = self.keys.selected
        if selected is None or selected.revoked_at is not None:
            self.tell("No key that counts is selected.")
            return

        def answered(picked: str | None) -> None:
            if picked:
                self.ask(act(picked))

        text = [f"{name(selected.name)}  {selected.shown_as}", warning]
        choices = [Choice("n", "No", ""), Choice("y", "Yes", selected.id)]
        self.app.push_screen(Question(self.desk.look, title, text, choices), answered)

    def _show_secret(self, made: KeyMade) -> None:
        self._read_at = float("-inf")

        def answered(picked: str | None) -> None:
            if picked:
                self.copy("key", made.secret)

        text = [made.secret, "It is shown this once and kept as a hash only."]
        choices = [Choice("o", "I have it", ""), Choice("c", "Copy it", "c")]
        self.app.push_screen(Question(self.desk.look, f"The key {name(made.key.name)}", text, choices), answered)

    def do_list_open(self) -> None:
        """The key's requests in Live."""
        selected = self.keys.selected
        if self.focused is not self.windows and selected is not None:
            self.post_message(Go("live", query=f'key="{name(selected.name)}"'))

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    def back(self) -> bool:
        """Shows all beside the marked, ends zoom, returns to the keys."""
        if self.leave_marked():
            return True
        if self.end_zoom():
            return True
        if self.focused is not self.keys:
            self.keys.focus()
            return True
        return False


def _window_id(one: WindowView) -> str:
    return f"{one.name}|{one.scope}|{one.subject}|{one.period}"


def _day(at: float | None, look: Look) -> str:
    return look.glyphs.none if at is None else datetime.fromtimestamp(at, look.zone).strftime("%Y-%m-%d")


def _key_catalog(now: Callable[[], float]) -> Catalog[KeySummary]:
    def state(one: KeySummary, look: Look) -> Span:
        if one.revoked_at is not None:
            return (f"{look.glyphs.cancelled} revoked", "muted")
        if one.expires_at is not None and one.expires_at <= now():
            return (f"{look.glyphs.bad} expired", "bad")
        return (f"{look.glyphs.ok} live", "ok")

    def may(one: KeySummary, look: Look) -> Span:
        said = " ".join([*one.routes, *one.models])
        return (name(said) or "everything", "text" if said else "muted")

    def budget(one: KeySummary, look: Look) -> Span:
        parts = [f"${window.max_usd:g}/{window.period}" for window in one.windows if window.max_usd is not None]
        parts += [f"{one.requests_per_minute}/min"] if one.requests_per_minute else []
        return (" ".join(parts) or look.glyphs.none, "text" if parts else "muted")

    usual: tuple[Column[KeySummary], ...] = (
        column("NAME", 12, lambda one, look: (name(one.name), "text"), grow=2, most=30, about="who holds it"),
        column("STATE", 9, state, about="live, expired or revoked", is_aging=True),
        column("KEY", 16, lambda one, look: (name(one.shown_as), "muted"), rank=2, grow=1, most=24,
               about="its beginning and end"),
        column("PROJECT", 9, lambda one, look: (name(one.project) or look.glyphs.none, "text"), rank=4, grow=1,
               most=20, about="label that windows refer to"),
        column("CLASS", 6, lambda one, look: (one.qos.value, "text"), rank=3, about="service class"),
        column("BUDGET", 12, budget, rank=1, grow=1, most=24, about="its own windows and rate"),
        column("MAY USE", 10, may, rank=6, grow=1, most=30, about="routes and models it is held to"),
        column("MADE", 10, lambda one, look: (_day(one.created_at, look), "muted"), rank=7, about="day it was made"),
        column("EXPIRES", 10, lambda one, look: (_day(one.expires_at, look), "muted"), rank=5, about="last day"),
    )  # fmt: skip
    more: tuple[Column[KeySummary], ...] = (
        column("TAGS", 10, lambda one, look: (name(" ".join(one.tags)) or look.glyphs.none, "text"), rank=8, grow=1,
               most=30, about="labels"),
        column("ID", 20, lambda one, look: (name(one.id), "muted"), rank=8, grow=1, most=32, about="the key's id"),
        column("REVOKED", 10, lambda one, look: (_day(one.revoked_at, look), "muted"), rank=8,
               about="day it was revoked"),
    )  # fmt: skip
    return Catalog("keys", "Keys", usual, more)


def _window_catalog(now: Callable[[], float]) -> Catalog[WindowView]:
    def used(one: WindowView, look: Look) -> Span:
        if one.share is None:
            return (look.glyphs.none, "muted")
        filled = min(_BAR, round(one.share * _BAR))
        role = "bad" if one.share >= 1.0 else "warn" if one.share >= 0.8 else "ok"
        return (f"{look.glyphs.bar * filled}{look.glyphs.wait * (_BAR - filled)} {one.share:4.0%}", role)

    def figures(one: WindowView, look: Look) -> Span:
        parts = []
        if one.max_nusd is not None:
            held = one.used_nusd + one.reserved_nusd + one.in_doubt_nusd
            parts.append(f"{fmt.dollars(held)} of {fmt.dollars(one.max_nusd)}")
        if one.max_tokens is not None:
            held = one.used_tokens + one.reserved_tokens + one.in_doubt_tokens
            parts.append(f"{fmt.count(held)} of {fmt.count(one.max_tokens)} tokens")
        if one.max_parallel is not None:
            parts.append(f"{one.in_flight} of {one.max_parallel} at once")
        if one.requests_per_minute is not None:
            parts.append(f"{one.requests_per_minute}/min")
        return ("  ".join(parts) or look.glyphs.none, "text")

    def frees(one: WindowView, look: Look) -> Span:
        return (
            (look.glyphs.none, "muted") if one.frees_at is None else (f"in {fmt.span(one.frees_at - now())}", "muted")
        )

    usual: tuple[Column[WindowView], ...] = (
        column("WINDOW", 10, lambda one, look: (name(one.name), "text"), grow=1, most=24, about="its name"),
        column("OF", 12, lambda one, look: (name(f"{one.scope} {one.subject}"), "text"), grow=1, most=30,
               about="whom it holds back"),
        column("PERIOD", 9, lambda one, look: (one.period.replace("_", " "), "muted"), rank=3, about="how long it is"),
        column("USED", _BAR + 5, used, about="share that is used"),
        column("HOW MUCH", 16, figures, rank=1, grow=3, most=60, about="of how much"),
        column("FREE", 9, frees, rank=2, about="when something of it is free", is_aging=True),
        column("THEN", 9, lambda one, look: (one.on_exceed.replace("_", " "), "muted"), rank=4,
               about="what happens when it is used up"),
    )  # fmt: skip
    more: tuple[Column[WindowView], ...] = (
        column("NOW", 4, lambda one, look: (str(one.in_flight), "text"), rank=5, is_right=True, about="in flight"),
        column("ZONE", 10, lambda one, look: (name(one.time_zone) or look.glyphs.none, "muted"), rank=5, grow=1,
               most=24, about="time zone of its days"),
    )  # fmt: skip
    return Catalog("windows", "Windows", usual, more)
