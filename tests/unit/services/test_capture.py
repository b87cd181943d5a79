"""The copy of an answer: all of it up to the cap, in little memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.services.capture import Capture


@given(st.lists(st.binary(max_size=5_000), max_size=40), st.integers(min_value=1, max_value=60_000))
def test_a_copy_is_what_was_sent_up_to_the_cap(pieces: list[bytes], cap: int) -> None:
    capture = Capture(cap)
    for piece in pieces:
        capture.add(piece)
    sent = b"".join(pieces)
    assert capture.whole() == sent[:cap]
    assert capture.is_cut == (len(sent) > cap)


@pytest.mark.parametrize("size", [10, 190, 4_000])
def test_the_copy_of_a_long_stream_stays_small_while_it_is_open(size: int) -> None:
    capture = Capture(262_144)
    tracemalloc.start()
    try:
        for number in range(262_144 // size):
            capture.add(b"data: %d %b" % (number, b"x" * size))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 64 * 1024
