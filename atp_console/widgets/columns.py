"""The columns of every table: requests, sessions, deployments. To add one, add a row here."""

from __future__ import annotations

from functools import lru_cache

from atp_console import format as fmt
from atp_console.look import Look
from atp_console.paint import Line, Span, cells, cut, fit
from atp_console.widgets.table import Column, column
from atp_engine.core.text import safe_text
from atp_engine.core.types import RequestState
from atp_engine.core.views import DeploymentView, RequestView, SessionView

_NAME_CAP = 80
_SERVED_LEAST = 12


def name(text: str) -> str:
    """Outside text as one short harmless line."""
    return _short_name(text) if len(text) <= _NAME_CAP else safe_text(text, limit=_NAME_CAP)


@lru_cache(4_096)
def _short_name(text: str) -> str:
    """Names repeat, so the last few thousand are remembered."""
    return safe_text(text, limit=_NAME_CAP)


def served_name(view: RequestView, look: Look) -> str:
    """What answers: the deployment, `cache`, or a dash."""
    if view.state is RequestState.HIT:
        return "cache"
    return name(view.served) or look.glyphs.none


def route_line(view: RequestView, look: Look, width: int) -> Line:
    """`asked → served`, or `asked ⇢ served (2)` after a failover; the asked name is cut first."""
    glyphs = look.glyphs
    asked, served = name(view.asked) or glyphs.none, served_name(view, look)
    is_failover = view.tries > 1
    arrow = f" {glyphs.tries if is_failover else glyphs.arrow} "
    tries = f" ({view.tries})" if is_failover else ""
    room = width - cells(arrow) - cells(tries)
    asked_room = max(min(cells(asked), room - _SERVED_LEAST), room - cells(served), min(6, room // 2))
    asked = cut(asked, max(asked_room, 0), glyphs.cut)
    served = cut(served, max(room - cells(asked), 0), glyphs.cut)
    used = cells(asked) + cells(arrow) + cells(served) + cells(tries)
    served_role = "text" if view.served or view.state is RequestState.HIT else "muted"
    return [
        (asked, "muted"),
        (arrow, "warn" if is_failover else "muted"),
        (served, served_role),
        (tries, "warn"),
        (" " * (width - used), "text"),
    ]


def _state_line(view: RequestView, look: Look, width: int) -> Line:
    mark, role = fmt.state_mark(view, look.glyphs)
    if role == "ok":
        return [(mark[:1], "ok"), (fit(mark[1:], width - 1), "muted")]
    return [(fit(mark, width, mark=look.glyphs.cut), role)]


def _dash_muted(text: str, look: Look, role: str = "text") -> Span:
    return (text, "muted" if text == look.glyphs.none else role)


def _money(view: RequestView, look: Look) -> Span:
    text = fmt.row_cost(view, look.glyphs)
    return _dash_muted(text, look, "warn" if text == fmt.UNKNOWN else "text")


def _count_or_dash(number: int, look: Look) -> Span:
    return (fmt.count(number), "text") if number else (look.glyphs.none, "muted")


REQUEST_COLUMNS: tuple[Column[RequestView], ...] = (
    column("TIME", 8, lambda view, look: (fmt.clock(view.started_at, look.zone), "muted"), rank=5),
    column("SESSION", 9, lambda view, look: (name(view.session_id), "text"), rank=6, grow=1, most=13),
    column("CLIENT", 12, lambda view, look: (name(view.client), "muted"), rank=8),
    Column("ASKED → SERVED", 20, route_line, grow=4, most=44),
    Column("STATE", 9, _state_line, rank=1),
    column(
        "TTFT", 6, lambda view, look: _dash_muted(fmt.duration(view.ttft_ms, look.glyphs), look), rank=2, is_right=True
    ),
    column(
        "TOTAL",
        6,
        lambda view, look: _dash_muted(fmt.duration(view.duration_ms, look.glyphs), look),
        rank=10,
        is_right=True,
    ),
    column(
        "TOK/S",
        5,
        lambda view, look: _dash_muted(fmt.speed(view.tokens_per_s, look.glyphs), look),
        rank=4,
        is_right=True,
    ),
    column("IN", 5, lambda view, look: _count_or_dash(view.prompt_tokens, look), rank=7, is_right=True),
    column("OUT", 5, lambda view, look: _count_or_dash(view.output_tokens, look), rank=3, is_right=True),
    column("COST", 7, _money, rank=2, is_right=True),
    column("KEY", 12, lambda view, look: (name(view.key_name), "muted"), rank=11),
)


def _flow(view: SessionView, look: Look) -> Span:
    return (look.glyphs.full_dot, "stream") if view.in_flight else (look.glyphs.empty_dot, "muted")


def _errors(view: SessionView, look: Look) -> Span:
    return (str(min(view.errors, 9_999)), "bad") if view.errors else (look.glyphs.none, "muted")


def _session_money(view: SessionView, look: Look) -> Span:
    return (fmt.cost(view.cost_nusd, view.price_state, look.glyphs), "text")


SESSION_PANE_COLUMNS: tuple[Column[SessionView], ...] = (
    column("", 1, _flow),
    column("SESSION", 9, lambda view, look: (name(view.id), "text"), grow=1, most=40),
    column("CLIENT", 11, lambda view, look: (name(view.client), "muted"), rank=1),
    column("REQ", 3, lambda view, look: (fmt.count(view.requests), "text"), is_right=True),
    column("COST", 7, _session_money, is_right=True),
)


def session_columns(now: float) -> tuple[Column[SessionView], ...]:
    """Columns of the Sessions screen; ages count from `now`."""
    return (
        column("", 1, _flow),
        column("SESSION", 10, lambda view, look: (name(view.id), "text"), grow=1, most=16),
        column("CLIENT", 11, lambda view, look: (name(view.client), "muted"), rank=4),
        column("TITLE", 14, lambda view, look: (name(view.title), "text"), rank=5, grow=6, most=60),
        column("KEY", 10, lambda view, look: (name(view.key_name), "muted"), rank=9),
        column("REQ", 4, lambda view, look: (fmt.count(view.requests), "text"), is_right=True),
        column("NOW", 3, _now_running, rank=2, is_right=True),
        column("ERR", 4, _errors, rank=1, is_right=True),
        column("IN", 5, lambda view, look: _count_or_dash(view.prompt_tokens, look), rank=6, is_right=True),
        column("OUT", 5, lambda view, look: _count_or_dash(view.output_tokens, look), rank=7, is_right=True),
        column("COST", 7, _session_money, is_right=True),
        column("AGE", 4, lambda view, look: (fmt.age(now - view.started_at), "muted"), rank=8, is_right=True),
        column("LAST", 4, lambda view, look: (fmt.age(now - view.last_at), "muted"), rank=3, is_right=True),
    )


def _now_running(view: SessionView, look: Look) -> Span:
    return (str(min(view.in_flight, 999)), "stream") if view.in_flight else (look.glyphs.none, "muted")


def _error_share(view: DeploymentView, look: Look) -> Span:
    text = fmt.share(view.error_rate, look.glyphs)
    if view.error_rate is None:
        return (text, "muted")
    return (text, "bad" if view.error_rate >= 0.05 else "warn" if view.error_rate >= 0.01 else "text")


def _price(usd: float | None) -> Span:
    return (fmt.per_million(usd), "warn" if usd is None else "text")


def _load(view: DeploymentView, look: Look) -> Span:
    """In flight of the limit, with those who wait."""
    if not view.in_flight and not view.queued:
        return (look.glyphs.none, "muted")
    waiting = f"+{min(view.queued, 99)}" if view.queued else ""
    of = f"/{view.limit}" if view.limit and not waiting else ""
    return (f"{view.in_flight}{of}{waiting}", "warn" if waiting else "text")


DEPLOYMENT_PANE_COLUMNS: tuple[Column[DeploymentView], ...] = (
    column("DEPLOYMENT", 12, lambda view, look: (name(view.key), "text"), grow=1, most=18),
    column("CIRCUIT", 10, lambda view, look: fmt.circuit_mark(view, look.glyphs)),
    column(
        "P95", 6, lambda view, look: _dash_muted(fmt.duration(view.p95_ms, look.glyphs), look), rank=1, is_right=True
    ),
    column("ERR", 4, _error_share, is_right=True),
)
DEPLOYMENT_COLUMNS: tuple[Column[DeploymentView], ...] = (
    column("DEPLOYMENT", 12, lambda view, look: (name(view.key), "text"), grow=2, most=26),
    column("MODEL", 14, lambda view, look: (name(view.model), "muted"), rank=11, grow=2, most=28),
    column("PROVIDER", 9, lambda view, look: (name(view.provider), "muted"), rank=6, grow=1, most=12),
    column("HEALTH", 12, lambda view, look: fmt.health_mark(view, look.glyphs)),
    column("CIRCUIT", 10, lambda view, look: fmt.circuit_mark(view, look.glyphs), rank=1),
    column("NOW", 6, _load, rank=8, is_right=True),
    column("REQ", 5, lambda view, look: _count_or_dash(view.requests, look), rank=10, is_right=True),
    column(
        "P50", 6, lambda view, look: _dash_muted(fmt.duration(view.p50_ms, look.glyphs), look), rank=9, is_right=True
    ),
    column(
        "P95", 6, lambda view, look: _dash_muted(fmt.duration(view.p95_ms, look.glyphs), look), rank=2, is_right=True
    ),
    column(
        "TTFT95",
        6,
        lambda view, look: _dash_muted(fmt.duration(view.ttft_p95_ms, look.glyphs), look),
        rank=7,
        is_right=True,
    ),
    column(
        "TOK/S",
        5,
        lambda view, look: _dash_muted(fmt.speed(view.tokens_per_s, look.glyphs), look),
        rank=5,
        is_right=True,
    ),
    column("ERR", 5, _error_share, rank=3, is_right=True),
    column("$IN", 6, lambda view, look: _price(view.input_usd), rank=4, is_right=True),
    column("$OUT", 6, lambda view, look: _price(view.output_usd), rank=4, is_right=True),
)
