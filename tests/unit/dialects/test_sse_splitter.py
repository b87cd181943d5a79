"""Server-sent events come out whole however the bytes are split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.dialects.sse import EventTooLarge, Splitter, events, frame, last_event

Told = list[tuple[bytes, bytes | None]]


def _told(pieces: list[bytes]) -> tuple[Told, bytes]:
    """Name and data of each event that says something, and what was left over."""
    splitter = Splitter()
    found = [event for piece in pieces for event in events(splitter.feed(piece))]
    return [(event.name, event.data) for event in found if event.data is not None or event.name], splitter.rest()


STREAMS: list[tuple[bytes, Told]] = [
    (b"data: a\n\n", [(b"", b"a")]),
    (b"data:a\n\ndata:  b\n\n", [(b"", b"a"), (b"", b" b")]),
    (b"event: e\ndata: 1\ndata: 2\nid: 7\nretry: 5\n\n", [(b"e", b"1\n2")]),
    (b": comment\n\ndata: a\n\n", [(b"", b"a")]),
    (b": comment\ndata: a\n\n", [(b"", b"a")]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    (b"event: e\r\ndata: a\r\n\r\n", [(b"e", b"a")]),
    (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    (b"event: e\rdata: 1\rdata: 2\r\r", [(b"e", b"1\n2")]),
    (b"data: a\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    (b"\n\ndata: a\n\n", [(b"", b"a")]),
    (b"data: a\n\r\ndata: b\r\n\n", [(b"", b"a"), (b"", b"b")]),
    (b"data\n\n", [(b"", b"")]),
    (b"data:\n\n", [(b"", b"")]),
    (b"event: only\n\n", [(b"only", None)]),
    (b"nonsense\n\nDATA: x\n\n", []),
    (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    (b"data: \xc3\xa9\xff\n\n", [(b"", b"\xc3\xa9\xff")]),
    (b"data: a: b\n\n", [(b"", b"a: b")]),
]


@pytest.mark.parametrize(("stream", "told"), STREAMS, ids=[repr(stream) for stream, _ in STREAMS])
def test_a_stream_reads_the_same_at_every_split(stream: bytes, told: Told) -> None:
    assert _told([stream])[0] == told
    for place in range(len(stream) + 1):
        assert _told([stream[:place], stream[place:]])[0] == told, place
    assert _told([stream[place : place + 1] for place in range(len(stream))])[0] == told


def test_the_usual_piece_passes_without_a_copy() -> None:
    for piece in (b"data: a\n\n", b"data: a\n\ndata: b\n\n", b"data: a\r\n\r\n"):
        assert Splitter().feed(piece) is piece


def test_an_unfinished_event_waits() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert splitter.feed(b"\n") == b""
    assert splitter.rest() == b"data: b\n"
    assert splitter.feed(b"\n") == b"data: b\n\n"
    assert splitter.rest() == b""


def test_an_event_over_the_cap_is_refused_and_one_below_passes() -> None:
    splitter = Splitter(cap_bytes=64)
    assert splitter.feed(b"data: " + b"x" * 50) == b""
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 20)


def test_an_endless_comment_is_refused_too() -> None:
    splitter = Splitter(cap_bytes=64)
    with pytest.raises(EventTooLarge):
        for _ in range(100):
            splitter.feed(b": still here")


def test_the_last_event_may_lack_its_blank_line() -> None:
    event = last_event(b"event: e\ndata: a\n")
    assert event is not None
    assert (event.name, event.data, event.raw) == (b"e", b"a", b"event: e\ndata: a\n\n")
    assert last_event(b"") is None
    assert last_event(b": note") is None
    assert last_event(b"dat") is None


def test_a_frame_reads_back() -> None:
    assert [(event.name, event.data) for event in events(frame(b"{}", b"e") + frame(b"[DONE]"))] == [
        (b"e", b"{}"),
        (b"", b"[DONE]"),
    ]


LINES = st.sampled_from([b"data: a", b"data", b"event: e", b": c", b"id: 1", b"", b"data: {}"])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@settings(deadline=None)
@given(st.lists(st.tuples(LINES, ENDS), max_size=25), st.data())
def test_any_mix_of_lines_reads_the_same_split_or_whole(lines: list[tuple[bytes, bytes]], draw: st.DataObject) -> None:
    stream = b"".join(line + end for line, end in lines) + b"x\n\n"
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert _told(pieces)[0] == _told([stream])[0]


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_byte_is_lost_or_invented(stream: bytes, place: int) -> None:
    splitter = Splitter()
    whole = splitter.feed(stream[:place]) + splitter.feed(stream[place:])
    assert whole + splitter.rest() == stream
    assert b"".join(event.raw for event in events(whole)) == whole
