"""The charts of the Metrics screen, one row each: what is drawn from a window and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atp_console import format as fmt
from atp_console.paint import Span
from atp_console.plots import Plotted
from atp_console.widgets.chart import ChartSpec
from atp_console.widgets.columns import name
from atp_engine.core.metrics_views import MetricsView, TrafficPoint
from atp_engine.core.pricing import NANO_PER_USD

_ROLES = ("stream", "ok", "warn", "bad")


def _each(view: MetricsView, figure: Callable[[TrafficPoint], float | None]) -> list[float | None]:
    """A figure of every whole step: the newest one has just begun."""
    return [figure(point) for point in view.points[:-1]]


def _last(values: Sequence[float | None], write: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return write(known[-1]) if known else fmt.UNICODE.none


def _rates(view: MetricsView) -> list[Plotted]:
    return [Plotted("requests/s", "stream", _each(view, lambda point: point.requests / view.step_s))]


def _latency(view: MetricsView) -> list[Plotted]:
    return [
        Plotted("p99", "warn", _each(view, lambda point: point.p99_ms)),
        Plotted("p95", "stream", _each(view, lambda point: point.p95_ms)),
        Plotted("p50", "ok", _each(view, lambda point: point.p50_ms)),
    ]


def _ttft(view: MetricsView) -> list[Plotted]:
    return [
        Plotted("p99", "warn", _each(view, lambda point: point.ttft_p99_ms)),
        Plotted("p95", "stream", _each(view, lambda point: point.ttft_p95_ms)),
        Plotted("p50", "ok", _each(view, lambda point: point.ttft_p50_ms)),
    ]


def _errors(view: MetricsView) -> list[Plotted]:
    """Share of requests by the most frequent codes, in per cent."""
    totals: dict[str, int] = {}
    for point in view.points:
        for code, count in point.errors_by_code.items():
            totals[code] = totals.get(code, 0) + count
    codes = sorted(totals, key=lambda code: (-totals[code], code))[:3]
    if not codes:
        return [Plotted("errors", "ok", _each(view, lambda point: 0.0 if point.requests else None))]

    def share(code: str) -> list[float | None]:
        return _each(
            view, lambda point: 100.0 * point.errors_by_code.get(code, 0) / point.requests if point.requests else None
        )

    roles = ("bad", "warn", "hit")
    return [Plotted(name(code), role, share(code)) for code, role in zip(codes, roles, strict=False)]


def _errors_now(view: MetricsView) -> Span:
    requests = sum(point.requests for point in view.points)
    if not requests:
        return (fmt.UNICODE.none, "muted")
    return (fmt.share(sum(point.errors for point in view.points) / requests), "strong")


def _tokens(view: MetricsView) -> list[Plotted]:
    return [
        Plotted("in", "stream", _each(view, lambda point: point.prompt_tokens / view.step_s)),
        Plotted("out", "ok", _each(view, lambda point: point.output_tokens / view.step_s)),
    ]


def _cost(view: MetricsView) -> list[Plotted]:
    return [Plotted("$/h", "hit", _each(view, lambda point: point.cost_nusd / NANO_PER_USD * 3600 / view.step_s))]


def _cached(view: MetricsView) -> list[Plotted]:
    def share(point: TrafficPoint) -> float | None:
        return 100.0 * point.cache_read_tokens / point.prompt_tokens if point.prompt_tokens else None

    return [Plotted("cached", "hit", _each(view, share))]


def _groups(view: MetricsView) -> list[Plotted]:
    return [
        Plotted(name(group.name) or "none", role, [count / view.step_s for count in group.trend[:-1]])
        for group, role in zip(view.groups[:4], _ROLES, strict=False)
    ]


def _plain(value: float) -> str:
    return fmt.count(round(value)) if value >= 10 else f"{value:g}"


def _rate(value: float) -> str:
    return fmt.count(round(value)) if value >= 100 else f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{value:g}%"


def _usd(value: float) -> str:
    return f"${value:,.0f}" if value >= 100 else f"${value:.3g}"


def _ms(value: float) -> str:
    return fmt.duration(value)


CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec("Requests/s", _rates, _plain, lambda view: (_last(_rates(view)[0].values, _rate), "stream")),
    ChartSpec("Latency", _latency, _ms, lambda view: (_last(_latency(view)[1].values, _ms), "stream")),
    ChartSpec("First token", _ttft, _ms, lambda view: (_last(_ttft(view)[1].values, _ms), "stream")),
    ChartSpec("Errors", _errors, _percent, _errors_now),
    ChartSpec("Tokens/s", _tokens, _plain, lambda view: (_last(_tokens(view)[1].values, _rate), "ok")),
    ChartSpec("Cost/h", _cost, _usd, lambda view: (_last(_cost(view)[0].values, _usd), "hit")),
    ChartSpec(
        "Prompt cache",
        _cached,
        _percent,
        lambda view: (_last(_cached(view)[0].values, lambda share: f"{share:.0f}%"), "hit"),
    ),
    ChartSpec("Requests/s", _groups, _plain, lambda view: (f"by {view.group}", "muted")),
)
