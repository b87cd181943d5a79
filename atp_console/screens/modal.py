"""A dialog that is answered once, whatever is typed before it is gone.

Keys come from a queue: a second one may reach a dialog that the first has closed already, and closing it
again would close what lies below, or end the console.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.screen import ModalScreen

T = TypeVar("T")


class Modal(ModalScreen[T], Generic[T]):
    """Base of all dialogs."""

    is_answered = False

    def answer(self, value: T) -> None:
        """Closes the dialog with this answer; the first one counts."""
        if not self.is_answered and self.is_current:
            self.is_answered = True
            self.dismiss(value)
