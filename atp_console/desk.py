"""What every screen works with: the folded state, the look, the source and a few facts of this console."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from atp_console.keymap import Keymap
from atp_console.look import Look
from atp_console.preferences import Preferences
from atp_console.source import EngineSource
from atp_console.state import ConsoleState


@dataclass(frozen=True, slots=True)
class Undo:
    """The last act that can be taken back: its name, and how."""

    what: str
    take_back: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Desk:
    """Shared by reference; `source` refuses every change when `is_readonly`."""

    state: ConsoleState
    look: Look
    source: EngineSource
    now: Callable[[], float]
    """UTC epoch seconds."""
    place: str
    """Where the engine is, for the header: `local`, or host and port."""
    is_readonly: bool
    output_dir: Path
    """Exports and screenshots go here."""
    undo: Undo | None = None
    preferences: Preferences = field(default_factory=Preferences)
    """Columns and saved views."""
    url: str = ""
    """Where a browser finds an engine that is not on this machine."""

    @property
    def keys(self) -> Keymap:
        """Which key does what."""
        return self.look.keys

    @property
    def address(self) -> str:
        """The engine's address for a browser or curl, empty while it is not known."""
        return (self.url or (self.state.engine.url if self.state.engine is not None else "")).rstrip("/")
