"""How things are shown, shared by all widgets of one app: palette, glyphs, time zone, names of keys.

One mutable object: a change of theme replaces `palette`, and widgets repaint when they notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from atp_console.format import ASCII, UNICODE, Glyphs
from atp_console.keymap import DEFAULT, Keymap
from atp_console.theme import DEFAULT_THEME, THEMES, Palette, palette_of


@dataclass(slots=True)
class Look:
    """`zone` None means the system's time zone."""

    palette: Palette
    glyphs: Glyphs
    zone: tzinfo | None = None
    keys: Keymap = DEFAULT

    def key(self, action_id: str) -> str:
        """An action's key as it is shown in a text."""
        return self.keys.label(action_id, is_ascii=self.is_ascii)

    @property
    def is_ascii(self) -> bool:
        """True when only ASCII may be drawn by us; outside text is shown as it is."""
        return self.glyphs is ASCII


def look_for(theme: str = DEFAULT_THEME, *, is_ascii: bool = False, zone: tzinfo | None = None) -> Look:
    """The look of a theme."""
    return Look(palette_of(THEMES[theme]), ASCII if is_ascii else UNICODE, zone)
