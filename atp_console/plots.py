"""A line chart as painted lines: plotext draws it, its colours become roles of the palette.

plotext keeps one figure per process; it is set up anew for every chart, always on the console's loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import plotext

from atp_console.paint import Line

_COLOURS = ("red", "green", "blue", "yellow")
_CODES = {"1": 0, "2": 1, "4": 2, "3": 3}
"""The number of each colour's escape sequence, and whose it is."""
_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
_LETTERS = ("o", "+", "x", "*")
_LEAST_HEIGHT = 4


@dataclass(frozen=True, slots=True)
class Plotted:
    """One line of a chart; None is a gap. `role` is its colour, `label` its legend."""

    label: str
    role: str
    values: Sequence[float | None]


def nice_ticks(top: float, count: int) -> list[float]:
    """Round numbers from 0 to at least `top`, about `count` of them."""
    if top <= 0:
        return [0.0, 1.0]
    rough = top / max(1, count)
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if size * factor >= rough * 0.999)
    return [step * number for number in range(ceil(top / step - 1e-9) + 1)]


def plot(
    lines: Sequence[Plotted],
    width: int,
    height: int,
    *,
    y_label: Callable[[float], str],
    x_labels: tuple[str, str, str],
    is_ascii: bool,
) -> list[Line]:
    """The chart in `height` lines; empty when there is no room. `x_labels` are those of begin, middle, end."""
    if height < _LEAST_HEIGHT or width < 20:
        return []
    points = max((len(line.values) for line in lines), default=0)
    top = max((value for line in lines for value in line.values if value is not None), default=0.0)
    ticks = nice_ticks(top, max(1, (height - 2) // 3))
    written = [y_label(tick) for tick in ticks]
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height - 1)
    figure.theme("colorless")
    figure.axes(False)
    for number, line in enumerate(lines[: len(_COLOURS)]):
        _draw(figure, number, line, is_ascii=is_ascii)
    figure.ruler("y").lim(0, ticks[-1])
    figure.ruler("y").ticks(ticks, written)
    figure.ruler("x").lim(0, max(1, points - 1))
    figure.ruler("x").ticks([], [])
    roles = [line.role for line in lines]
    drawn = [_roles(text, roles) for text in figure.build().string().rstrip("\n").split("\n")[: height - 1]]
    return [*drawn, _under(x_labels, max(len(text) for text in written), width)]


def _under(labels: tuple[str, str, str], gutter: int, width: int) -> Line:
    """The labels of the x axis: below its begin, its middle and its end; the middle one where it fits."""
    first, middle, last = labels
    room = width - gutter - len(first) - len(last)
    between = middle.center(room) if room >= len(middle) + 2 else " " * max(room, 1)
    return [(f"{'':<{gutter}}{first}{between}{last}", "muted")]


def _draw(figure: Any, number: int, line: Plotted, *, is_ascii: bool) -> None:
    known = [(place, value) for place, value in enumerate(line.values) if value is not None]
    if not known:
        return
    symbol = _LETTERS[number] if is_ascii else "braille"
    signal = figure.signal(
        [place for place, _ in known], [value for _, value in known], marker=plotext.marker(symbol, _COLOURS[number])
    )
    signal.lines()
    for index in range(1, len(known)):
        if known[index][0] - known[index - 1][0] > 1:
            signal.line(index, False)
    figure.draw(signal)


def _roles(text: str, roles: Sequence[str]) -> Line:
    """A line of plotext as spans: its colours by role, everything else muted."""
    spans: Line = []
    role = "muted"
    place = 0
    for found in _ESCAPE.finditer(text):
        if found.start() > place:
            spans.append((text[place : found.start()], role))
        place = found.end()
        codes = found[1].split(";")
        if codes[:2] == ["38", "5"] and codes[2] in _CODES:
            role = roles[_CODES[codes[2]]]
        elif codes[0] in ("0", ""):
            role = "muted"
    if place < len(text):
        spans.append((text[place:], role))
    return spans
