"""The columns of every table: requests, sessions, deployments. To add one, add a row here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

from atp_console import format as fmt
from atp_console.look import Look
from atp_console.paint import Line, Span, cells, cut, fit
from atp_console.widgets.table import Catalog, Column, column
from atp_engine.core.text import safe_text
from atp_engine.core.types import PriceState, RequestState
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


def _share_of_cache(view: RequestView, look: Look) -> Span:
    if not view.prompt_tokens or not view.cache_read_tokens:
        return (look.glyphs.none, "muted")
    return (fmt.share(view.cache_read_tokens / view.prompt_tokens, look.glyphs), "hit")


def _error(view: RequestView, look: Look) -> Span:
    return (name(view.error_code), "bad") if view.error_code else (look.glyphs.none, "muted")


def _span(ms: float | None, look: Look) -> Span:
    return _dash_muted(fmt.duration(ms, look.glyphs), look)


def _words(text: str, look: Look, role: str = "muted") -> Span:
    return (name(text), role) if text else (look.glyphs.none, "muted")


REQUEST_COLUMNS: tuple[Column[RequestView], ...] = (
    column(
        "TIME", 8, lambda view, look: (fmt.clock(view.started_at, look.zone), "muted"), rank=5, about="when it came"
    ),
    column(
        "SESSION",
        9,
        lambda view, look: (name(view.session_id), "text"),
        rank=6,
        grow=1,
        most=13,
        about="conversation or agent run",
        shows=("session_id",),
    ),
    column(
        "CLIENT",
        12,
        lambda view, look: (name(view.client), "muted"),
        rank=8,
        about="the calling program",
        shows=("client",),
    ),
    Column(
        "ASKED → SERVED",
        20,
        route_line,
        grow=4,
        most=44,
        about="model asked for, who answers, (tries)",
        shows=("asked", "served"),
    ),
    Column("STATE", 9, _state_line, rank=1, about="how it goes, or how it ended", shows=("state",)),
    column(
        "TTFT", 6, lambda view, look: _span(view.ttft_ms, look), rank=2, is_right=True, about="time to the first token"
    ),
    column(
        "TOTAL", 6, lambda view, look: _span(view.duration_ms, look), rank=10, is_right=True, about="whole duration"
    ),
    column(
        "TOK/S",
        5,
        lambda view, look: _dash_muted(fmt.speed(view.tokens_per_s, look.glyphs), look),
        rank=4,
        is_right=True,
        about="output tokens a second",
    ),
    column(
        "IN",
        5,
        lambda view, look: _count_or_dash(view.prompt_tokens, look),
        rank=7,
        is_right=True,
        about="tokens of the prompt",
    ),
    column(
        "OUT",
        5,
        lambda view, look: _count_or_dash(view.output_tokens, look),
        rank=3,
        is_right=True,
        about="tokens of the answer",
    ),
    column("COST", 7, _money, rank=2, is_right=True, about="dollars"),
    column(
        "KEY",
        12,
        lambda view, look: (name(view.key_name), "muted"),
        rank=11,
        about="client key that it came with",
        shows=("key_name",),
    ),
)


def _more_request_columns(now: Callable[[], float]) -> tuple[Column[RequestView], ...]:
    """What a request has beyond its usual columns."""
    return (
        column("ROUTE", 10, lambda view, look: _words(view.route, look), rank=12, grow=1, most=20,
               about="the route that matched", shows=("route",)),
        column("DEPLOYMENT", 12, lambda view, look: _words(served_name(view, look), look, "text"), rank=12, grow=1,
               most=24, about="who answers, on its own", shows=("served",)),
        column("MODEL", 14, lambda view, look: _words(view.model, look), rank=12, grow=1, most=28,
               about="the vendor's name of the model", shows=("model",)),
        column("PROVIDER", 10, lambda view, look: _words(view.provider, look), rank=12, grow=1, most=14,
               about="the vendor", shows=("provider",)),
        column("TRIES", 5, lambda view, look: (str(view.tries), "warn" if view.tries > 1 else "muted"), rank=12,
               is_right=True, about="calls made to vendors"),
        column("HTTP", 4, lambda view, look: (str(view.http_status), "text" if view.http_status < 400 else "bad")
               if view.http_status else (look.glyphs.none, "muted"), rank=12, is_right=True,
               about="status that the client got"),
        column("ERROR", 14, _error, rank=12, grow=1, most=24, about="class of the failure", shows=("error_code",)),
        column("MESSAGE", 20, lambda view, look: (safe_text(view.error_message, limit=200), "muted"), rank=12, grow=3,
               most=120, about="what went wrong, in words", shows=("error_message",)),
        column("AGE", 4, lambda view, look: (fmt.age(now() - view.started_at), "muted"), rank=12, is_right=True,
               about="how long ago it came", is_aging=True),
        column("WAIT", 6, lambda view, look: _span(view.queue_wait_ms or None, look), rank=12, is_right=True,
               about="time in the queue"),
        column("CACHED", 6, lambda view, look: _count_or_dash(view.cache_read_tokens, look), rank=12, is_right=True,
               about="prompt tokens read from the vendor's cache"),
        column("CACHE%", 6, _share_of_cache, rank=12, is_right=True, about="share of the prompt that was cached"),
        column("THINK", 5, lambda view, look: _count_or_dash(view.reasoning_tokens, look), rank=12, is_right=True,
               about="tokens of reasoning"),
        column("END", 10, lambda view, look: _words(view.finish_reason, look), rank=12,
               about="why the model stopped"),
        column("API", 16, lambda view, look: (name(view.dialect), "muted"), rank=12,
               about="dialect that the client speaks", shows=("dialect",)),
        column("SENT", 6, lambda view, look: ("stream" if view.is_stream else "whole", "muted"), rank=12,
               about="answer as a stream, or whole"),
        column("ID", 22, lambda view, look: (name(view.id), "muted"), rank=12, grow=1, most=30,
               about="the request's id", shows=("id",)),
    )  # fmt: skip


def request_catalog(
    now: Callable[[], float], list_name: str, title: str, usual: Collection[str] = ()
) -> Catalog[RequestView]:
    """Every column of requests; `usual` are those of the usual ones that this list has room for."""
    shown = tuple(one for one in REQUEST_COLUMNS if not usual or one.title in usual)
    rest = tuple(one for one in REQUEST_COLUMNS if one not in shown)
    return Catalog(list_name, title, shown, (*rest, *_more_request_columns(now)))


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


def session_catalog(now: Callable[[], float]) -> Catalog[SessionView]:
    """Columns of the Sessions screen."""
    usual: tuple[Column[SessionView], ...] = (
        column("", 1, _flow),
        column("SESSION", 10, lambda view, look: (name(view.id), "text"), grow=1, most=16,
               about="id of the conversation", shows=("id",)),
        column("CLIENT", 11, lambda view, look: (name(view.client), "muted"), rank=4, about="the calling program",
               shows=("client",)),
        column("TITLE", 14, lambda view, look: (name(view.title), "text"), rank=5, grow=6, most=60,
               about="first words of the first message", shows=("title",)),
        column("KEY", 10, lambda view, look: (name(view.key_name), "muted"), rank=9, about="client key",
               shows=("key_name",)),
        column("REQ", 4, lambda view, look: (fmt.count(view.requests), "text"), is_right=True, about="requests of it"),
        column("NOW", 3, _now_running, rank=2, is_right=True, about="requests in flight"),
        column("ERR", 4, _errors, rank=1, is_right=True, about="requests that failed"),
        column("IN", 5, lambda view, look: _count_or_dash(view.prompt_tokens, look), rank=6, is_right=True,
               about="tokens of its prompts"),
        column("OUT", 5, lambda view, look: _count_or_dash(view.output_tokens, look), rank=7, is_right=True,
               about="tokens of its answers"),
        column("COST", 7, _session_money, is_right=True, about="dollars"),
        column("AGE", 4, lambda view, look: (fmt.age(now() - view.started_at), "muted"), rank=8, is_right=True,
               about="since its first request", is_aging=True),
        column("LAST", 4, lambda view, look: (fmt.age(now() - view.last_at), "muted"), rank=3, is_right=True,
               about="since its last request", is_aging=True),
    )  # fmt: skip
    more: tuple[Column[SessionView], ...] = (
        column("BEGAN", 8, lambda view, look: (fmt.clock(view.started_at, look.zone), "muted"), rank=10,
               about="time of its first request"),
        column("HOLD", 8, lambda view, look: _words(view.hold, look, "warn"), rank=10,
               about="paused or dropped by an operator"),
        column("PINNED", 12, lambda view, look: _words(view.pinned, look, "accent"), rank=10, grow=1, most=24,
               about="deployment that serves all of it"),
        column("CLASS", 6, lambda view, look: _words(view.qos, look, "text"), rank=10, about="its own service class"),
        column("CAP", 7, lambda view, look: (look.glyphs.none, "muted") if view.budget_usd is None
               else (f"${view.budget_usd:g}", "text"), rank=10, is_right=True, about="most dollars of a month"),
        column("$/REQ", 7, _session_price, rank=10, is_right=True, about="dollars of a request on average"),
    )  # fmt: skip
    return Catalog("sessions", "Sessions", usual, more)


def _session_price(view: SessionView, look: Look) -> Span:
    if not view.requests or view.price_state is PriceState.UNKNOWN:
        return (look.glyphs.none, "muted")
    return (fmt.cost(view.cost_nusd // view.requests, view.price_state, look.glyphs), "text")


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
DEPLOYMENTS: Catalog[DeploymentView] = Catalog(
    "deployments",
    "Deployments",
    (
        column("DEPLOYMENT", 12, lambda view, look: (name(view.key), "text"), grow=2, most=26,
               about="its key in routes"),
        column("MODEL", 14, lambda view, look: (name(view.model), "muted"), rank=11, grow=2, most=28,
               about="the vendor's name of the model"),
        column("PROVIDER", 9, lambda view, look: (name(view.provider), "muted"), rank=6, grow=1, most=12,
               about="the vendor"),
        column("HEALTH", 12, lambda view, look: fmt.health_mark(view, look.glyphs), about="how its calls end lately"),
        column("CIRCUIT", 10, lambda view, look: fmt.circuit_mark(view, look.glyphs), rank=1,
               about="whether calls are let through"),
        column("NOW", 6, _load, rank=8, is_right=True, about="in flight / limit, or + waiting"),
        column("REQ", 5, lambda view, look: _count_or_dash(view.requests, look), rank=10, is_right=True,
               about="requests that it served"),
        column("P50", 6, lambda view, look: _span(view.p50_ms, look), rank=9, is_right=True, about="median duration"),
        column("P95", 6, lambda view, look: _span(view.p95_ms, look), rank=2, is_right=True,
               about="duration of the slowest 5 %"),
        column("TTFT95", 6, lambda view, look: _span(view.ttft_p95_ms, look), rank=7, is_right=True,
               about="first token, slowest 5 %"),
        column("TOK/S", 5, lambda view, look: _dash_muted(fmt.speed(view.tokens_per_s, look.glyphs), look), rank=5,
               is_right=True, about="output tokens a second"),
        column("ERR", 5, _error_share, rank=3, is_right=True, about="share of recent calls that failed"),
        column("$IN", 6, lambda view, look: _price(view.input_usd), rank=4, is_right=True,
               about="dollars per million prompt tokens"),
        column("$OUT", 6, lambda view, look: _price(view.output_usd), rank=4, is_right=True,
               about="dollars per million output tokens"),
    ),
    (
        column("CONTEXT", 7, lambda view, look: _count_or_dash(view.context_tokens, look), rank=12, is_right=True,
               about="most tokens of a prompt"),
        column("ROUTES", 12, lambda view, look: _words(" ".join(view.routes), look, "text"), rank=12, grow=2, most=40,
               about="routes that may choose it"),
        column("WHERE", 8, lambda view, look: ("here" if view.is_local else "remote", "muted"), rank=12,
               about="on this machine, or remote"),
        column("LIMIT", 5, lambda view, look: _count_or_dash(view.limit, look), rank=12, is_right=True,
               about="most calls in flight"),
        column("QUEUE", 5, lambda view, look: _count_or_dash(view.queued, look), rank=12, is_right=True,
               about="requests that wait for it"),
        column("LAST ERROR", 20, lambda view, look: _words(view.last_error, look), rank=12, grow=3, most=80,
               about="what went wrong last"),
        column("PRICES", 9, grow=1, most=24, cell=lambda view, look: _words(view.price_source, look), rank=12,
               about="where its prices come from"),
    ),
)  # fmt: skip
DEPLOYMENT_COLUMNS = DEPLOYMENTS.usual
