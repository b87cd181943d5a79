"""Charts as lines of text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from atp_console.paint import width_of
from atp_console.plots import Plotted, nice_ticks, plot

_TIMES = ("10:00", "10:30", "11:00")


def _plot(lines: list[Plotted], width: int = 60, height: int = 10, *, is_ascii: bool = False) -> list[str]:
    drawn = plot(
        lines,
        width,
        height,
        y_label=lambda value: f"{value:g}",
        x_labels=("10:00", "10:30", "11:00"),
        is_ascii=is_ascii,
    )
    return ["".join(text for text, _ in line) for line in drawn]


def test_a_chart_fills_its_room_and_names_both_ends_of_its_axes() -> None:
    drawn = _plot([Plotted("rate", "stream", [float(step) for step in range(60)])])
    assert len(drawn) == 10
    assert drawn[0].lstrip().startswith("60")
    assert drawn[-2].lstrip().startswith("0")
    assert drawn[-1].split() == ["10:00", "10:30", "11:00"]
    assert len(drawn[-1]) == 60


def test_each_line_keeps_its_role_and_a_gap_is_not_bridged() -> None:
    gap: list[float | None] = [5.0] * 20 + [None] * 20 + [5.0] * 20
    drawn = plot(
        [Plotted("a", "ok", gap), Plotted("b", "bad", [9.0] * 60)],
        60, 8, y_label=str, x_labels=("", "", ""), is_ascii=False,
    )  # fmt: skip
    roles = {role for line in drawn for text, role in line if text.strip() and role != "muted"}
    assert roles == {"ok", "bad"}
    cells = sum(len(text.strip()) for line in drawn for text, role in line if role == "ok")
    assert 30 < cells < 48, "a third of the width stays empty"


def test_letters_stand_in_where_braille_may_not_be_used() -> None:
    drawn = "\n".join(_plot([Plotted("a", "ok", [1.0, 2.0, 3.0])], is_ascii=True))
    assert drawn.isascii()
    assert "o" in drawn


def test_nothing_is_drawn_where_nothing_fits() -> None:
    assert _plot([Plotted("a", "ok", [1.0])], height=3) == []
    assert _plot([Plotted("a", "ok", [1.0])], width=10) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e12)), min_size=1, max_size=60),
    st.integers(20, 80),
    st.integers(4, 20),
)
def test_any_figures_give_lines_that_fit(values: list[float | None], width: int, height: int) -> None:
    drawn = plot(
        [Plotted("a", "ok", values)],
        width,
        height,
        y_label=lambda v: f"{v:.2g}",
        x_labels=("a", "b", "c"),
        is_ascii=False,
    )
    assert len(drawn) <= height
    assert all(width_of(line) <= width for line in drawn)


@given(st.floats(1e-9, 1e12), st.integers(1, 8))
def test_ticks_are_few_and_reach_the_top(top: float, count: int) -> None:
    ticks = nice_ticks(top, count)
    assert ticks[0] == 0
    assert ticks[-1] >= top * 0.999
    assert len(ticks) <= count + 3
