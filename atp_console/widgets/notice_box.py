"""The box that appears while the engine is away: what happened, and that it is tried again."""

from __future__ import annotations

from collections.abc import Callable

from atp_console.look import Look
from atp_console.paint import Line, wrapped
from atp_console.widgets.pane import Pane
from atp_engine.client.follow import LinkLost
from atp_engine.core.text import safe_text

_WIDTH = 64
_HEIGHT = 8


class NoticeBox(Pane, can_focus=False):
    """Hidden while the link is up; drawn in the middle over the other panes."""

    def __init__(self, look: Look, link: Callable[[], LinkLost | None], *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._link = link
        self._placed = (0, 0, 0, 0)
        self.display = False

    @property
    def is_boxed(self) -> bool:
        """Always."""
        return True

    @property
    def frame_role(self) -> str:
        """It is bad news."""
        return "bad"

    def update(self) -> None:
        """Shows, hides and places the box."""
        is_lost = self._link() is not None
        if is_lost:
            self._place()
        if self.display != is_lost:
            self.display = is_lost
        self.repaint()

    def _place(self) -> None:
        room = self.screen.size
        width, height = min(_WIDTH, room.width - 2), min(_HEIGHT, max(4, room.height - 4))
        offset = ((room.width - width) // 2, max(2, (room.height - height) // 2))
        if self._placed != (width, height, *offset):
            self._placed = (width, height, *offset)
            self.styles.width, self.styles.height = width, height
            self.styles.offset = offset

    def heading(self) -> tuple[Line, Line]:
        """What is wrong."""
        link = self._link()
        words = "Engine refuses this console" if link and link.is_refused else "Engine away"
        return [(f"{self.look.glyphs.bad} {words}", "bad")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Cause, what happens by itself, what can be done."""
        link = self._link()
        if link is None:
            return []
        said: list[Line] = [[(piece, "text")] for piece in wrapped(safe_text(link.reason, limit=240), width)]
        if link.is_refused:
            hint = "Check the token and the address it was started with."
        else:
            hint = "What you see is the last known state."
        return [
            [],
            *said[:2],
            [(f"Trying again every {link.retry_s:g} s; everything comes back by itself.", "muted")],
            [(hint, "muted")],
            [("ctrl+q", "key"), (" quit", "muted")],
        ]
