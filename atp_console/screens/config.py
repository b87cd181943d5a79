"""Config: the file in an editor that says what is wrong as one types, what would change, and how to go back."""

from __future__ import annotations

import difflib
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import TextArea

from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.look import Look
from atp_console.outline import outline_lines
from atp_console.paint import Line
from atp_console.screens import taking
from atp_console.screens.base import ConsoleScreen, Due
from atp_console.screens.dialogs import Choice, Item, Picker, Question
from atp_console.screens.taking import Way
from atp_console.widgets.columns import name
from atp_console.widgets.config_editor import ConfigEditor
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Column, Table, column
from atp_console.widgets.text_view import TextView
from atp_engine.client.errors import EngineError, EngineRefused
from atp_engine.core.config_views import ConfigReport, ConfigText, ConfigVersion
from atp_engine.core.text import safe_text

_CHECK_S = 0.35
"""Stillness after which what was typed is checked."""
_TEXT_CAP = 1_000_000
_CONFLICT = 409
_NO_REPORT = ConfigReport(is_valid=True, problems=())


class ConfigScreen(ConsoleScreen):
    """Screen 5. Texts are asked for when the screen is first seen, and again when a version went live."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.CONFIG)
    TAB = "config"
    NAME = "Config"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        look = desk.look
        self.tab = "edit"
        self.live: ConfigText | None = None
        self.report = _NO_REPORT
        self._problem = ""
        self._checked = ""
        self._version_seen = 0
        self._is_reading = False
        self._timer: Timer | None = None
        self.editor = ConfigEditor(look.palette, id="config-editor")
        self.verdict = TextView(look, self._verdict_heading, id="config-verdict")
        self.diff = TextView(look, self._diff_heading, id="config-diff")
        self.versions = Table[ConfigVersion](look, _columns(), lambda one: str(one.number), id="config-versions")
        self.versions.heading_of = lambda: (
            [("History", "title")],
            [(self.key("config.rollback"), "key"), (" roll back to the selected", "muted")],
        )
        self.versions.empty_of = lambda: [[], [("No version is kept yet.", "muted")]]
        self.version_diff = TextView(look, self._version_heading, id="config-version-diff")

    def compose_body(self) -> ComposeResult:
        """Editor and verdict; the draft's diff; the history with what a version changed."""
        with Container(id="config-edit"):
            yield self.editor
            yield self.verdict
        yield self.diff
        with Container(id="config-history"):
            yield self.versions
            yield self.version_diff

    def on_mount(self) -> None:
        """The editor first."""
        super().on_mount()
        self.editor.read_only = self.desk.is_readonly
        self._turn("edit")

    def home_pane(self) -> Pane:
        """What the tab is about."""
        return {"edit": self.verdict, "diff": self.diff, "history": self.versions}[self.tab]

    @property
    def is_modified(self) -> bool:
        """The draft is not what is live."""
        return self.live is not None and self.editor.text != self.live.files[0].text

    def marks(self) -> Line:
        """State of the draft."""
        glyphs = self.desk.look.glyphs
        if self._problem:
            return [(f"{glyphs.bad} {name(self._problem)}", "bad")]
        if self.live is None:
            return [("reading ...", "muted")]
        line: Line = [(f"v{self.live.version} live", "muted")]
        if self.is_modified:
            line = [(f"{glyphs.full_dot} modified", "warn"), ("  ", "text"), *line]
        problems = len(self.report.problems)
        if problems:
            line = [(f"{glyphs.bad} {problems} {'problem' if problems == 1 else 'problems'}  ", "bad"), *line]
        return line

    def paint_body(self, due: frozenset[Due]) -> None:
        """Reads the text once, and again when another version is live and nothing is being edited."""
        if Due.SIDE not in due:
            return
        engine = self.desk.state.engine
        version = engine.config_version if engine is not None else 0
        is_on_top = self.app.screen_stack[-1] is self
        if is_on_top and version != self._version_seen and not self._is_reading and self.desk.state.is_connected:
            self._is_reading = True
            self.run_worker(self._read(version), exclusive=True, group="config")
        self.editor.wear(self.desk.look.palette)

    async def _read(self, version: int) -> None:
        try:
            text = await self.desk.source.settings.text()
            history = await self.desk.source.settings.history()
        except EngineError as error:
            self._problem = error.message
        else:
            was_modified = self.is_modified
            self._problem, self._version_seen = "", version
            self.live = text
            if not was_modified:
                self._load(text.files[0].text)
            else:
                self.tell(f"Version {text.version} went live meanwhile; your draft is kept.", severity="warning")
            self.versions.set_rows(list(history.versions))
            await self._check()
            await self._show_version()
        finally:
            self._is_reading = False
        self.paint_all()

    def _load(self, text: str) -> None:
        with self.prevent(TextArea.Changed):
            self.editor.load_text(text[:_TEXT_CAP])

    # --- checking

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Checks when the hands rest."""
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_CHECK_S, self._check_soon)

    def _check_soon(self) -> None:
        self.run_worker(self._check(), exclusive=True, group="config-check")

    async def _check(self) -> None:
        text = self.editor.text
        if text != self._checked:
            try:
                report = await self.desk.source.settings.check(text)
            except EngineError as error:
                self._problem = error.message
            else:
                self._problem, self._checked, self.report = "", text, report
        self.editor.mark(one.line for one in self.report.problems)
        self._show_verdict()
        self._show_diff()
        self.app.call_later(self.paint, frozenset({Due.FRAME}))

    def _show_verdict(self) -> None:
        glyphs = self.desk.look.glyphs
        lines: list[Line] = []
        for one in self.report.problems:
            place = f"{one.line}:{one.column}" if one.line else ""
            hint = f"  {one.hint}" if one.hint else ""
            text = safe_text(f"{one.key} {one.message}".strip(), limit=400)
            lines.append([(f"{glyphs.bad} {place} {text}", "bad"), (safe_text(hint, limit=200), "muted")])
        lines += [[(f"{glyphs.half} {safe_text(one, limit=400)}", "warn")] for one in self.report.warnings]
        if self.report.is_valid:
            lines += [[(f"{glyphs.dot} {safe_text(str(one), limit=400)}", "text")] for one in self.report.changes]
            if self.is_modified:
                lines.append([(str(self.report.replay), "accent")])
            for route in self.report.replay.routes:
                moved = f"  {name(route.asked)}: {name(route.before)} {glyphs.arrow} {name(route.after)}"
                lines.append([(moved, "text"), (f"  {route.differing:g} of {route.requests}", "muted")])
        if self.report.waits:
            lines.append([(safe_text(self.report.waits, limit=300), "warn")])
        if not lines:
            lines = [[("As it is live.", "muted")], [], *outline_lines(self.editor.text)]
        self.verdict.set_lines(lines)

    def _show_diff(self) -> None:
        before = self.live.files[0].text if self.live is not None else ""
        self.diff.set_lines(_diff_lines(_unified(before, self.editor.text)))

    def _verdict_heading(self) -> tuple[Line, Line]:
        right: Line = [(self.key("config.problem"), "key"), (" next problem", "muted")] if self.report.problems else []
        return [("Problems" if self.report.problems else "What it would do", "title")], right

    def _diff_heading(self) -> tuple[Line, Line]:
        version = f"v{self.live.version}" if self.live is not None else ""
        return [("Diff", "title"), (f" {version} {self.desk.look.glyphs.arrow} draft", "muted")], []

    def _version_heading(self) -> tuple[Line, Line]:
        selected = self.versions.selected
        return [("From", "title"), (f" v{selected.number} to the live one" if selected else "", "muted")], []

    # --- history

    def on_table_moved(self, event: Table.Moved) -> None:
        """What lies between the selected version and the live one."""
        event.stop()
        if self.is_mounted and self.tab == "history":
            self.run_worker(self._show_version(), exclusive=True, group="config-version")

    async def _show_version(self) -> None:
        selected = self.versions.selected
        if selected is None or self.live is None:
            return
        try:
            found = await self.desk.source.settings.diff(selected.number, self.live.version)
        except EngineError as error:
            self.version_diff.set_lines([[(error.message, "bad")]])
            return
        lines = _diff_lines(found.text)
        self.version_diff.set_lines(lines or [[("The same text.", "muted")]])

    def do_config_rollback(self) -> None:
        """Makes the selected version live again, after a question."""
        selected = self.versions.selected
        if self.tab != "history":
            self.do_config_history()
            return
        if selected is None or selected.is_current:
            self.tell("It is live already." if selected else "No version is selected.")
            return
        text = [
            f"Version {selected.number}, applied by {name(selected.author)}.",
            "It is written into the file and goes live; requests in flight finish as they began.",
        ]

        def answered(picked: str | None) -> None:
            if picked:
                self.ask(self._rollback(selected.number))

        choices = [Choice("n", "No", ""), Choice("y", "Yes, roll back", "y")]
        self.app.push_screen(
            Question(self.desk.look, f"Roll back to version {selected.number}?", text, choices), answered
        )

    async def _rollback(self, version: int) -> None:
        base = self.live.digest if self.live is not None else ""
        applied = await self.desk.source.settings.rollback(version, base=base, reason="rolled back in the console")
        if self.is_modified:
            self._keep_draft()
        self._after(applied.version, applied.guard_s)

    # --- applying

    def do_config_apply(self) -> None:
        """Checks the draft and asks, showing what changes."""
        if not self.is_modified:
            self.tell("Nothing is changed.")
            return
        self.run_worker(self._ask_apply(), exclusive=True, group="config-apply")

    async def _ask_apply(self) -> None:
        await self._check()
        if self._checked != self.editor.text:
            return
        if not self.report.is_valid:
            self.tell(f"It has problems; {self.key('config.problem')} goes to the next one.", severity="error")
            self.do_config_problem()
            return
        changes = [safe_text(str(one), limit=120) for one in self.report.changes[:6]]
        more = len(self.report.changes) - len(changes)
        text = [*(changes or ["Only comments or order change."]), *([f"and {more} more"] if more > 0 else [])]
        text += [str(self.report.replay), *([self.report.waits] if self.report.waits else [])]
        text.append("Watched for five minutes, and taken back by itself if it makes things worse.")

        def answered(picked: str | None) -> None:
            if picked:
                self.ask(self._apply())

        choices = [Choice("n", "No, keep editing", ""), Choice("y", "Yes, apply", "y")]
        self.app.push_screen(Question(self.desk.look, "Apply this config?", text, choices), answered)

    async def _apply(self) -> None:
        base = self.live.digest if self.live is not None else ""
        try:
            applied = await self.desk.source.settings.apply(self.editor.text, base=base, reason="edited in the console")
        except EngineRefused as error:
            if error.status != _CONFLICT:
                raise
            self._ask_conflict(error.message)
            return
        self._after(applied.version, applied.guard_s)

    def _ask_conflict(self, message: str) -> None:
        text = [safe_text(message, limit=300), "Your draft is still in the editor; nothing was written."]

        def answered(picked: str | None) -> None:
            if picked:
                self._keep_draft()
                self._load(self.live.files[0].text if self.live is not None else "")
                self._version_seen = 0

        choices = [Choice("n", "Keep editing", ""), Choice("r", "Read it anew; my draft goes to a file", "r")]
        self.app.push_screen(Question(self.desk.look, "The file was changed underneath", text, choices), answered)

    def _after(self, version: int, guard_s: float) -> None:
        watched = f", watched for {fmt.span(guard_s)}" if guard_s else ""
        self.tell(f"Version {version} is live{watched}.")
        self._version_seen = -1
        self.live = None

    def _keep_draft(self) -> None:
        """A copy of what is being edited, before it is replaced."""
        draft = self.editor.text
        self.save("atp-config-draft.toml", lambda: draft)

    # --- moving about

    def do_copy(self) -> None:
        """The draft, what it changes, or something of a version."""
        if self.tab == "history":
            taking.copy_row(self)
            return
        texts = {"text": self.editor.text, "diff": _unified(self._live_text, self.editor.text)}
        items = [Item("text", "text  the config as it stands here", "t"), Item("diff", "diff  what it changes", "d")]

        def chosen(picked: str | None) -> None:
            if picked:
                self.copy(picked, texts[picked])

        self.app.push_screen(Picker(self.desk.look, "Copy", items, is_searchable=False), chosen)

    def do_export(self) -> None:
        """The draft as a file, the versions, or a picture."""

        async def draft() -> str:
            return self.editor.text

        taking.export_rows(self, [Way("t", "TOML, the config as it stands here", "toml", draft, "atp-config")])

    @property
    def _live_text(self) -> str:
        return self.live.files[0].text if self.live is not None else ""

    def do_config_edit(self) -> None:
        """The cursor into the text."""
        self._turn("edit")
        self.set_focus(self.editor)

    def do_config_diff(self) -> None:
        """What the draft changes."""
        self._turn("diff")

    def do_config_history(self) -> None:
        """The versions."""
        self._turn("history")

    def _turn(self, tab: str) -> None:
        self.end_zoom()
        for other in ("edit", "diff", "history"):
            self.set_class(other == tab, f"-tab-{other}")
        self.tab = tab
        self.call_after_refresh(self._after_turn)

    def _after_turn(self) -> None:
        if self.focused is not self.editor or self.tab != "edit":
            self.home_pane().focus()
        self.paint_all()
        if self.tab == "history":
            self.run_worker(self._show_version(), exclusive=True, group="config-version")

    def do_config_problem(self) -> None:
        """The cursor to the next problem."""
        places = [(one.line - 1, max(0, one.column - 1)) for one in self.report.problems if one.line]
        if not places:
            self.tell("No problem has a line.")
            return
        here = self.editor.cursor_location
        following = [place for place in places if place > here] or places
        self._turn("edit")
        self.editor.move_cursor(following[0], center=True)
        self.set_focus(self.editor)

    def do_config_discard(self) -> None:
        """The live text again."""
        if self.is_modified and self.live is not None:
            self._keep_draft()
            self._load(self.live.files[0].text)
            self.run_worker(self._check(), exclusive=True, group="config-check")

    def do_list_open(self) -> None:
        """The focused pane over the whole body."""
        self.toggle_zoom()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Enter on a version."""
        event.stop()
        self.version_diff.focus()

    def back(self) -> bool:
        """Leaves the editor, zoom, then the tab."""
        if self.focused is self.editor:
            self.verdict.focus()
            return True
        if self.end_zoom():
            return True
        if self.tab != "edit":
            self._turn("edit")
            return True
        return False


