"""A chart in a pane: one figure over a window, its legend in the title."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from atp_console.look import Look
from atp_console.paint import Line, Span
from atp_console.plots import Plotted, plot
from atp_console.widgets.pane import Pane
from atp_engine.core.metrics_views import MetricsView


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """What a chart shows: its lines from a window, how its figures are written, the figure of now."""

    title: str
    lines: Callable[[MetricsView], list[Plotted]]
    y_label: Callable[[float], str]
    now: Callable[[MetricsView], Span]


class ChartPane(Pane):
    """Draws its spec from `view`; the screen says when to repaint."""

    def __init__(self, look: Look, spec: ChartSpec, x_labels: Callable[[MetricsView], tuple[str, str, str]]) -> None:
        super().__init__(look)
        self.spec = spec
        self.view: MetricsView | None = None
        self._x_labels = x_labels

    def heading(self) -> tuple[Line, Line]:
        """Title and legend; the present figure."""
        if self.view is None:
            return [(self.spec.title, "title")], []
        legend: Line = [(self.spec.title, "title")]
        drawn = self.spec.lines(self.view)
        for line in drawn if len(drawn) > 1 else []:
            legend.append((f" {line.label}", line.role))
        return legend, [self.spec.now(self.view)]

    def lines(self, width: int, height: int) -> list[Line]:
        """The chart, or a word why there is none."""
        if self.view is None:
            return [[("reading ...", "muted")]]
        drawn = self.spec.lines(self.view)
        if all(value is None for line in drawn for value in line.values):
            return [[], [("Nothing to show in this window.", "muted")]]
        return plot(
            drawn,
            width,
            height,
            y_label=self.spec.y_label,
            x_labels=self._x_labels(self.view),
            is_ascii=self.look.is_ascii,
        )
