"""The empty Live screen: where clients are pointed, what was found here, and how to try it at once."""

from __future__ import annotations

from atp_console.look import Look
from atp_console.paint import Line, cells, width_of
from atp_console.widgets.pane import Pane
from atp_engine.core.text import safe_text
from atp_engine.core.views import EngineView, FirstRun

_LINE_CAP = 400
_BESIDE = 3
_ROOMY = 76


class FirstRunPane(Pane):
    """Shown while no request has ever been seen."""

    is_framed = False

    def __init__(self, look: Look, *, is_readonly: bool, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.first_run: FirstRun | None = None
        self.engine: EngineView | None = None
        self._is_readonly = is_readonly

    def lines(self, width: int, height: int) -> list[Line]:
        """Headline, one paste per client, what was found, next keys; centred when there is room."""
        one = self.first_run
        if one is None:
            return [[], [("Waiting for the engine.", "muted")]]
        url = safe_text(self.engine.url, limit=200) if self.engine else ""
        said = "Nothing to show yet." if self.engine and self.engine.requests_total else "No traffic yet."
        first: Line = [(said, "strong"), (" Point a client here:  ", "text"), (url, "accent")]
        is_narrow = width_of(first) > width - 2
        body: list[Line] = [
            *([[(said, "strong")], [("Point a client at ", "text"), (url, "accent")]] if is_narrow else [first, []]),
            *self._connections(one, width, is_roomy=height >= 24),
        ]
        body += self._found(one, width)
        body += [[], *self._next_keys(width)]
        wide = max((sum(cells(text) for text, _ in line) for line in body), default=0)
        indent = " " * max(1, min(8, (width - wide) // 2))
        top = max(0, min(3, (height - len(body)) // 3))
        return [*([] for _ in range(top)), *([(indent, "text"), *line] for line in body)]

    def _connections(self, one: FirstRun, width: int, *, is_roomy: bool) -> list[Line]:
        label = max((cells(connection.name) for connection in one.connections), default=0) + 2
        lines: list[Line] = []
        for number, connection in enumerate(one.connections[:9], start=1):
            pastes = [safe_text(line, limit=_LINE_CAP) for line in connection.lines]
            shown = pastes if is_roomy else pastes[:1]
            for place, paste in enumerate(shown):
                head = f"{self.look.key('copy')}{number} " if not place else "   "
                title = safe_text(connection.name, limit=30) if not place else ""
                lines.append([(head, "key"), (f"{title:<{label}}", "text"), (paste, "accent")])
            if not is_roomy and len(pastes) > 1:
                lines[-1].append((f"  +{len(pastes) - 1}", "muted"))
            if is_roomy:
                if connection.note:
                    lines.append(
                        [(" " * (label + _BESIDE), "text"), (safe_text(connection.note, limit=_LINE_CAP), "muted")]
                    )
                lines.append([])
        return lines

    def _found(self, one: FirstRun, width: int) -> list[Line]:
        glyphs = self.look.glyphs
        lines: list[Line] = [[]] if one.connections and one.found else []
        row: Line = [("Found    ", "muted")]
        for clause in one.found:
            part = f"{glyphs.ok} {safe_text(clause, limit=100)}   "
            if sum(cells(text) for text, _ in row) + cells(part) > width - 4 and len(row) > 1:
                lines.append(row)
                row = [("         ", "muted")]
            row += [(part[:1], "ok"), (part[1:], "text")]
        if one.found:
            lines.append(row)
        if one.providers:
            lines.append(
                [("Routing  ", "muted"), (", ".join(safe_text(name, limit=40) for name in one.providers), "text")]
            )
        return lines

    def _next_keys(self, width: int) -> list[Line]:
        lines: list[Line] = []
        if not self._is_readonly:
            how = " through the simulated model" if width >= _ROOMY else ""
            words = f" send a test request{how}: a row appears at once"
            lines.append([(f" {self.look.key('test')} ", "key"), (words, "text")])
        lines.append([(f" {self.look.key('copy')} ", "key"), (" copy one of the lines above", "text")])
        lines.append([(f" {self.look.key('help')} ", "key"), (" every key of this screen", "text")])
        return lines
