"""A dialog that is answered once, whatever is typed before it is gone.

Keys come from a queue: a second one may reach a dialog that the first has closed already, and closing it
again would close what lies below, or end the console.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from textual import events
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

T = TypeVar("T")


class Modal(ModalScreen[T], Generic[T]):
    """Base of all dialogs."""

    is_answered = False

    def __init__(self) -> None:
        super().__init__()
        self._early: list[events.Key] = []
        self._field: Input | None = None

    def start_in(self, widget: Widget) -> None:
        """Puts the focus there at the start; a field gets what was typed early, a question is never answered by it."""
        self.set_focus(widget)
        early, self._early = self._early, []
        if isinstance(widget, Input):
            self._field = widget
            for key in early:
                widget.post_message(key)

    def take_early(self, key: events.Key) -> None:
        """A key that came before the dialog had a focus."""
        if self._field is not None:
            self._field.post_message(key)
        else:
            self._early.append(key)

    def answer(self, value: T) -> None:
        """Closes the dialog with this answer; the first one counts."""
        if not self.is_answered and self.is_current:
            self.is_answered = True
            self.dismiss(value)
