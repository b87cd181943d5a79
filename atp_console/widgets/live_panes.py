"""What stands around the request list: the tail of the selected stream, why this model, the engine.

They are given views by the Live screen and paint them; nothing is asked for from here.
"""

from __future__ import annotations

from collections.abc import Sequence

from atp_console import format as fmt
from atp_console.look import Look
from atp_console.paint import Line, cells, clipped, fit, wrapped
from atp_console.widgets.columns import name, route_line, served_name
from atp_console.widgets.pane import Pane
from atp_engine.core.events import Notice
from atp_engine.core.text import safe_text
from atp_engine.core.types import CandidateVerdict, RequestState
from atp_engine.core.views import EngineView, RequestDetail, RequestView, Tail

_REASON_CAP = 200


class TailPane(Pane):
    """The last words of the selected request, or what went wrong with it."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.view: RequestView | None = None
        self.tail: Tail | None = None

    def heading(self) -> tuple[Line, Line]:
        """Which request, and how fast it writes."""
        view = self.view
        if view is None:
            return [("Tail", "title")], []
        dot = f" {self.look.glyphs.dot} "
        word = "Answer" if view.state.is_final else "Tail"
        left: Line = [(word, "title"), (f" {name(view.session_id)}{dot}{served_name(view, self.look)}", "muted")]
        figures = [f"{fmt.grouped(view.output_tokens)} tok"] if view.output_tokens else []
        if view.tokens_per_s is not None:
            figures.append(f"{fmt.speed(view.tokens_per_s)} tok/s")
        return left, [(dot.join(figures), "muted")] if figures else []

    def lines(self, width: int, height: int) -> list[Line]:
        """The end of the text, an open stream with a caret."""
        view = self.view
        if view is None:
            return [[("Select a request to see what it writes.", "muted")]]
        problem: list[Line] = []
        if view.error_message or view.error_code:
            text = safe_text(f"{view.error_code}: {view.error_message}", limit=_REASON_CAP * 2)
            problem = [[(piece, "bad")] for piece in wrapped(f"{self.look.glyphs.bad} {text}", width)]
        text = safe_text(self.tail.text, is_line=False) if self.tail is not None and self.tail.id == view.id else ""
        if not text.strip():
            return problem or [[(self._silence(view), "muted")]]
        pieces: list[Line] = [[(piece, "text")] for piece in wrapped(text.rstrip("\n"), width)]
        room = max(1, height - len(problem))
        pieces = pieces[-room:]
        if pieces and view.state is RequestState.STREAMING and cells(pieces[-1][0][0]) < width:
            pieces[-1] = [*pieces[-1], (self.look.glyphs.caret, "stream")]
        return [*pieces, *problem]

    def _silence(self, view: RequestView) -> str:
        if view.state is RequestState.QUEUED:
            return "Waiting for a place."
        if not view.state.is_final:
            return "No text yet."
        return "No text is kept of this request." if view.has_body else "Bodies are not kept."


class WhyPane(Pane):
    """Why the selected request went where it went: the ranking in one glance."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.view: RequestView | None = None
        self.detail: RequestDetail | None = None

    def heading(self) -> tuple[Line, Line]:
        """Who serves."""
        if self.view is None:
            return [("Why", "title")], []
        return [("Why", "title"), (f" {served_name(self.view, self.look)}", "muted")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """The explanation and the candidates; in a flat pane side by side."""
        view, detail = self.view, self.detail
        if view is None:
            return []
        if detail is None or detail.request.id != view.id:
            return [route_line(view, self.look, width)]
        if detail.decision is None:
            said = "Answered from the cache." if view.state is RequestState.HIT else "No decision was made."
            return [[(said, "muted")]]
        decision = detail.decision
        said_lines: list[Line] = [
            [(piece, "text")] for piece in wrapped(safe_text(decision.explanation, limit=_REASON_CAP), width)
        ]
        dot = self.look.glyphs.dot
        source: Line = [
            (f"{name(decision.route)} {dot} {name(decision.strategy)} {dot} config v{decision.config_version}", "muted")
        ]
        ordered = ordered_candidates(detail)
        if height <= 4:
            return [*said_lines[: max(1, height - 2)], _beside(ordered, view.served, width, self.look), source]
        room = height - 1 - min(len(said_lines), 2)
        candidates = [candidate_line(one, view.served, width, self.look) for one in ordered[:room]]
        return [*candidates, *said_lines[:2], source]


def ordered_candidates(detail: RequestDetail) -> list[CandidateVerdict]:
    """Ranked ones best first, then the dropped ones."""
    if detail.decision is None:
        return []
    dropped = [one for one in detail.decision.candidates if not one.rank]
    return [*detail.decision.ranked, *dropped]


def score_text(score: float | None) -> str:
    """`.83`, `1.00`."""
    return "" if score is None else f"{score:.2f}".removeprefix("0")


def candidate_line(one: CandidateVerdict, served: str, width: int, look: Look) -> Line:
    """`★ sonnet  .83  first in order`, `✗ gpt-5  circuit open`."""
    glyphs = look.glyphs
    is_served = bool(served) and one.deployment == served
    mark, role = (glyphs.star, "ok") if is_served else (" ", "text") if one.rank else (glyphs.bad, "bad")
    label = fit(name(one.deployment), min(14, max(6, width // 2)), mark=glyphs.cut)
    reason = safe_text(one.reason, limit=_REASON_CAP)
    line: Line = [(f"{mark} ", role), (label, "strong" if is_served else "text" if one.rank else "muted")]
    if one.score is not None and one.rank:
        line.append((f" {score_text(one.score):>4}", "accent"))
    line.append((" " + reason, "muted"))
    return clipped(line, width, glyphs.cut)


def _beside(candidates: list[CandidateVerdict], served: str, width: int, look: Look) -> Line:
    line: Line = []
    for one in candidates:
        part = candidate_line(one, served, 30 if len(candidates) > 1 else width, look)
        if one.rank and len(candidates) > 1:
            part = part[:-1]
        part = [(text.rstrip() if place == 1 else text, role) for place, (text, role) in enumerate(part)]
        line += [("   ", "text"), *part] if line else part
    return clipped(line, width, look.glyphs.cut)


class EnginePane(Pane):
    """Money, work and the engine's own health."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.engine: EngineView | None = None
        self.notices: Sequence[Notice] = ()
        """Oldest first."""

    def heading(self) -> tuple[Line, Line]:
        """Name and version."""
        version = name(self.engine.version) if self.engine else ""
        return [("Engine", "title"), (f" {version}", "muted")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Label and figure per line."""
        one = self.engine
        if one is None:
            return [[("Waiting for the engine.", "muted")]]
        glyphs = self.look.glyphs
        rows: list[Line] = [
            [("today", "muted"), (fmt.dollars(one.cost_today_nusd), "strong"), *_unpriced(one)],
            [("pace", "muted"), (f"{fmt.dollars(one.cost_per_hour_nusd)}/h", "text")],
            [
                ("requests", "muted"),
                (fmt.grouped(one.requests_total), "text"),
                (f" {one.queued} queued", "warn" if one.queued else "muted"),
            ],
            [
                ("latency", "muted"),
                (f"p50 {fmt.duration(one.p50_ms, glyphs)}", "text"),
                (f"  p95 {fmt.duration(one.p95_ms, glyphs)}", "text"),
            ],
            [("config", "muted"), (f"v{one.config_version}", "text"), *_config_state(one, self.look)],
            [("recorder", "muted"), (f"{fmt.duration(one.recorder_lag_ms, glyphs)} behind", "text")],
            [("storage", "muted"), (name(one.storage_state), "text" if one.storage_state == "ok" else "bad")],
        ]
        lost = {key: amount for key, amount in one.dropped.items() if amount}
        if lost:
            words = ", ".join(f"{fmt.grouped(amount)} {name(key)}" for key, amount in lost.items())
            rows.append([("dropped", "muted"), (words, "warn")])
        lines: list[Line] = [[(f"{row[0][0]:<9}", "muted"), *row[1:]] for row in rows]
        latest = list(self.notices)[-max(0, height - len(lines)) :] if height > len(lines) else []
        return [*lines, *(self._notice(one) for one in reversed(latest))]

    def _notice(self, one: Notice) -> Line:
        glyphs = self.look.glyphs
        marks = {"error": (glyphs.bad, "bad"), "warn": (glyphs.half, "warn")}
        mark, role = marks.get(one.severity, (glyphs.full_dot, "muted"))
        said = safe_text(one.text, limit=_REASON_CAP)
        return [(f"{fmt.clock(one.at, self.look.zone)} ", "muted"), (f"{mark} ", role), (said, "text")]


def _unpriced(one: EngineView) -> Line:
    return [(f" + {one.unknown_cost_today} unpriced", "warn")] if one.unknown_cost_today else []


def _config_state(one: EngineView, look: Look) -> Line:
    if not one.config_problems:
        return [(f" {look.glyphs.ok} in step with the file", "muted")]
    return [(f" {look.glyphs.bad} file not applied: {len(one.config_problems)}", "bad")]
