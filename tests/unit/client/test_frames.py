"""The live stream's bytes: any split gives the same batches, and what is unknown is skipped."""

from __future__ import annotations

import msgspec
import pytest

from atp_engine.client.frames import FrameReader
from atp_engine.core.events import AnyEvent, Gap, RequestChanged
from tests.support.console import request_view

_EVENTS: tuple[AnyEvent, ...] = (RequestChanged(1, request_view()), Gap(2, 7))
_FRAME = b"id: 2\nevent: batch\ndata: " + msgspec.json.encode(_EVENTS) + b"\n\n"


def test_every_split_gives_the_same_batches() -> None:
    stream = b": alive\n\n" + _FRAME + b": alive\n\n" + _FRAME
    for cut in range(len(stream)):
        reader = FrameReader()
        assert [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])] == [_EVENTS, _EVENTS]


def test_byte_by_byte_and_with_carriage_returns() -> None:
    reader = FrameReader()
    stream = _FRAME.replace(b"\n", b"\r\n")
    batches = [batch for place in range(len(stream)) for batch in reader.feed(stream[place : place + 1])]
    assert batches == [_EVENTS]


def test_event_types_of_a_newer_engine_are_left_out() -> None:
    newer = b'[{"type":"from_the_future","seq":1},' + msgspec.json.encode(_EVENTS[1]) + b',{"type":"gap"}]'
    assert FrameReader().feed(b"event: batch\ndata: " + newer + b"\n\n") == [(_EVENTS[1],)]


@pytest.mark.parametrize(
    "frame",
    [
        b"event: hide\ndata: []\n\n",
        b"event: batch\n\n",
        b"event: batch\ndata: {\n\n",
        b"event: batch\ndata: 3\n\n",
        b"data: []\n\n",
    ],
)
def test_other_and_broken_frames_are_skipped(frame: bytes) -> None:
    assert FrameReader().feed(frame + _FRAME) == [_EVENTS]


def test_a_frame_without_an_end_is_refused() -> None:
    reader = FrameReader()
    with pytest.raises(ValueError, match="without an end"):
        for _ in range(20):
            reader.feed(b"x" * 1_048_576)
