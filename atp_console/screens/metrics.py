"""Metrics: traffic over time in charts, and the same window by model, provider, route, client, key or session."""

from __future__ import annotations

import csv
import io
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Container
from textual.timer import Timer

from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.charts import CHARTS
from atp_console.desk import Desk
from atp_console.look import Look
from atp_console.paint import Line, Span
from atp_console.screens import taking
from atp_console.screens.base import ConsoleScreen, Due, Go
from atp_console.screens.taking import Way
from atp_console.widgets.chart import ChartPane
from atp_console.widgets.columns import name
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Column, Table, column
from atp_engine.client.errors import EngineError
from atp_engine.core.metrics_views import GROUPS, WINDOWS, MetricsView, TrafficGroup
from atp_engine.core.types import PriceState

_FIELDS = {
    "model": "model",
    "provider": "provider",
    "route": "route",
    "client": "client",
    "key": "key",
    "session": "session",
}
"""The filter field of each group."""
_AGAIN_S = {"5m": 2.0, "15m": 5.0, "1h": 10.0}
_SLOW_AGAIN_S = 30.0
_STAGGER_S = 0.05
_BAR = 8


class MetricsScreen(ConsoleScreen):
    """Screen 3. Charts are painted one by one, so that no repaint holds the loop for long."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.METRICS)
    TAB = "metrics"
    NAME = "Metrics"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.window, self.group = "15m", "model"
        self.is_frozen = False
        self.view: MetricsView | None = None
        self._problem = ""
        self._read_at = float("-inf")
        self._is_reading = False
        self._waiting: list[ChartPane] = []
        self._stagger: Timer | None = None
        self._current = 0
        self._fitted = 0
        self.charts = [ChartPane(desk.look, spec, self._x_labels) for spec in CHARTS]
        self.groups = Table[TrafficGroup](desk.look, _columns(0, 60), lambda one: one.name, id="traffic-groups")
        self.groups.heading_of, self.groups.empty_of = self._heading, self._empty

    def compose_body(self) -> ComposeResult:
        """Charts above the table."""
        with Container(id="charts"):
            yield from self.charts
        yield self.groups

    def on_mount(self) -> None:
        """One chart is the current one where only some fit."""
        super().on_mount()
        self._show_current()
        self._stagger = self.set_interval(_STAGGER_S, self._paint_next, pause=True)

    def home_pane(self) -> Pane:
        """The table."""
        return self.groups

    def marks(self) -> Line:
        """Window, group, freeze."""
        glyphs = self.desk.look.glyphs
        frozen: Line = [(f"{glyphs.frozen} frozen", "warn"), ("  ", "text")] if self.is_frozen else []
        windows: Line = []
        for one in WINDOWS:
            windows.append((f"[{one}]" if one == self.window else one, "key" if one == self.window else "muted"))
            windows.append((" ", "text"))
        return [*frozen, *windows, (f" by {self.group}", "text")]

    def vital_parts(self, width: int) -> list[tuple[int, Line]]:
        """The header has the windows instead of the vital signs where it is narrow."""
        return super().vital_parts(width) if width >= 130 else []

    def paint_body(self, due: frozenset[Due]) -> None:
        """Reads again when the last answer is old enough."""
        if Due.SIDE not in due:
            return
        now = self.app.screen_stack[-1] is self and self.desk.now()
        if now is False or self._is_reading or self.is_frozen or not self.desk.state.is_connected:
            return
        if now - self._read_at >= _AGAIN_S.get(self.window, _SLOW_AGAIN_S) or now < self._read_at:
            self.read_now()

    def paint_all(self) -> None:
        """After a resize or a return every chart is drawn anew."""
        super().paint_all()
        self._queue_charts()

    def read_now(self) -> None:
        """Asks the engine for the window, beside the loop."""
        self._is_reading = True
        self._read_at = self.desk.now()
        self.run_worker(self._read(self.window, self.group), exclusive=True, group="metrics")

    async def _read(self, window: str, group: str) -> None:
        try:
            view = await self.desk.source.metrics(window, group)
        except EngineError as error:
            self._problem = error.message
        else:
            self._problem = ""
            if (window, group) == (self.window, self.group):
                self.take(view)
        finally:
            self._is_reading = False
        self.groups.repaint()

    def take(self, view: MetricsView) -> None:
        """Shows a window."""
        self.view = view
        total = sum(one.requests for one in view.groups)
        self.groups.columns = _columns(total, view.step_s)
        self.groups.relayout()
        self.groups.set_rows(list(view.groups))
        self._fit(len(view.groups))
        self.groups.repaint()
        self._queue_charts()

    def _fit(self, rows: int) -> None:
        """The table is as high as its rows, up to half of the screen; the rest goes to the charts."""
        height = min(max(rows, 3) + 3, self.size.height // 2)
        if self._fitted != height and not self.has_class("-zoom"):
            self._fitted = height
            self.groups.styles.height = height

    def _queue_charts(self) -> None:
        for chart in self.charts:
            chart.view = self.view
        self._waiting = [chart for chart in self.charts if chart.display]
        if self._stagger is not None:
            self._stagger.resume()

    @property
    def is_drawing(self) -> bool:
        """True while charts wait for their turn."""
        return bool(self._waiting)

    def _paint_next(self) -> None:
        if self._waiting:
            self._waiting.pop(0).repaint()
        elif self._stagger is not None:
            self._stagger.pause()

    def _x_labels(self, view: MetricsView) -> tuple[str, str, str]:
        zone = self.desk.look.zone
        form = "%a %H:%M" if WINDOWS[view.window] > 86_400 else "%H:%M:%S" if view.step_s < 30 else "%H:%M"
        whole = view.step_s * (len(view.points) - 1)
        first, middle, last = (
            datetime.fromtimestamp(at, zone).strftime(form)
            for at in (view.start_at, view.start_at + whole / 2, view.start_at + whole)
        )
        return first, middle, last

    def _heading(self) -> tuple[Line, Line]:
        if self._problem:
            return [("By " + self.group, "title")], [(name(self._problem), "bad")]
        view = self.view
        left: Line = [("By " + self.group, "title")]
        if view is None:
            return left, []
        requests = sum(point.requests for point in view.points)
        left.append((f" {len(view.groups)}", "text"))
        unknown = sum(one.unknown_cost for one in view.groups)
        right: Line = [(f"{fmt.grouped(requests)} requests in {view.window}", "muted")]
        if unknown:
            right = [(f"{fmt.grouped(unknown)} without a price ", "warn"), *right]
        if view.is_partial:
            right = [("the newest million only ", "warn"), *right]
        return left, right

    def _empty(self) -> list[Line]:
        if self.view is None:
            return [[], [("Reading ...", "muted")]]
        return [
            [],
            [
                ("No request in this window. ", "text"),
                (self.key("window.longer"), "key"),
                (" takes a longer one.", "muted"),
            ],
        ]

    # --- actions

    def _show_current(self) -> None:
        for place, chart in enumerate(self.charts):
            chart.set_class(place == self._current, "-current")
            after = (place - self._current) % len(self.charts)
            chart.set_class(after < 2, "-pair")
            chart.set_class(after < 4, "-row")
        self.call_after_refresh(self._queue_charts)

    def do_chart_next(self) -> None:
        """The next chart where not all are shown."""
        self._current = (self._current + 1) % len(self.charts)
        self._show_current()

    def do_chart_previous(self) -> None:
        """The chart before."""
        self._current = (self._current - 1) % len(self.charts)
        self._show_current()

    def do_window_longer(self) -> None:
        """The next longer window."""
        self._set_window(1)

    def do_window_shorter(self) -> None:
        """The next shorter window."""
        self._set_window(-1)

    def _set_window(self, step: int) -> None:
        names = list(WINDOWS)
        place = min(max(names.index(self.window) + step, 0), len(names) - 1)
        if names[place] != self.window:
            self.window = names[place]
            self._changed()

    def do_metrics_group(self) -> None:
        """The next way of grouping."""
        self.group = GROUPS[(GROUPS.index(self.group) + 1) % len(GROUPS)]
        self._changed()

    def _changed(self) -> None:
        self.is_frozen = False
        self.read_now()
        self.app.call_later(self.paint, frozenset({Due.FRAME}))

    def do_metrics_freeze(self) -> None:
        """Stands still, or goes on."""
        self.is_frozen = not self.is_frozen
        self._read_at = float("-inf")
        self.paint(frozenset({Due.FRAME}))

    def do_list_open(self) -> None:
        """The group's requests in Live."""
        selected = self.groups.selected
        if selected is not None:
            self.post_message(Go("live", query=f'{_FIELDS[self.group]}="{name(selected.name)}"'))

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    @property
    def group_taken(self) -> str:  # type: ignore[override]
        """The filter field of the groups."""
        return _FIELDS[self.group]

    def do_export(self) -> None:
        """The groups, or the window with a line per step."""
        view = self.view

        async def steps() -> str:
            return _csv(view) if view is not None else ""

        way = Way("w", "window, a line per step, as CSV", "csv", steps, f"atp-metrics-{self.window}")
        taking.export_rows(self, [way] if view is not None else [])

    def back(self) -> bool:
        """Ends zoom, returns to the table."""
        if self.end_zoom():
            return True
        if self.focused is not self.groups:
            self.groups.focus()
            return True
        return False


