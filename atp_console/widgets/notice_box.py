"""The box that appears while the engine is away: what happened, and that it is tried again."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from atp_console.look import Look
from atp_console.paint import Line, wrapped
from atp_console.widgets.pane import Pane
from atp_engine.client.engine_client import BAD_REPLY
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
        words = causes(link)[0] if link is not None else ""
        return [(f"{self.look.glyphs.bad} {words}", "bad")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Cause, what happens by itself, what can be done."""
        link = self._link()
        if link is None:
            return []
        said = wrapped(safe_text(link.reason, limit=240), width)
        hints = wrapped(causes(link)[1], width)
        told: list[Line] = [[(piece, "text")] for piece in said[:2]]
        comes_back = "" if link.is_refused else "; everything comes back by itself"
        told.append([(f"Trying again every {link.retry_s:g} s{comes_back}.", "muted")])
        told += [[(piece, "muted")] for piece in hints[:2]]
        told.append([(self.look.key("quit"), "key"), (" quit", "muted")])
        return [[], *told] if len(told) < height else told


def causes(link: LinkLost) -> tuple[str, str]:
    """What is wrong, and what can be done about it."""
    if not link.is_refused:
        return "Engine away", "What you see is the last known state."
    if link.status == 401:
        return "Token refused", (
            "It was revoked or has run out. Quit, then attach with another one: "
            "atp-console attach URL --token-file FILE"
        )
    if link.status == 403:
        return "Token may not look here", "Its role does not reach this far: attach with another one."
    if link.code == BAD_REPLY:
        return "Engine of another version", (
            f"This console is {version('atp-console')}. Quit and start the console that was installed with the engine."
        )
    return "Engine refuses this console", "Check the token and the address it was started with."
