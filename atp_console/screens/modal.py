"""A dialog that is answered once, whatever is typed before it is gone.

Keys come from a queue: a second one may reach a dialog that the first has closed already, and closing it
again would close what lies below, or end the console.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from textual import events
from textual.screen import ModalScreen
from textual.widget import Widget

T = TypeVar("T")


class Modal(ModalScreen[T], Generic[T]):
    """Base of all dialogs."""

    is_answered = False
    is_up = False
    """It has been laid out and takes keys."""
    takes_early = True
    """What was typed before that is for it; not for a question, which nobody answers unseen."""

    def __init__(self) -> None:
        super().__init__()
        self._early: list[events.Key] = []

    def start_in(self, widget: Widget | None) -> None:
        """Puts the focus there, once all is laid out, and gives it what was typed early."""
        self.is_up = True
        self.set_focus(widget)
        early, self._early = self._early, []
        for key in early if self.takes_early else ():
            (widget or self).post_message(key)

    def take_early(self, key: events.Key) -> None:
        """A key that came before the dialog is up."""
        self._early.append(key)

    def answer(self, value: T) -> None:
        """Closes the dialog with this answer; the first one counts."""
        if not self.is_answered and self.is_current:
            self.is_answered = True
            self.dismiss(value)
