"""One answer of the Playground: its text as it comes, who gives it, how fast and for how much."""

from __future__ import annotations

import difflib
import re

from atp_console import format as fmt
from atp_console.look import Look
from atp_console.paint import Line
from atp_console.widgets.columns import name, served_name
from atp_console.widgets.text_view import TextView
from atp_engine.core.text import safe_text
from atp_engine.core.views import RequestView

_TEXT_CAP = 200_000
_WORD = re.compile(r"\S+\s*|\s+")
"""A word with the blanks after it, so that words which follow each other change together."""
_ROOMY = 76
_MOST_WORDS = 4_000
"""Longer answers are compared line by line: the comparison grows with the square of its pieces."""


class Answer:
    """What is known of one play."""

    def __init__(self, model: str, request_id: str) -> None:
        self.model = model
        self.request_id = request_id
        self.text = ""
        self.problem = ""
        self.misses = 0
        self.view: RequestView | None = None
        self.is_whole = False
        """The text is the whole answer, not its last words so far."""

    @property
    def is_open(self) -> bool:
        """True while the engine works on it, or its whole text is still to be read."""
        return not self.is_whole and not self.problem


class AnswerPane(TextView):
    """Shows one answer, or how it differs from another one."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, self._title, id=id)
        self.answer: Answer | None = None
        self.nothing: list[Line] = []
        """What stands here while nothing was sent."""
        self._shown: tuple[str, str] | None = None

    def show(self, answer: Answer | None, against: Answer | None = None) -> None:
        """Shows the answer's text; with `against`, what it has more and less than that one."""
        self.answer = answer
        if answer is None:
            self._shown = None
            self.set_lines(self.nothing)
            return
        shown = (answer.text, against.text if against else "")
        if shown != self._shown:
            was_at_end = self.top + self.page >= self.line_count
            self._shown = shown
            self.set_lines(_lines(shown[0]) if against is None else difference(shown[1], shown[0]))
            if answer.is_open and was_at_end:
                self.go(self.line_count)
        self.repaint()

    def _title(self) -> tuple[Line, Line]:
        answer = self.answer
        if answer is None:
            return [("Answer", "title")], []
        glyphs = self.look.glyphs
        left: Line = [(name(answer.model), "title")]
        view = answer.view
        if answer.problem:
            return left, [(f"{glyphs.bad} {name(answer.problem)}", "bad")]
        if view is None:
            return left, [(f"{glyphs.connecting} sent", "muted")]
        if view.served and view.served != answer.model:
            left.append((f" {glyphs.arrow} {served_name(view, self.look)}", "muted"))
        mark, role = fmt.state_mark(view, glyphs)
        right: Line = [(mark, role)]
        is_roomy = self.inner_width >= _ROOMY
        if view.ttft_ms is not None and is_roomy:
            right.append((f"  ttft {fmt.duration(view.ttft_ms, glyphs)}", "muted"))
        if view.tokens_per_s is not None:
            right.append((f"  {fmt.speed(view.tokens_per_s, glyphs)} t/s", "muted"))
        if is_roomy:
            right.append((f"  {fmt.count(view.output_tokens)} tok", "muted"))
        right.append((f"  {fmt.row_cost(view, glyphs)}", "text"))
        return left, right


def _lines(text: str, role: str = "text") -> list[Line]:
    return [[(line, role)] for line in safe_text(text, limit=_TEXT_CAP, is_line=False).split("\n")]


def difference(old: str, new: str) -> list[Line]:
    """`new` with what it has more (`ok`) and what it lacks (`bad`, in brackets) against `old`, word by word."""
    old, new = (safe_text(text, limit=_TEXT_CAP, is_line=False) for text in (old, new))
    before, after = _WORD.findall(old), _WORD.findall(new)
    if max(len(before), len(after)) > _MOST_WORDS:
        before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    lines: list[Line] = [[]]
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        gone, come = "".join(before[i1:i2]), "".join(after[j1:j2])
        if tag == "equal":
            _add(lines, come, "text")
            continue
        if gone.strip():
            _add(lines, f"[-{gone.strip()}-]", "bad")
        words = come.strip()
        before_words, _, after_words = come.partition(words) if words else (come, "", "")
        _add(lines, before_words, "text")
        if words:
            _add(lines, f"[+{words}+]", "ok")
        _add(lines, after_words, "text")
    return lines


def _add(lines: list[Line], text: str, role: str) -> None:
    first, *rest = text.split("\n")
    if first:
        lines[-1].append((first, role))
    lines.extend([(line, role)] if line else [] for line in rest)
