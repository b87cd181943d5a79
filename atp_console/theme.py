"""Colours by role, derived from any Textual theme so that every text reaches a contrast of 4.5 to 1.

Widgets name roles (`muted`, `bad`, `accent`), never colours. Three themes are ours; the built-in ones
of Textual work as well, except its two ANSI ones, whose colours cannot be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

DEFAULT_THEME = "atp-dark"
MIN_CONTRAST = 4.5
HIGH_CONTRAST = 7.0
"""What the theme `atp-contrast` keeps instead."""
_RULE_CONTRAST = 1.6

OWN_THEMES = (
    Theme(
        name="atp-dark",
        primary="#6cb6ff",
        secondary="#8fa3b8",
        accent="#6cb6ff",
        success="#7fca9f",
        warning="#e6b566",
        error="#f4807b",
        foreground="#dbe3ea",
        background="#0f1419",
        surface="#161d24",
        panel="#1f2933",
        variables={"atp-hit": "#b9a2f5"},
    ),
    Theme(
        name="atp-light",
        primary="#0b63b0",
        secondary="#51606e",
        accent="#0b63b0",
        success="#1c7a45",
        warning="#8a5a00",
        error="#b3312c",
        foreground="#1d252c",
        background="#fafbfc",
        surface="#f0f3f5",
        panel="#e2e8ed",
        dark=False,
        variables={"atp-hit": "#6b46c1"},
    ),
    Theme(
        name="atp-contrast",
        primary="#6fd3ff",
        secondary="#ffffff",
        accent="#6fd3ff",
        success="#5dff9b",
        warning="#ffd84d",
        error="#ff8f8a",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        variables={"atp-hit": "#d9c2ff"},
    ),
)
THEMES: dict[str, Theme] = {
    **{theme.name: theme for theme in OWN_THEMES},
    **{name: theme for name, theme in BUILTIN_THEMES.items() if not theme.ansi},
}

ROLES = (
    *("text", "strong", "muted", "accent", "ok", "warn", "bad", "hit", "stream", "title", "key", "rule", "rule_on"),
    "match",
)
GROUNDS = ("base", "bar", "cursor", "cursor_off")
"""Backgrounds: the screen, header and footer, the selected row with and without focus."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Rich styles by ground and role; `colours` keeps the figures that tests check."""

    styles: dict[str, dict[str, Style]]
    colours: dict[str, dict[str, Color]]
    grounds: dict[str, Color]


def palette_of(theme: Theme) -> Palette:
    """The palette of a theme; every role but rules is lifted until it can be read on its ground."""
    system = theme.to_color_system().generate()

    def named(name: str, fallback: str = "foreground") -> Color:
        return Color.parse(system.get(name) or system[fallback]).with_alpha(1.0)

    least = HIGH_CONTRAST if theme.name == "atp-contrast" else MIN_CONTRAST
    base, text = named("background"), named("foreground")
    accent = named("accent", "primary") if theme.name in _OWN else named("primary")
    grounds = {
        "base": base,
        "bar": named("surface"),
        "cursor": base.blend(accent, 0.22),
        "cursor_off": base.blend(text, 0.09),
    }
    wanted = {
        "text": text,
        "strong": text,
        "muted": base.blend(text, 0.58),
        "accent": accent,
        "ok": named("success"),
        "warn": named("warning"),
        "bad": named("error"),
        "hit": named("atp-hit", "secondary"),
        "stream": accent,
        "title": base.blend(text, 0.82),
        "key": accent,
        "rule": base.blend(text, 0.22),
        "rule_on": accent,
        "match": text,
    }
    colours: dict[str, dict[str, Color]] = {}
    styles: dict[str, dict[str, Style]] = {}
    for ground, behind in grounds.items():
        colours[ground] = {
            role: lifted(colour, behind, _RULE_CONTRAST if role == "rule" else least) for role, colour in wanted.items()
        }
        styles[ground] = {
            role: Style(
                color=colour.rich_color,
                bgcolor=behind.rich_color,
                bold=role in _BOLD,
                reverse=True if role == "match" else None,
            )
            for role, colour in colours[ground].items()
        }
    return Palette(styles, colours, grounds)


def field_colours(variables: Mapping[str, str]) -> dict[str, str]:
    """Colours of what Textual paints itself (text fields, messages in the corner), from a theme's variables."""

    def named(name: str) -> Color:
        return Color.parse(variables[name]).with_alpha(1.0)

    base, text, surface, panel = named("background"), named("foreground"), named("surface"), named("panel")
    chosen = surface.blend(named("primary"), 0.3)
    return {
        "atp-field": lifted(text, surface, MIN_CONTRAST).hex6,
        "atp-hint": lifted(base.blend(text, 0.58), surface, MIN_CONTRAST).hex6,
        "atp-chosen": chosen.hex6,
        "atp-on-chosen": lifted(text, chosen, MIN_CONTRAST).hex6,
        "atp-told": lifted(text, panel, MIN_CONTRAST).hex6,
    }


def lifted(colour: Color, behind: Color, ratio: float) -> Color:
    """The colour moved towards white or black just far enough to stand out from `behind` by `ratio`."""
    target = Color(255, 255, 255) if luminance(behind) < 0.18 else Color(0, 0, 0)
    for step in range(21):
        moved = colour.blend(target, step / 20)
        if contrast(moved, behind) >= ratio:
            return moved
    return target


def contrast(one: Color, other: Color) -> float:
    """WCAG 2 contrast ratio, 1 to 21."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: Color) -> float:
    """WCAG 2 relative luminance, 0 to 1."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(colour.r) + 0.7152 * linear(colour.g) + 0.0722 * linear(colour.b)


_OWN = frozenset(theme.name for theme in OWN_THEMES)
_BOLD = frozenset({"strong", "title", "key", "match"})
