"""The panes of one request: attempts on a time axis, every candidate with its reason, all figures."""

from __future__ import annotations

from collections.abc import Mapping

from atp_console import format as fmt
from atp_console.look import Look
from atp_console.paint import Line, cells, fit, width_of, wrapped
from atp_console.widgets.columns import name, served_name
from atp_console.widgets.live_panes import ordered_candidates, score_text
from atp_console.widgets.pane import Pane
from atp_engine.core.sent_views import WouldCost
from atp_engine.core.text import safe_text
from atp_engine.core.types import AttemptOutcome, AttemptRecord, CandidateVerdict, PriceState, RouteDecision
from atp_engine.core.views import DeploymentView, RequestDetail

_MESSAGE_CAP = 400
_LABEL_MOST = 26
_FLAT = 9
_WITH_COSTS = 76
_CIRCUIT = 12
_GAP = 3


class _DetailPane(Pane):
    """Base: a pane about one request, empty until it has come."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.detail: RequestDetail | None = None
        self.deployments: Mapping[str, DeploymentView] = {}
        self.now = 0.0


class TimelinePane(_DetailPane):
    """Attempts as a waterfall from arrival to end: waiting light, answering solid."""

    def heading(self) -> tuple[Line, Line]:
        """The span that the axis covers."""
        if self.detail is None:
            return [("Timeline", "title")], []
        return [
            ("Timeline", "title"),
            (f" 0 {self.look.glyphs.cut} {fmt.duration(self._whole_ms(self.detail))}", "muted"),
        ], []

    def lines(self, width: int, height: int) -> list[Line]:
        """An axis, the time before the first attempt, two lines per attempt."""
        detail = self.detail
        if detail is None:
            return []
        whole = self._whole_ms(detail)
        label = min(_LABEL_MOST, max(14, width // 3))
        room = max(4, width - label - 9)
        lines: list[Line] = [[(" " * (label + 8), "muted"), (_axis(whole, room), "muted")]]
        if detail.attempts:
            first = detail.attempts[0].started_ms
            glyph = self.look.glyphs.wait if first * room >= whole else self.look.glyphs.tick
            lines.append(self._bar("admit, route", "muted", first, [(glyph, 0.0, first, "muted")], whole, label, room))
        for attempt in detail.attempts:
            lines += self._attempt(attempt, whole, label, room, width)
        if not detail.request.state.is_final:
            lines += self._open_call(detail, whole, label, room)
        elif not detail.attempts:
            lines.append([("No upstream call was made.", "muted")])
        return lines

    def _open_call(self, detail: RequestDetail, whole: float, label: int, room: int) -> list[Line]:
        """What goes on now: the call that is open, or the wait for one."""
        view, glyphs = detail.request, self.look.glyphs
        begun = max((one.started_ms + one.duration_ms for one in detail.attempts), default=0.0)
        first = whole if view.ttft_ms is None else min(whole, begun + view.ttft_ms)
        title = f"{view.tries} {name(view.served)}" if view.served else "waiting"
        parts = [(glyphs.wait, begun, first, "muted"), (glyphs.bar, first, whole, "stream")]
        mark, role = fmt.state_mark(view, glyphs)
        facts = f"ttft {fmt.duration(view.ttft_ms)}" if view.ttft_ms is not None else "no answer yet"
        below: Line = [("  ", "text"), (mark, role), (f"  {facts} {glyphs.dot} runs now", "muted")]
        return [self._bar(title, "text", whole - begun, parts, whole, label, room), below]

    def _whole_ms(self, detail: RequestDetail) -> float:
        ends = [attempt.started_ms + attempt.duration_ms for attempt in detail.attempts]
        open_ms = 0.0 if detail.request.state.is_final else (self.now - detail.request.started_at) * 1_000
        return max([detail.request.duration_ms or 0.0, open_ms, *ends, 1.0])

    def _attempt(self, one: AttemptRecord, whole: float, label: int, room: int, width: int) -> list[Line]:
        glyphs = self.look.glyphs
        is_ok = one.outcome is AttemptOutcome.OK
        end = one.started_ms + one.duration_ms
        wait_end = end if one.ttft_ms is None else min(end, one.started_ms + one.ttft_ms)
        mark, role = fmt.outcome_mark(one.outcome, one.http_status, glyphs)
        parts = [
            (glyphs.wait, one.started_ms, wait_end, "muted" if one.ttft_ms is not None else role),
            (glyphs.bar, wait_end, end, "stream" if is_ok else role),
        ]
        title = f"{one.number} {name(one.deployment)}"
        facts = [f"ttft {fmt.duration(one.ttft_ms)}"] if one.ttft_ms is not None else []
        if one.usage.output_tokens:
            facts.append(f"{fmt.grouped(one.usage.output_tokens)} out")
        if one.usage.output_tokens or one.cost_nusd:
            facts.append(fmt.cost(one.cost_nusd, one.price_state, glyphs))
        if one.message:
            facts.append(safe_text(one.message, limit=_MESSAGE_CAP))
        said = f" {glyphs.dot} ".join(facts)
        pieces = wrapped(said, max(8, width - cells(mark) - 4))[:2] if said else [""]
        below: list[Line] = [[("  ", "text"), (mark, role), ("  " + pieces[0], "muted")]]
        below += [[(" " * (cells(mark) + 4) + piece, "muted")] for piece in pieces[1:]]
        return [self._bar(title, "text", one.duration_ms, parts, whole, label, room), *below]

    def _bar(
        self,
        title: str,
        role: str,
        ms: float,
        parts: list[tuple[str, float, float, str]],
        whole: float,
        label: int,
        room: int,
    ) -> Line:
        """Title, length, and parts (glyph, from, to, role) on an axis of `room` cells."""
        line: Line = [(fit(title, label, mark=self.look.glyphs.cut), role), (f"{fmt.duration(ms):>7} ", "text")]
        at = 0
        for glyph, start_ms, end_ms, part_role in parts:
            start, end = round(start_ms / whole * room), round(end_ms / whole * room)
            if end_ms > start_ms and end == start:
                start, end = min(start, room - 1), min(start, room - 1) + 1
            start = max(start, at)
            if end > start:
                line += [(" " * (start - at), "text"), (glyph * (end - start), part_role)]
                at = end
        return line


def _axis(whole_ms: float, room: int) -> str:
    """Times along the axis, at most five of them."""
    marks = min(5, max(2, room // 14))
    axis = ""
    for number in range(marks):
        place = round(number / (marks - 1) * room)
        text = fmt.duration(whole_ms * number / (marks - 1)) if number else "0"
        start = max(0, min(place - (cells(text) if number == marks - 1 else 0), room - cells(text)))
        if start >= cells(axis):
            axis += " " * (start - cells(axis)) + text
    return axis


def saved_line(detail: RequestDetail, look: Look) -> Line:
    """What the answer cost less than its tokens would have at the dearest candidate; empty when nothing."""
    view = detail.request
    if view.price_state is PriceState.UNKNOWN or not view.state.is_final:
        return []
    others = [one for one in detail.would_cost if one.deployment != view.served]
    dearest = max(others, key=lambda one: one.cost_nusd, default=None)
    if dearest is None or dearest.cost_nusd <= view.cost_nusd:
        return []
    is_sure = dearest.is_sure and view.price_state is PriceState.KNOWN
    figure = ("" if is_sure else look.glyphs.about) + fmt.fine_dollars(dearest.cost_nusd - view.cost_nusd)
    return [
        ("saved ", "muted"),
        (figure, "ok"),
        (f" against {name(dearest.deployment)}", "muted"),
        (", the dearest candidate, for the same tokens", "muted"),
    ]


class CandidatesPane(_DetailPane):
    """The whole decision: one sentence, what was saved, every candidate with rank, score and reason."""

    def heading(self) -> tuple[Line, Line]:
        """Who serves."""
        if self.detail is None:
            return [("Why", "title")], []
        return [("Why", "title"), (f" {served_name(self.detail.request, self.look)}", "muted")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Explanation first; reasons are wrapped where there is room for all of them."""
        detail = self.detail
        if detail is None:
            return []
        if detail.decision is None:
            return [[("No route was decided: the request ended before, or the cache answered.", "muted")]]
        whole = self._whole(detail, detail.decision, width)
        return whole if len(whole) <= height else self._short(detail, detail.decision, width)

    def _short(self, detail: RequestDetail, decision: RouteDecision, width: int) -> list[Line]:
        """One line per candidate, under one about the decision."""
        said = safe_text(decision.explanation, limit=_MESSAGE_CAP)
        first = saved_line(detail, self.look) or [(said, "text")]
        room = min(24, max(10, width // 4))
        tried = {attempt.deployment: attempt for attempt in detail.attempts}
        rows = [self._candidate(one, tried.get(one.deployment), 0, room, []) for one in ordered_candidates(detail)]
        return [first, *(row[0] for row in rows)]

    def _whole(self, detail: RequestDetail, decision: RouteDecision, width: int) -> list[Line]:
        dot = self.look.glyphs.dot
        lines: list[Line] = [
            [(piece, "text")] for piece in wrapped(safe_text(decision.explanation, limit=_MESSAGE_CAP), width)
        ]
        source = f"route {name(decision.route)} {dot} {name(decision.strategy)} {dot} config v{decision.config_version}"
        lines.append([(source, "muted")])
        saved = saved_line(detail, self.look)
        lines += [saved, []] if saved else [[]]
        room = min(24, max(10, width // 4))
        costs = {one.deployment: one for one in detail.would_cost} if width >= _WITH_COSTS else {}
        head = f"    # {fit('CANDIDATE', room)} SCORE  "
        if costs:
            head += f"{'WOULD COST':>12}  {fit('CIRCUIT NOW', _CIRCUIT)}  "
        lines.append([(head + "VERDICT", "muted")])
        tried = {attempt.deployment: attempt for attempt in detail.attempts}
        for one in ordered_candidates(detail):
            middle = self._now_of(one.deployment, costs.get(one.deployment)) if costs else []
            lines += self._candidate(one, tried.get(one.deployment), width, room, middle)
        return lines

    def _now_of(self, key: str, cost: WouldCost | None) -> Line:
        """What the request's tokens cost there, and whether it may be called now."""
        glyphs = self.look.glyphs
        figure = fmt.UNKNOWN if cost is None else fmt.fine_dollars(cost.cost_nusd)
        if cost is not None and not cost.is_sure:
            figure = glyphs.about + figure
        deployment = self.deployments.get(key)
        circuit, role = fmt.circuit_mark(deployment, glyphs) if deployment is not None else (glyphs.none, "muted")
        return [(f"{figure:>12}  ", "text"), (fit(circuit, _CIRCUIT, mark=glyphs.cut) + "  ", role)]

    def _candidate(
        self, one: CandidateVerdict, attempt: AttemptRecord | None, width: int, room: int, middle: Line
    ) -> list[Line]:
        """Its lines; one alone when `width` is 0."""
        glyphs = self.look.glyphs
        request = self.detail.request if self.detail else None
        is_served = request is not None and bool(request.served) and one.deployment == request.served
        mark, role = (glyphs.star, "ok") if is_served else (" ", "text") if one.rank else (glyphs.bad, "bad")
        rank = str(one.rank) if one.rank else glyphs.none
        reason, tried = safe_text(one.reason, limit=_MESSAGE_CAP), ""
        if attempt is not None:
            words, _ = fmt.outcome_mark(attempt.outcome, attempt.http_status, glyphs)
            tried = f"attempt {attempt.number}: {words}"
        left = 15 + room + width_of(middle)
        parts = [part for part in (reason, tried) if part]
        if width:
            pieces = [piece for part in parts for piece in wrapped(part, max(10, width - left))] or [""]
        else:
            pieces = [f" {glyphs.dot} ".join(parts)]
        label_role = "strong" if is_served else "text" if one.rank else "muted"
        head: Line = [
            (f"{mark} ", role),
            (f"{rank:>3} ", "muted"),
            (fit(name(one.deployment), room, mark=glyphs.cut), label_role),
            (f" {score_text(one.score):>5}  ", "accent"),
            *middle,
            (pieces[0], "text" if one.rank else "muted"),
        ]
        return [head, *([(" " * (left - 1) + piece, "muted")] for piece in pieces[1:])]


class NumbersPane(_DetailPane):
    """Every figure and name of the request, label and value."""

    def heading(self) -> tuple[Line, Line]:
        """Plain."""
        return [("Numbers", "title")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """One fact per line, or in a flat pane as many as fit."""
        if self.detail is None:
            return []
        facts = _facts(self.detail, self.look, self.deployments.get(self.detail.request.served))
        if height < _FLAT:
            return flowing(facts, width)
        return [line for label, spans in facts for line in _fact_lines(label, spans, width)]


def flowing(facts: list[tuple[str, Line]], width: int) -> list[Line]:
    """Labels and values side by side, as many to a line as fit."""
    lines: list[Line] = [[]]
    for label, spans in facts:
        part: Line = [(f"{label} ", "muted"), *spans]
        room = width - width_of(lines[-1]) - _GAP
        if lines[-1] and width_of(part) > room:
            lines.append([])
        lines[-1] += [(" " * _GAP, "text"), *part] if lines[-1] else part
    return lines


def _fact_lines(label: str, spans: Line, width: int) -> list[Line]:
    text = "".join(part for part, _ in spans)
    if cells(text) <= width - 9 or len(spans) != 1:
        return [[(f"{label:<9}", "muted"), *spans]]
    pieces = wrapped(text, max(8, width - 9))
    role = spans[0][1]
    return [[(f"{label if not place else '':<9}", "muted"), (piece, role)] for place, piece in enumerate(pieces[:4])]


def _facts(detail: RequestDetail, look: Look, served: DeploymentView | None) -> list[tuple[str, Line]]:
    view, glyphs = detail.request, look.glyphs
    dot = f" {glyphs.dot} "
    state, role = fmt.state_mark(view, glyphs)
    status = f"{dot}{view.http_status}" if view.http_status and str(view.http_status) not in state else ""
    finish = f"{dot}finish {name(view.finish_reason)}" if view.finish_reason else ""
    cached = f" ({fmt.grouped(view.cache_read_tokens)} cached)" if view.cache_read_tokens else ""
    reasoning = f" ({fmt.grouped(view.reasoning_tokens)} reasoning)" if view.reasoning_tokens else ""
    estimated = f"{dot}estimated" if view.is_usage_estimated else ""
    unpriced = f"{dot}no price is known" if view.price_state is PriceState.UNKNOWN and view.state.is_final else ""
    usual = f" (p95 {fmt.duration(served.ttft_p95_ms)})" if served is not None and served.ttft_p95_ms else ""
    waited = [("queued", [(fmt.duration(view.queue_wait_ms), "warn")])] if view.queue_wait_ms else []
    model = f"{dot}{name(view.model)}" if view.model and view.model != view.served else ""
    facts: list[tuple[str, Line]] = [
        ("state", [(state, role), (status + finish, "text")]),
        ("asked", [(name(view.asked), "text")]),
        ("served", [(served_name(view, look), "strong"), (model, "muted")]),
        ("provider", [(name(view.provider) or glyphs.none, "text")]),
        ("time", [(f"{fmt.clock(view.started_at, look.zone)}{dot}{fmt.duration(view.duration_ms, glyphs)}", "text")]),
        ("first", [(fmt.duration(view.ttft_ms, glyphs), "text"), (usual, "muted")]),
        ("speed", [(f"{fmt.speed(view.tokens_per_s, glyphs)} tok/s", "text")]),
        *waited,
        ("in", [(f"{fmt.grouped(view.prompt_tokens)}", "text"), (cached + estimated, "muted")]),
        ("out", [(f"{fmt.grouped(view.output_tokens)}", "text"), (reasoning, "muted")]),
        ("cost", [(fmt.row_cost(view, glyphs, is_exact=True), "strong"), (unpriced, "warn")]),
        *((("saved", saved[1:3]),) if (saved := saved_line(detail, look)) else ()),
        ("client", [(f"{name(view.client)}{dot}key {name(view.key_name) or glyphs.none}", "text")]),
        ("session", [(name(view.session_id), "text")]),
        ("wire", [(f"{name(view.dialect)}{dot}{'stream' if view.is_stream else 'one answer'}", "text")]),
        ("id", [(name(view.id), "muted")]),
    ]
    if detail.dropped_fields:
        words = ", ".join(safe_text(field, limit=60) for field in detail.dropped_fields)
        facts.insert(3, ("dropped", [(words, "warn")]))
    if view.error_code or view.error_message:
        facts.insert(
            1, ("error", [(safe_text(f"{view.error_code} {view.error_message}".strip(), limit=_MESSAGE_CAP), "bad")])
        )
    return facts
