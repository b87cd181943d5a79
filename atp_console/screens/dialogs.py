"""Small modal screens: a question with No as its default, and a list to pick from with or without search.

Palette, help, copy menu and theme choice are all the one `Picker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from atp_console.look import Look
from atp_console.paint import Line, Span, cells, fit, wrapped
from atp_console.screens.modal import Modal
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Column, Table


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to answer a question: the key that picks it, the words on it, the value it gives."""

    key: str
    words: str
    value: str


class QuestionPane(Pane):
    """The text of a question and its answers on one line."""

    def __init__(self, look: Look, title: str, text: Sequence[str], choices: Sequence[Choice]) -> None:
        super().__init__(look, id="question")
        self._title = title
        self._text = text
        self._choices = choices
        self.picked = 0

    @property
    def is_boxed(self) -> bool:
        """Always."""
        return True

    def heading(self) -> tuple[Line, Line]:
        """The question in short."""
        return [(self._title, "title")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Text, then the answers; the picked one stands between marks."""
        lines: list[Line] = [[]]
        for paragraph in self._text:
            lines += [[(piece, "text")] for piece in wrapped(paragraph, width)]
        answers: Line = []
        for place, choice in enumerate(self._choices):
            is_picked = place == self.picked
            open_mark, close_mark = ("[", "]") if is_picked else (" ", " ")
            answers += [
                (open_mark, "accent"),
                (f" {choice.key} ", "key"),
                (choice.words + " ", "strong" if is_picked else "muted"),
                (close_mark + "  ", "accent"),
            ]
        return [*lines, [], answers]

    def wanted_height(self, width: int) -> int:
        """Rows that the whole question needs in a box of `width` cells."""
        return len(self.lines(width - 4, 99)) + 3


class Question(Modal[str]):
    """Asks; gives the value of the choice, the first choice's on escape. The first is the harmless one."""

    BINDINGS = [  # noqa: RUF012
        Binding("left,up,shift+tab,h,k", "pick(-1)", show=False),
        Binding("right,down,tab,l,j", "pick(1)", show=False),
        Binding("enter", "answer", show=False),
        Binding("escape,q", "leave", show=False),
    ]

    takes_early = False

    def __init__(self, look: Look, title: str, text: Sequence[str], choices: Sequence[Choice]) -> None:
        super().__init__()
        self._choices = choices
        self._pane = QuestionPane(look, title, text, choices)

    def compose(self) -> ComposeResult:
        """The question in the middle."""
        yield self._pane

    def on_mount(self) -> None:
        """As high as its text."""
        self._fit()
        self.start_in(self._pane)

    def on_resize(self) -> None:
        """The text wraps anew."""
        self._fit()

    def _fit(self) -> None:
        width = min(66, max(20, self.size.width - 4))
        self._pane.styles.width = width
        self._pane.styles.height = min(self.size.height, self._pane.wanted_height(width))

    def action_pick(self, step: int) -> None:
        """Another answer."""
        self._pane.picked = (self._pane.picked + step) % len(self._choices)
        self._pane.repaint()

    def action_answer(self) -> None:
        """Takes the picked answer."""
        self.answer(self._choices[self._pane.picked].value)

    def action_leave(self) -> None:
        """The harmless answer."""
        self.answer(self._choices[0].value)

    def on_key(self, event: events.Key) -> None:
        """An answer's own key."""
        for choice in self._choices:
            if event.character == choice.key:
                event.stop()
                self.answer(choice.value)
                return


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a picker. `key` is shown on the left; in a menu it also picks the line."""

    id: str
    title: str
    key: str = ""
    group: str = ""


def _headed(items: Sequence[Item]) -> list[Item]:
    """The items with their group named only where it begins."""
    return [
        replace(item, group="") if place and items[place - 1].group == item.group else item
        for place, item in enumerate(items)
    ]


def ranked(items: Sequence[Item], query: str, *, is_by_key: bool) -> list[Item]:
    """The items that have every word, what is named so first: an id, a key, the beginning of a title."""
    words = query.lower().split()
    if not words:
        return list(items)
    exact = query.strip()
    lower = " ".join(words)

    def place(item: Item) -> int:
        name = item.id.lower()
        is_key = exact in item.key.split()
        if is_key and is_by_key:
            return 0
        if lower in (name, name.rpartition(".")[2]):
            return 1
        if name.startswith(lower):
            return 2
        if is_key:
            return 3
        return 4 if item.title.lower().startswith(lower) else 5

    found = [item for item in items if all(word in _text_of(item) for word in words)]
    return sorted(found, key=place)


def _text_of(item: Item) -> str:
    return f"{item.title} {item.key} {item.group} {item.id}".lower()


class Picker(Modal[str]):
    """A list of items; gives the id of the picked one, an empty string on escape.

    With `is_searchable` one types to narrow it; without, an item's own key picks it at once.
    """

    BINDINGS = [  # noqa: RUF012
        Binding("down,ctrl+n,tab", "move(1)", show=False),
        Binding("up,ctrl+p,shift+tab", "move(-1)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("enter", "pick", show=False),
        Binding("escape", "leave", show=False),
    ]

    def __init__(
        self, look: Look, title: str, items: Sequence[Item], *, is_searchable: bool, is_by_key: bool = False
    ) -> None:
        """With `is_by_key` a single character finds the key first, else the name."""
        super().__init__()
        self._is_by_key = is_by_key
        self._items = items
        self._title = title
        self._look = look
        self._is_searchable = is_searchable
        self._shown: list[Item] = _headed(items)
        self._key_width = max((cells(item.key) for item in items), default=0) or 1
        columns: list[Column[Item]] = [
            Column("", self._key_width, _key_cell),
            Column("", 20, _title_cell, grow=1, most=200),
        ]
        if len({item.group for item in items}) > 1:
            columns.append(Column("", max(cells(item.group) for item in items), _group_cell, rank=1, is_right=True))
        self._table = Table[Item](look, columns, lambda item: item.id, id="picker-list")
        self._table.set_rows(self._shown)
        self._table.is_framed = False
        self._table.has_titles = False
        self._table.can_focus = not is_searchable
        self._table.is_always_active = True

    def compose(self) -> ComposeResult:
        """A field to search in, and the list."""
        with Vertical(id="picker"):
            yield PickerTitle(self._look, self._title_line())
            if self._is_searchable:
                yield Input(placeholder="type to search", compact=True, id="picker-input", select_on_focus=False)
            yield self._table

    def on_mount(self) -> None:
        """As high as its items, up to the screen."""
        self._fit()
        self.start_in(self.query_one("#picker-input" if self._is_searchable else "#picker-list"))
        self._table.go(0)

    def on_resize(self) -> None:
        """Another screen."""
        self._fit()

    def _fit(self) -> None:
        frame = self.query_one("#picker")
        frame.styles.width = min(76 if self._is_searchable else 58, max(20, self.size.width - 4))
        frame.styles.height = min(max(6, self.size.height - 4), len(self._items) + 3 + int(self._is_searchable))

    @property
    def shown(self) -> list[Item]:
        """The items that match what was typed."""
        return self._shown

    def _title_line(self) -> Line:
        words = "type to search, enter runs, esc closes" if self._is_searchable else "enter takes, esc closes"
        return [(self._title, "title"), (f"  {words}", "muted")]

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrows the list."""
        event.stop()
        self._shown = _headed(ranked(self._items, event.value, is_by_key=self._is_by_key))
        self._table.set_rows(self._shown)
        self._table.go(0)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Picks the line."""
        event.stop()
        self.action_pick()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Picks the line."""
        event.stop()
        self.action_pick()

    def action_move(self, steps: int) -> None:
        """Another line."""
        self._table.move(steps)

    def action_pick(self) -> None:
        """Takes the line."""
        item = self._table.selected
        if item is not None:
            self.answer(item.id)

    def action_leave(self) -> None:
        """Takes nothing."""
        self.answer("")

    def on_key(self, event: events.Key) -> None:
        """In a menu, an item's own key; j, k and q as in lists."""
        if self._is_searchable:
            return
        for item in self._items:
            if event.character and event.character == item.key:
                event.stop()
                self.answer(item.id)
                return
        if event.key in ("j", "k", "q"):
            event.stop()
            if event.key == "q":
                self.answer("")
            else:
                self._table.move(1 if event.key == "j" else -1)


class PickerTitle(Pane, can_focus=False):
    """The picker's first line."""

    is_framed = False

    def __init__(self, look: Look, line: Line) -> None:
        super().__init__(look, id="picker-title")
        self._line = line

    def lines(self, width: int, height: int) -> list[Line]:
        """Title and what the keys do."""
        return [self._line]


def _key_cell(item: Item, look: Look, width: int) -> Line:
    return [_fitted(item.key, width, "key")]


def _title_cell(item: Item, look: Look, width: int) -> Line:
    return [_fitted(item.title, width, "text")]


def _group_cell(item: Item, look: Look, width: int) -> Line:
    return [(fit(item.group, width, is_right=True), "muted")]


def _fitted(text: str, width: int, role: str) -> Span:
    return (fit(text, width), role)