def _csv(view: MetricsView) -> str:
    out = io.StringIO()
    fields = [field for field in view.points[0].__struct_fields__ if field != "errors_by_code"]
    writer = csv.writer(out)
    writer.writerow(["start_at", *fields, "errors_by_code"])
    for step, point in enumerate(view.points):
        codes = " ".join(f"{code}={count}" for code, count in sorted(point.errors_by_code.items()))
        writer.writerow([view.start_at + step * view.step_s, *(getattr(point, field) for field in fields), codes])
    return out.getvalue()


def _dash(text: str, look: Look) -> Span:
    return (text, "muted" if text == look.glyphs.none else "text")


def _errors(one: TrafficGroup, look: Look) -> Span:
    share = one.errors / one.requests if one.requests else 0.0
    return (fmt.share(share, look.glyphs), "bad" if share >= 0.05 else "warn" if share >= 0.01 else "text")


def _money(one: TrafficGroup, look: Look) -> Span:
    state = PriceState.UNKNOWN if one.unknown_cost else PriceState.KNOWN
    return (fmt.cost(one.cost_nusd, state, look.glyphs), "warn" if one.unknown_cost else "text")


def _columns(total: int, step_s: float) -> tuple[Column[TrafficGroup], ...]:
    """Columns of a window with `total` requests."""

    def share(one: TrafficGroup, look: Look) -> Span:
        part = one.requests / total if total else 0.0
        bar = look.glyphs.bar * round(part * _BAR)
        return (f"{bar:<{_BAR}} {part:4.0%}", "stream")

    def ms(figure: str) -> Column[TrafficGroup]:
        titles = {"p50_ms": "P50", "p95_ms": "P95", "p99_ms": "P99", "ttft_p95_ms": "TTFT95"}
        ranks = {"p50_ms": 6, "p95_ms": 0, "p99_ms": 5, "ttft_p95_ms": 3}
        return column(
            titles[figure],
            6,
            lambda one, look: _dash(fmt.duration(getattr(one, figure), look.glyphs), look),
            rank=ranks[figure],
            is_right=True,
        )

    return (
        column("NAME", 14, lambda one, look: (name(one.name) or look.glyphs.none, "text"), grow=3, most=40),
        column("REQ", 6, lambda one, look: (fmt.count(one.requests), "text"), is_right=True),
        column("SHARE", _BAR + 5, share, rank=4),
        column("ERR", 5, _errors, rank=1, is_right=True),
        *(ms(figure) for figure in ("p50_ms", "p95_ms", "p99_ms", "ttft_p95_ms")),
        column(
            "TOK/S", 5, lambda one, look: _dash(fmt.speed(one.tokens_per_s, look.glyphs), look), rank=2, is_right=True
        ),
        column("IN", 6, lambda one, look: (fmt.count(one.prompt_tokens), "text"), rank=8, is_right=True),
        column("OUT", 6, lambda one, look: (fmt.count(one.output_tokens), "text"), rank=8, is_right=True),
        column("CACHED", 6, _cached, rank=7, is_right=True),
        column("COST", 8, _money, is_right=True),
        column("TREND", 20, lambda one, look: (fmt.sparkline(_thirds(one.trend), 20, look.glyphs), "stream"), rank=9),
    )


def _thirds(trend: tuple[int, ...]) -> list[float]:
    """Three steps per bar."""
    return [float(sum(trend[place : place + 3])) for place in range(0, len(trend), 3)]


def _cached(one: TrafficGroup, look: Look) -> Span:
    if not one.prompt_tokens or not one.cache_read_tokens:
        return (look.glyphs.none, "muted")
    return (f"{one.cache_read_tokens / one.prompt_tokens:.0%}", "hit")
