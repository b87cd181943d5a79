"""How things are shown, shared by all widgets of one app: palette, glyphs, time zone.

One mutable object: a change of theme replaces `palette`, and widgets repaint when they notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from atp_console.format import ASCII, UNICODE, Glyphs
from atp_console.theme import DEFAULT_THEME, THEMES, Palette, palette_of


@dataclass(slots=True)
class Look:
    """`zone` None means the system's time zone."""

    palette: Palette
    glyphs: Glyphs
    zone: tzinfo | None = None

    @property
    def is_ascii(self) -> bool:
        """True when only ASCII may be drawn by us; outside text is shown as it is."""
        return self.glyphs is ASCII


def look_for(theme: str = DEFAULT_THEME, *, is_ascii: bool = False, zone: tzinfo | None = None) -> Look:
    """The look of a theme."""
    return Look(palette_of(THEMES[theme]), ASCII if is_ascii else UNICODE, zone)
