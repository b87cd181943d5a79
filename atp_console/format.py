"""Figures and states as short text: durations, money, tokens, times, glyph + word.

Pure; every widget uses these, so one quantity looks the same everywhere. A status is always a glyph
and a word, never colour alone, and every glyph is one cell wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from atp_engine.core.pricing import NANO_PER_USD
from atp_engine.core.types import AttemptOutcome, PriceState, RequestState
from atp_engine.core.views import DeploymentView, RequestView

UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The symbols of one look; `--ascii` swaps the whole set."""

    stream: str = "▶"
    queued: str = "◐"
    connecting: str = "◌"
    ok: str = "✓"
    hit: str = "≡"
    bad: str = "✗"
    cancelled: str = "⊘"
    half: str = "▲"
    full_dot: str = "●"
    empty_dot: str = "○"
    arrow: str = "→"
    tries: str = "⇢"
    none: str = "–"
    cut: str = "…"
    star: str = "★"
    dot: str = "·"
    cursor: str = "▌"
    caret: str = "▌"
    up: str = "▲"
    down: str = "▼"
    crumb: str = "›"
    enter: str = "↵"
    frozen: str = "‖"
    bar: str = "█"
    wait: str = "░"
    tick: str = "▏"
    levels: str = "▁▂▃▄▅▆▇█"
    box: str = "╭─╮│╰╯"
    """Top left, line, top right, side, bottom left, bottom right."""
    about: str = "~"
    mark: str = "◆"
    """A row that a person marked."""


UNICODE = Glyphs()
ASCII = Glyphs(
    stream=">",
    queued="o",
    connecting="c",
    ok="+",
    hit="=",
    bad="x",
    cancelled="/",
    half="^",
    full_dot="*",
    empty_dot="o",
    arrow="->",
    tries="=>",
    none="-",
    cut="~",
    star="*",
    dot="|",
    cursor=">",
    caret="_",
    up="^",
    down="v",
    crumb=">",
    enter="ret",
    frozen="#",
    bar="#",
    wait=".",
    tick="|",
    levels="_.-=+*%#",
    box="+-+|++",
    mark="*",
)


def duration(ms: float | None, glyphs: Glyphs = UNICODE) -> str:
    """At most 6 cells: `3ms 412ms 2.31s 23.1s 3m12s 1h05m 2d04h`."""
    if ms is None:
        return glyphs.none
    if ms < 0.95:
        return "<1ms" if ms > 0 else "0ms"
    if ms < 999.5:
        return f"{ms:.0f}ms"
    seconds = ms / 1_000
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    return span(seconds)


def span(seconds: float) -> str:
    """A rough length of time in whole units: `4s 3m12s 1h05m 2d04h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    days = whole // 86_400
    return f"{days}d{whole % 86_400 // 3_600:02d}h" if days < 100 else f"{min(days, 99_999)}d"


def age(seconds: float) -> str:
    """How long ago, one unit, at most 4 cells: `4s 3m 1h 12d`."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= size:
            return f"{min(whole // size, 999)}{unit}"
    return f"{whole}s"