def _unified(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "live", "draft", lineterm="", n=2)
    return "\n".join(lines)


def _diff_lines(text: str) -> list[Line]:
    """A unified diff with its roles."""
    lines: list[Line] = []
    for line in safe_text(text, limit=_TEXT_CAP, is_line=False).split("\n"):
        role = {"+": "ok", "-": "bad", "@": "accent"}.get(line[:1], "text")
        lines.append([(line, "muted" if line.startswith(("---", "+++")) else role)])
    return lines if text else [[("Nothing is changed.", "muted")]]


def _columns() -> tuple[Column[ConfigVersion], ...]:
    def at(one: ConfigVersion, look: Look) -> tuple[str, str]:
        return (datetime.fromtimestamp(one.at, look.zone).strftime("%m-%d %H:%M"), "muted")

    def what(one: ConfigVersion, look: Look) -> tuple[str, str]:
        return (safe_text("; ".join(one.changes) or look.glyphs.none, limit=200), "text")

    return (
        column("V", 4, lambda one, look: (f"{one.number}{look.glyphs.star if one.is_current else ''}", "strong")),
        column("WHEN", 11, at),
        column("BY", 12, lambda one, look: (name(one.author), "text"), grow=1, most=30),
        column("CHANGES", 20, what, grow=4, most=120),
        column("REASON", 12, lambda one, look: (safe_text(one.reason, limit=120), "muted"), rank=1, grow=1, most=40),
    )
