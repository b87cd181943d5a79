"""The fields of the filter language: what each reads from a request row and which values it takes.

`core/filter` parses and calls `FIELDS[name].compile`; the console lists `FIELDS` in its help. To add a
field, add a row to the table at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from atp_engine.core.types import PriceState, RequestState
from atp_engine.core.views import RequestView

Test = Callable[[RequestView, float], bool]

_MEMO_CAP = 4096
_REGEX_CAP = 96
_REGEX_TEXT_CAP = 160
_UNBOUNDED_CAP = 2


class FieldError(ValueError):
    """A value that the field cannot take; `hint` says what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Comparison(StrEnum):
    """The operators; `:` means contains for text, equals for numbers."""

    HAS = ":"
    REGEX = "~"
    IS = "="
    IS_NOT = "!="
    MORE = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Term:
    """The right side of a term as it was written; a quoted value is taken literally."""

    comparison: Comparison
    value: str
    is_quoted: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how it compiles, and the example and meaning that help shows."""

    name: str
    example: str
    meaning: str
    compile: Callable[[Term], Test]
    uses_clock: bool = False
    attributes: tuple[str, ...] = ()
    """Texts of the row that it looks into; empty for figures and states."""
    is_common: bool = False
    """Reads only what many rows have in common: names, state and status."""
    figure: tuple[str, Callable[[str], float]] | None = None
    """The attribute that it compares, and how its value is read."""


def any_text(term: Term) -> Test:
    """Any text of the row: ids, names, error. The names that repeat are judged once per combination."""
    accept = _text_acceptor(term)
    common = _remembered(attrgetter(*_COMMON), lambda values: any(accept(value) for value in values))

    def test(view: RequestView, now: float) -> bool:
        return (
            common(view, now)
            or accept(view.id)
            or accept(view.session_id)
            or (view.error_message != "" and accept(view.error_message))
        )

    return test


_COMMON = ("asked", "served", "model", "provider", "route", "client", "key_name", "dialect", "error_code", "state")
COMMON = frozenset(_COMMON)
"""Texts that many rows have in common."""
ANY_TEXT = (*_COMMON, "id", "session_id", "error_message")
"""What free text is looked for in."""


def text_test(*attributes: str) -> Callable[[Term], Test]:
    def compile_term(term: Term) -> Test:
        accept = _text_acceptor(term)
        if len(attributes) == 1:
            test = _remembered(attrgetter(attributes[0]), accept)
        else:
            test = _remembered(attrgetter(*attributes), lambda values: any(accept(value) for value in values))
        if term.comparison is Comparison.IS_NOT:
            return lambda view, now: not test(view, now)
        return test

    return compile_term


def _remembered(read: Callable[[RequestView], object], judge: Callable[..., bool]) -> Test:
    """A test that judges each distinct value once; rows repeat a few names thousands of times."""
    memo: dict[object, bool] = {}
    recall = memo.get

    def test(view: RequestView, _now: float) -> bool:
        value = read(view)
        known = recall(value)
        if known is None:
            if len(memo) >= _MEMO_CAP:
                memo.clear()
            known = memo[value] = judge(value)
        return known

    return test


def _text_acceptor(term: Term) -> Callable[[str], bool]:
    if term.comparison is Comparison.REGEX:
        pattern = _safe_regex(term.value)
        return lambda text: pattern.search(text[:_REGEX_TEXT_CAP]) is not None
    if term.comparison not in (Comparison.HAS, Comparison.IS, Comparison.IS_NOT):
        raise FieldError(f"text cannot be compared with {term.comparison}", "use : for contains, = for exactly")
    wanted = term.value.lower()
    if "*" in wanted and not term.is_quoted:
        return _glob(wanted)
    if term.comparison is Comparison.HAS:
        return lambda text: wanted in text.lower()
    return lambda text: text.lower() == wanted


def sought_pattern(term: Term) -> re.Pattern[str] | None:
    """What of a text a text term found, to be shown in it; None for a term that looks for nothing to show."""
    if term.comparison is Comparison.REGEX:
        return re.compile(term.value, re.IGNORECASE)
    if term.comparison is Comparison.IS_NOT:
        return None
    pieces = [term.value] if term.is_quoted else term.value.split("*")
    literal = "|".join(re.escape(piece) for piece in pieces if piece)
    return re.compile(literal, re.IGNORECASE) if literal else None


def _glob(pattern: str) -> Callable[[str], bool]:
    """Anchored glob with `*`: linear in the text, whatever the pattern."""
    head, *middle, tail = pattern.split("*")
    pieces = [piece for piece in middle if piece]

    def accept(text: str) -> bool:
        text = text.lower()
        if len(text) < len(head) + len(tail) or not text.startswith(head) or not text.endswith(tail):
            return False
        at, end = len(head), len(text) - len(tail)
        for piece in pieces:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return accept


def _safe_regex(source: str) -> re.Pattern[str]:
    """Compiles an expression that cannot take exponential time: no repeat inside a repeat, no
    alternatives or back-references under one, at most two unbounded repeats."""
    if len(source) > _REGEX_CAP:
        raise FieldError("the expression is too long", f"at most {_REGEX_CAP} characters")
    bare = re.sub(r"\\.", "x", source)
    if re.search(r"\\[1-9]|\(\?(?!:)", source):
        raise FieldError("this kind of expression is not allowed", "no look-around, no back-references")
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "c", bare)
    groups: list[bool] = []
    is_last_risky = False
    unbounded = 0
    for match in re.finditer(r"\(|\)|\||[*+]|\{\d*,\d*\}|\{\d+\}|[^()|*+{]|\{", bare):
        piece = match.group()
        if piece == "(":
            groups.append(False)
        elif piece == ")" and groups:
            is_last_risky = groups.pop()
            if groups and is_last_risky:
                groups[-1] = True
            continue
        elif piece == "|" and groups:
            groups[-1] = True
        elif piece[0] in "*+{" and piece != "{":
            if is_last_risky:
                raise FieldError("repeats inside repeats are not allowed", "make the expression simpler")
            unbounded += not re.fullmatch(r"\{\d*,?\d+\}", piece)
            if groups:
                groups[-1] = True
        is_last_risky = False
    if unbounded > _UNBOUNDED_CAP:
        raise FieldError("too many unbounded repeats", f"at most {_UNBOUNDED_CAP} of * and +")
    try:
        return re.compile(source, re.IGNORECASE)
    except (re.error, OverflowError) as error:
        raise FieldError(f"not a regular expression: {error}", "quote text that should be taken literally") from None


def _number(read: Callable[[RequestView], float | None], parse_value: Callable[[str], float]) -> Callable[[Term], Test]:
    """A numeric field; a row whose figure is not known matches no comparison."""

    def compile_term(term: Term) -> Test:
        return _compare(read, term.comparison, parse_value(term.value))

    return compile_term


def _compare(read: Callable[[RequestView], float | None], comparison: Comparison, limit: float) -> Test:
    match comparison:
        case Comparison.MORE:
            return lambda view, _now: (value := read(view)) is not None and value > limit
        case Comparison.AT_LEAST:
            return lambda view, _now: (value := read(view)) is not None and value >= limit
        case Comparison.LESS:
            return lambda view, _now: (value := read(view)) is not None and value < limit
        case Comparison.AT_MOST:
            return lambda view, _now: (value := read(view)) is not None and value <= limit
        case Comparison.IS | Comparison.HAS:
            return lambda view, _now: read(view) == limit
        case Comparison.IS_NOT:
            return lambda view, _now: (value := read(view)) is not None and value != limit
        case Comparison.REGEX:
            raise FieldError("a number cannot be matched with ~", "use >, <, = or :")


_FIGURE = re.compile(r"(\d{1,12}(?:\.\d{0,9})?|\.\d{1,9})([a-zµ]*)")
_SPANS_MS = {"ms": 1.0, "s": 1_000.0, "m": 60_000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6}


def _figure(value: str, units: dict[str, float], hint: str) -> float:
    match = _FIGURE.fullmatch(value.lower())
    if match is None or match.group(2) not in units:
        unit_missing = match is not None and not match.group(2)
        raise FieldError(f"{value!r} has no unit" if unit_missing else f"{value!r} is not a figure here", hint)
    return float(match.group(1)) * units[match.group(2)]


def _span_ms(value: str) -> float:
    return _figure(value, _SPANS_MS, "such as 412ms, 2s or 10m")


def _count(value: str) -> float:
    return _figure(value, _COUNTS, "such as 3, 500 or 32k")


def _dollars_nusd(value: str) -> float:
    return _figure(value.removeprefix("$"), {"": 1e9}, "such as $0.01")


def _cost(term: Term) -> Test:
    if term.value.lower() in ("?", "unknown"):
        if term.comparison is Comparison.IS_NOT:
            return lambda view, _now: view.price_state is not PriceState.UNKNOWN
        return lambda view, _now: view.price_state is PriceState.UNKNOWN
    unknown = PriceState.UNKNOWN
    return _compare(
        lambda view: None if view.price_state is unknown else view.cost_nusd,
        term.comparison,
        _dollars_nusd(term.value),
    )


def _status(term: Term) -> Test:
    """HTTP status: a number, or a class such as `4xx` or `5*`."""
    wild = re.fullmatch(r"([1-5])(?:xx|\*)", term.value.lower())
    if wild is None:
        if re.fullmatch(r"\d{3}", term.value) is None:
            raise FieldError(f"{term.value!r} is not an HTTP status", "such as 429 or 5xx")
        return _compare(lambda view: view.http_status or None, term.comparison, int(term.value))
    family = int(wild.group(1))
    if term.comparison not in (Comparison.HAS, Comparison.IS, Comparison.IS_NOT):
        raise FieldError("a status class cannot be compared so", "write status:5xx or status>=500")
    is_wanted = term.comparison is not Comparison.IS_NOT
    return lambda view, _now: (view.http_status // 100 == family) is is_wanted


_STATES: dict[str, frozenset[RequestState]] = {
    **{str(state): frozenset({state}) for state in RequestState},
    "stream": frozenset({RequestState.STREAMING}),
    "cancel": frozenset({RequestState.CANCELLED}),
    "open": frozenset(state for state in RequestState if not state.is_final),
    "done": frozenset(state for state in RequestState if state.is_final),
    "error": frozenset({RequestState.FAILED, RequestState.TRUNCATED, RequestState.REJECTED}),
}


def _state(term: Term) -> Test:
    wanted = _STATES.get(term.value.lower())
    if wanted is None or term.comparison not in (Comparison.HAS, Comparison.IS, Comparison.IS_NOT):
        raise FieldError(f"no state {term.value!r}", "one of " + " ".join(sorted(_STATES)))
    if term.comparison is Comparison.IS_NOT:
        return lambda view, _now: view.state not in wanted
    return lambda view, _now: view.state in wanted


def _cache(term: Term) -> Test:
    value = term.value.lower()
    if value not in ("hit", "miss"):
        raise FieldError(f"{term.value!r} is neither hit nor miss", "cache:hit or cache:miss")
    is_wanted = (value == "hit") is not (term.comparison is Comparison.IS_NOT)
    return lambda view, _now: (view.state is RequestState.HIT) is is_wanted


def _span_s(value: str) -> float:
    return _span_ms(value) / 1_000


def _since(term: Term) -> Test:
    if term.comparison not in (Comparison.HAS, Comparison.IS):
        raise FieldError("since takes a span", "since:10m")
    span_s = _span_s(term.value)
    return lambda view, now: now - view.started_at <= span_s


def _tokens(view: RequestView) -> float:
    return view.prompt_tokens + view.output_tokens


def _figure_field(name: str, example: str, meaning: str, attribute: str, read: Callable[[str], float]) -> Field:
    return Field(name, example, meaning, _number(attrgetter(attribute), read), figure=(attribute, read))


def _text_field(name: str, example: str, meaning: str, *attributes: str) -> Field:
    return Field(name, example, meaning, text_test(*attributes), attributes=attributes)


_ROWS = (
    _text_field("model", "claude*", "asked, served or the vendor's model", "asked", "served", "model"),
    _text_field("provider", "openai", "the vendor that answered", "provider"),
    _text_field("route", "auto", "the route that matched", "route"),
    _text_field("session", "cc-7f3a", "session id", "session_id"),
    _text_field("client", "claude-code", "the calling program", "client"),
    _text_field("key", "laptop", "name of the virtual key", "key_name"),
    _text_field("id", "req_01jq", "request id", "id"),
    _text_field("error", "timeout", "error code or message", "error_code", "error_message"),
    Field("text", '"rate limit"', "any text of the row", any_text, attributes=ANY_TEXT),
    Field("state", "stream", "open, done, error, ok, hit, stream, queued, …", _state, is_common=True),
    Field("status", "429", "HTTP status, also 4xx and 5xx", _status, is_common=True),
    Field("cache", "hit", "answered from the cache: hit or miss", _cache, is_common=True),
    Field("tries", "2", "upstream calls made", _number(attrgetter("tries"), _count), is_common=True),
    _figure_field("ttft", "2s", "time to first token", "ttft_ms", _span_ms),
    _figure_field("time", "10s", "whole duration of a finished request", "duration_ms", _span_ms),
    _figure_field("tok/s", "20", "output tokens per second", "tokens_per_s", _count),
    Field("tokens", "32k", "prompt and output tokens", _number(_tokens, _count), figure=("tokens", _count)),
    _figure_field("in", "8k", "prompt tokens", "prompt_tokens", _count),
    _figure_field("out", "500", "output tokens", "output_tokens", _count),
    Field("cost", "$0.01", "cost in dollars, or unknown", _cost, figure=("cost_nusd", _dollars_nusd)),
    Field("since", "10m", "started at most so long ago", _since, uses_clock=True, figure=("age_s", _span_s)),
)
FIELDS: dict[str, Field] = {field.name: field for field in _ROWS}