def count(number: int) -> str:
    """At most 5 cells: `318 1.1k 41.2k 412k 9.1M`."""
    if number < 1_000:
        return str(number)
    for size, unit in ((1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")):
        scaled = number / size
        if scaled < 99.95:
            return f"{scaled:.1f}{unit}"
        if scaled < 999.5:
            return f"{scaled:.0f}{unit}"
    return f"{number / 1e12:.0f}T"


def grouped(number: int) -> str:
    """Every digit, in groups: `41,204`."""
    return f"{number:,}"


def dollars(nusd: int) -> str:
    """At most 6 cells in a list: `$0.000 <$.001 $0.012 $1.83 $14.20 $1,204`; never zero for a real cost."""
    usd = nusd / NANO_PER_USD
    if 0 < usd < 0.0005:
        return "<$.001"
    if usd < 0.9995:
        return f"${usd:.3f}"
    if usd < 999.5:
        return f"${usd:.2f}"
    return f"${usd:,.0f}"


def exact_dollars(nusd: int) -> str:
    """Down to what was spent: `$0.0041`, `$0.000012`; at least four digits after the point."""
    text = f"{nusd / NANO_PER_USD:.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"${int(whole):,}.{fraction.ljust(4, '0')}"


def fine_dollars(nusd: int) -> str:
    """To the hundredth of a cent, small ones to their first two digits, at most 12 cells: `$0.0312`, `$0.00042`."""
    usd = nusd / NANO_PER_USD
    if usd >= 0.001 or nusd <= 0:
        return f"${usd:,.4f}"
    digits = min(9, 11 - len(str(nusd)))
    return f"${usd:.{digits}f}"


def cost(nusd: int, price: PriceState, glyphs: Glyphs = UNICODE, *, is_exact: bool = False) -> str:
    """A cost with its certainty: `?` when no price is known, `~` in front when it rests on an estimate."""
    if price is PriceState.UNKNOWN:
        return UNKNOWN
    figure = exact_dollars(nusd) if is_exact else dollars(nusd)
    return figure if price is PriceState.KNOWN else glyphs.about + figure


def row_cost(view: RequestView, glyphs: Glyphs, *, is_exact: bool = False) -> str:
    """The cost of a request: a dash while nothing was used, then the cost so far."""
    if not view.cost_nusd and (not view.state.is_final or not view.served) and view.state is not RequestState.HIT:
        return glyphs.none
    return cost(view.cost_nusd, view.price_state, glyphs, is_exact=is_exact)


def speed(tokens_per_s: float | None, glyphs: Glyphs = UNICODE) -> str:
    """Output tokens per second: `71.2`, `133`."""
    if tokens_per_s is None:
        return glyphs.none
    return f"{tokens_per_s:.1f}" if tokens_per_s < 99.95 else f"{min(tokens_per_s, 99_999):.0f}"


def share(part: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A share as per cent: `0.4%`, `12%`."""
    if part is None:
        return glyphs.none
    percent = part * 100
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"


def per_million(usd: float | None) -> str:
    """A price per million tokens: `3.00`, `.25`; `?` when unknown."""
    if usd is None:
        return UNKNOWN
    text = f"{usd:.2f}" if usd >= 1 or round(usd, 2) == round(usd, 6) else f"{usd:.3g}"
    return text if usd >= 1 or usd == 0 else text.removeprefix("0")


def clock(at: float, zone: tzinfo | None) -> str:
    """Wall time of day `12:41:07` in `zone`, None for the system's."""
    try:
        return datetime.fromtimestamp(at, zone).strftime("%H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "--:--:--"


def state_mark(view: RequestView, glyphs: Glyphs) -> tuple[str, str]:
    """Glyph + word and the role that colours it."""
    match view.state:
        case RequestState.QUEUED:
            return f"{glyphs.queued} queued", "warn"
        case RequestState.CONNECTING:
            return f"{glyphs.connecting} connect", "stream"
        case RequestState.STREAMING:
            return f"{glyphs.stream} {'stream' if view.is_stream else 'answer'}", "stream"
        case RequestState.OK:
            return f"{glyphs.ok} ok", "ok"
        case RequestState.HIT:
            return f"{glyphs.hit} hit", "hit"
        case RequestState.TRUNCATED:
            return f"{glyphs.bad} cut off", "bad"
        case RequestState.CANCELLED:
            return f"{glyphs.cancelled} cancel", "muted"
        case RequestState.FAILED | RequestState.REJECTED:
            return f"{glyphs.bad} {view.http_status or 'failed'}", "bad"


def circuit_mark(view: DeploymentView, glyphs: Glyphs) -> tuple[str, str]:
    """The breaker as glyph + word: `● closed`, `✗ open 14s`, `▲ half`."""
    if view.is_held_open:
        return f"{glyphs.bad} held open", "bad"
    if view.circuit == "open":
        wait = f" {span(view.retry_in_s)}" if view.retry_in_s > 0 else ""
        return f"{glyphs.bad} open{wait}", "bad"
    if view.circuit == "half_open":
        return f"{glyphs.half} half", "warn"
    return f"{glyphs.full_dot} closed", "ok"


def health_mark(view: DeploymentView, glyphs: Glyphs) -> tuple[str, str]:
    """Health as glyph + word; an operator's switch comes first."""
    if not view.is_enabled:
        return f"{glyphs.cancelled} disabled", "muted"
    if view.is_draining:
        return f"{glyphs.queued} draining", "warn"
    marks = {
        "healthy": (f"{glyphs.full_dot} healthy", "ok"),
        "degraded": (f"{glyphs.half} degraded", "warn"),
        "failing": (f"{glyphs.bad} failing", "bad"),
    }
    return marks.get(view.health, (f"{glyphs.empty_dot} no traffic", "muted"))


def outcome_mark(outcome: AttemptOutcome, http_status: int, glyphs: Glyphs) -> tuple[str, str]:
    """How an upstream call ended as glyph + words."""
    if outcome is AttemptOutcome.OK:
        return f"{glyphs.ok} ok", "ok"
    if outcome is AttemptOutcome.CANCELLED:
        return f"{glyphs.cancelled} cancelled", "muted"
    status = f"{http_status} " if http_status >= 400 else ""
    return f"{glyphs.bad} {status}{outcome.replace('_', ' ')}", "bad"


def sparkline(values: list[float], width: int, glyphs: Glyphs) -> str:
    """The latest `width` values as bars from zero to their own maximum."""
    latest = values[-width:]
    top = max(latest, default=0.0)
    if top <= 0:
        return glyphs.levels[0] * len(latest)
    last = len(glyphs.levels) - 1
    return "".join(glyphs.levels[min(last, round(max(value, 0.0) / top * last))] for value in latest)
