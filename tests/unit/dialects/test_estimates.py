"""Token estimates before the vendor has counted."""

from __future__ import annotations

import tracemalloc

import pytest

from atp_engine.dialects.estimate import estimate_tokens, learned_ratio, tokens_of_chars
from atp_engine.dialects.text_tail import TAIL_CHARS, TextTail


def test_an_estimate_is_rounded_up_and_zero_only_for_nothing() -> None:
    assert [estimate_tokens(size) for size in (0, 1, 4, 5, 4_000)] == [0, 1, 1, 2, 1_000]
    assert estimate_tokens(30_000, 3.0) == 10_000
    assert tokens_of_chars(9) == 3


def test_the_ratio_moves_toward_what_was_seen() -> None:
    ratio = 4.0
    for _ in range(100):
        ratio = learned_ratio(ratio, 3_000, 1_000)
    assert ratio == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(("size", "tokens"), [(0, 5), (5, 0), (-1, 5), (5, -1)])
def test_nonsense_teaches_nothing(size: int, tokens: int) -> None:
    assert learned_ratio(4.0, size, tokens) == 4.0


def test_a_lying_vendor_cannot_push_the_ratio_out_of_bounds() -> None:
    ratio = 4.0
    for tokens in (1, 10**12):
        for _ in range(200):
            ratio = learned_ratio(ratio, 10**6, tokens)
        assert 1.0 <= ratio <= 16.0


def test_a_tail_of_short_tokens_weighs_no_more_than_one_of_long_ones() -> None:
    tail = TextTail()
    tracemalloc.start()
    try:
        for number in range(5_000):
            tail.add(f"{number % 100:3} ")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 4 * TAIL_CHARS
    assert tail.text()[-8:] == " 98  99 "


def test_a_tail_stays_small_whatever_is_added() -> None:
    tail = TextTail()
    for place in range(50_000):
        tail.add(f"{place},")
    tail.add("x" * 100_000 + "end")
    assert len(tail.text()) == TAIL_CHARS
    assert tail.text().endswith("xxend")
