"""The editor of the config text: TOML in the palette's colours, the lines with problems marked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.style import Style
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from atp_console.theme import Palette

_PARTS = re.compile(
    r"(?P<comment>#.*)"
    r"|(?P<table>^\s*\[\[?[^\]\n]*\]\]?)"
    r'|(?P<key>(?:^|(?<=[{,]))\s*(?:[A-Za-z0-9_-]+|"[^"]*")(?:\.(?:[A-Za-z0-9_-]+|"[^"]*"))*\s*(?==))'
    r'|(?P<text>"(?:[^"\\]|\\.)*"?|\'[^\']*\'?)'
    r"|(?P<number>\b(?:true|false|inf|nan|[+-]?\d[\d_.eE:TZ+-]*)\b)"
)
"""Line by line; a string over several lines is rare in a config and shown plain."""
_ROLES = {"comment": "muted", "table": "title", "key": "accent", "text": "ok", "number": "hit", "problem": "bad"}
_MOST_LINES = 5_000


class ConfigEditor(TextArea):
    """A TextArea that colours TOML by itself: no parser has to be installed for it."""

    _problem_lines: frozenset[int] = frozenset()

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:
        super().__init__(id=id, compact=True, show_line_numbers=True, soft_wrap=False, tab_behavior="indent")
        self.wear(palette)

    def wear(self, palette: Palette) -> None:
        """Takes the colours of a palette."""
        styles = palette.styles["base"]
        # The background belongs to the editor: a syntax style must not hide selection and cursor line.
        syntax = {name: Style(color=styles[role].color, bold=styles[role].bold) for name, role in _ROLES.items()}
        syntax["problem"] = Style(color=styles["bad"].color, underline=True)
        name = f"atp-{abs(hash(tuple(str(style.color) for style in syntax.values()))):x}"
        self.register_theme(TextAreaTheme(name=name, syntax_styles=syntax))
        self.theme = name

    def mark(self, lines: Iterable[int]) -> None:
        """Marks lines (counted from 1) as wrong."""
        wanted = frozenset(line - 1 for line in lines)
        if wanted != self._problem_lines:
            self._problem_lines = wanted
            self._build_highlight_map()
            self._line_cache.clear()
            self.refresh()

    def _build_highlight_map(self) -> None:
        """Textual asks for it after every edit; columns count bytes of UTF-8."""
        self._line_cache.clear()
        highlights = self._highlights
        highlights.clear()
        for number, line in enumerate(self.document.lines[:_MOST_LINES]):
            if number in self._problem_lines and line.strip():
                start = len(line) - len(line.lstrip())
                highlights[number].append((_bytes(line, start), _bytes(line, len(line)), "problem"))
                continue
            for found in _PARTS.finditer(line):
                name = found.lastgroup or ""
                text = found.group()
                start = found.start() + len(text) - len(text.lstrip())
                highlights[number].append((_bytes(line, start), _bytes(line, found.end()), name))


def _bytes(line: str, column: int) -> int:
    return column if line.isascii() else len(line[:column].encode())
