"""The screen as a picture and as text, for the screenshot action and for golden files."""

from __future__ import annotations

import re
from typing import Any

from textual._compositor import LayoutUpdate
from textual.app import App

_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_TERMINAL_ID = re.compile(r"terminal-\d+-")


def svg(app: App[Any]) -> str:
    """SVG without the fonts that it would fetch from the network and without its random ids."""
    picture = app.export_screenshot(title="ATP Console", simplify=True)
    return _TERMINAL_ID.sub("terminal-", _FONT_FACE.sub("", picture))


def text(app: App[Any]) -> str:
    """The characters of the screen, line by line, without blanks at the ends."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    if not isinstance(update, LayoutUpdate):
        return ""
    lines = ("".join(strip.text for strip in line) for line in update.strips)
    return "".join(line.rstrip() + "\n" for line in lines)
