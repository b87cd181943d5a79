"""Lines of JSON out of pieces that are split anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.dialects.ndjson import Splitter, events, last_event
from atp_engine.dialects.sse import EventTooLarge

LINES = st.lists(st.sampled_from([b'{"a":1}', b'{"a":"\\n"}', b"", b"  ", b"x" * 40, "é🌍".encode()]), max_size=6)


@given(LINES, st.sampled_from([b"\n", b"\r\n"]), st.lists(st.integers(0, 200), max_size=4), st.booleans())
def test_lines_are_the_same_however_they_come(lines: list[bytes], end: bytes, cuts: list[int], is_ended: bool) -> None:
    sent = end.join(lines) + (end if is_ended and lines else b"")
    places = sorted(min(cut, len(sent)) for cut in cuts)
    splitter = Splitter()
    found = []
    for start, stop in zip([0, *places], [*places, len(sent)], strict=True):
        found += events(splitter.feed(sent[start:stop]))
        assert splitter.is_empty == (splitter.rest() == b"")
    last = last_event(splitter.rest())
    told = [event.data for event in [*found, *([last] if last else [])] if event.data]
    assert told == [line.strip() for line in lines if line.strip()]
    assert b"".join(event.raw for event in found) + splitter.rest() == sent


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    splitter = Splitter(cap_bytes=10)
    assert splitter.feed(b"1234567890") == b""
    with pytest.raises(EventTooLarge):
        splitter.feed(b"1")
