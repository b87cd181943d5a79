"""A small form: a few labelled lines to fill in, enter for the next, the last enter sends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from atp_console.look import Look
from atp_console.paint import Line
from atp_console.screens.modal import Modal
from atp_console.widgets.bars import Bar


@dataclass(frozen=True, slots=True)
class Field:
    """One line: its name in the answer, its label and what may stand there."""

    id: str
    label: str
    placeholder: str = ""
    value: str = ""
    most: int = 200
    """Longest text."""


class Form(Modal[dict[str, str]]):
    """Gives the values by name, an empty dict on escape."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "leave", show=False),
        Binding("ctrl+s", "send", show=False),
    ]

    def __init__(self, look: Look, title: str, fields: Sequence[Field]) -> None:
        super().__init__()
        self._look = look
        self._title = title
        self._fields = fields

    def compose(self) -> ComposeResult:
        """Title, then label and input of each field."""
        with Vertical(id="form"):
            yield Bar(self._look, lambda _width: [self._title_line()], id="form-title")
            for field in self._fields:
                label = Bar(self._look, partial(_label, field.label))
                label.add_class("form-label")
                yield label
                yield Input(
                    field.value,
                    placeholder=field.placeholder,
                    compact=True,
                    id=f"form-{field.id}",
                    max_length=field.most,
                )

    def on_mount(self) -> None:
        """The first field has the focus."""
        frame = self.query_one("#form")
        frame.styles.width = min(66, max(30, self.size.width - 4))
        frame.styles.height = min(2 * len(self._fields) + 3, self.size.height)
        self.start_in(self.query(Input).first())
        for bar in self.query(Bar):
            bar.repaint()

    def _title_line(self) -> Line:
        return [(f" {self._title}", "title"), ("  enter goes on, esc closes", "muted")]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The next field, or the end."""
        event.stop()
        inputs = list(self.query(Input))
        place = inputs.index(event.input)
        if place + 1 < len(inputs):
            self.set_focus(inputs[place + 1])
        else:
            self.action_send()

    def action_send(self) -> None:
        """Gives what was filled in."""
        self.answer({field.id: self.query_one(f"#form-{field.id}", Input).value.strip() for field in self._fields})

    def action_leave(self) -> None:
        """Gives nothing."""
        self.answer({})


def _label(text: str, width: int) -> list[Line]:
    return [[(f" {text}", "muted")]]
