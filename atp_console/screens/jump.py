"""Jump mode: a letter on every pane and field that can have the focus, the screens' own keys on the tabs.

A transparent layer over the screen; the letter focuses what it stands on, escape leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.strip import Strip
from textual.widget import Widget

from atp_console.actions import BY_ID
from atp_console.desk import Desk
from atp_console.look import Look
from atp_console.paint import Line, PaintedStrip
from atp_console.screens.base import TABS, ConsoleScreen
from atp_console.screens.modal import Modal
from atp_console.widgets.bars import Bar
from atp_console.widgets.pane import Pane

_TAB_IDS = tuple(f"screen.{tab}" for _, tab in TABS)
_LETTERS = "asdfghjklwertuiopzxcvbnm"
"""Home row first; no q, which leaves everywhere."""


@dataclass(frozen=True, slots=True)
class Target:
    """Somewhere to go: the character that goes there, where it is drawn, and the widget or the action."""

    character: str
    x: int
    y: int
    widget: Widget | None = None
    action_id: str = ""


def targets_of(screen: ConsoleScreen) -> list[Target]:
    """The tabs whose key is one character, then what can have the focus, from top to bottom."""
    found = [
        Target(label, x, 1, action_id=action_id)
        for action_id, x, label in screen.tab_places(screen.size.width)
        if len(label) == 1
    ]
    taken = {one.character for one in found}
    letters = iter([letter for letter in _LETTERS if letter not in taken])
    shown = [one for one in screen.focus_chain if one.region and screen.region.contains_region(one.region)]
    for widget in sorted(shown, key=lambda one: (one.region.y, one.region.x)):
        letter = next(letters, "")
        if letter:
            found.append(Target(letter, widget.region.x, widget.region.y, widget))
    return found


class Mark(Pane, can_focus=False):
    """The letter itself, in reversed colours."""

    is_framed = False

    def __init__(self, look: Look, target: Target) -> None:
        super().__init__(look)
        is_boxed = isinstance(target.widget, Pane) and target.widget.is_boxed
        blank = "" if target.action_id else " "
        self._text = f"{blank if is_boxed else ''}{target.character}{blank}"
        self.styles.position = "absolute"
        self.styles.width, self.styles.height = len(self._text), 1
        self.styles.offset = (target.x, target.y)

    def content_strips(self, width: int, height: int) -> list[Strip]:
        """One strip."""
        style = self.look.palette.styles["base"]["key"] + Style(reverse=True)
        return [PaintedStrip([Segment(self._text[:width], style)], min(width, len(self._text)))]


class Jump(Modal[str]):
    """Focuses what was chosen; gives the id of an action when a tab was."""

    def __init__(self, desk: Desk, below: ConsoleScreen) -> None:
        super().__init__()
        self._desk = desk
        self._below = below
        self.targets = targets_of(below)

    def compose(self) -> ComposeResult:
        """The letters, and over the footer what they do."""
        for target in self.targets:
            yield Mark(self._desk.look, target)
        yield Bar(self._desk.look, self._words, id="jump-words")

    def on_mount(self) -> None:
        """Drawn at once."""
        for pane in self.query(Pane):
            pane.repaint()
        self.start_in(None)

    def _words(self, width: int) -> list[Line]:
        tabs = sum(1 for one in self.targets if one.action_id)
        line: Line = [(" Jump  ", "title"), ("a letter", "key"), (" focuses", "muted")]
        if tabs:
            line += [("  a tab's key", "key"), (" opens", "muted")]
        line += [("  esc", "key"), (" leaves", "muted")]
        return [line]

    def on_resize(self, event: events.Resize) -> None:
        """The panes stand elsewhere now."""
        if event.size != self._below.size:
            self.answer("")

    def on_key(self, event: events.Key) -> None:
        """A letter goes there; escape, q and the key that came here leave."""
        event.stop()
        target = next((one for one in self.targets if one.character == event.character), None)
        if target is None:
            keys = self._desk.keys
            if event.key in ("escape", "q", *keys.keys_of(BY_ID["jump"])):
                self.answer("")
            for tab in _TAB_IDS:  # a tab that has no room in the header has its key all the same
                if event.key in keys.keys_of(BY_ID[tab]):
                    self.answer(tab)
            return
        if target.widget is not None:
            target.widget.focus()
        self.answer(target.action_id)

    def on_click(self, event: events.Click) -> None:
        """A click anywhere leaves."""
        self.answer("")
