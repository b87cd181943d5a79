"""What is asked about the selected request, and how calmly the preview follows a busy list."""

from __future__ import annotations

from atp_console.preview import DWELL_S, SETTLE_S, Preview
from atp_engine.core.types import RequestState
from tests.support.console import ReplaySource, request_view, snapshot_of
from tests.support.console_scene import FAILOVER_ID, OPEN_ID, busy_source


def test_it_turns_at_once_at_first_and_then_only_after_a_pause() -> None:
    preview = Preview(ReplaySource(snapshot_of()))
    assert preview.point("a", 10.0, is_following=True)
    assert not preview.point("b", 10.5, is_following=True)
    assert preview.id == "a"
    assert preview.point("c", 10.0 + DWELL_S, is_following=True)
    assert not preview.point("c", 12.0, is_following=True)


def test_a_moving_cursor_is_waited_for() -> None:
    preview = Preview(ReplaySource(snapshot_of()))
    preview.point("a", 10.0, is_following=False)
    for step in range(20):
        assert not preview.point(f"row{step}", 11.0 + step * 0.05, is_following=False)
    assert preview.point("row19", 12.0 + SETTLE_S, is_following=False)


async def test_a_finished_request_is_asked_about_once() -> None:
    source = busy_source()
    preview = Preview(source)
    view = next(one for one in source.state.requests if one.id == FAILOVER_ID)
    assert preview.is_due(view)
    await preview.ask(view)
    assert not preview.is_due(view)
    detail, tail = preview.detail(view), preview.tail(view)
    assert detail is not None
    assert tail is not None
    assert detail.request.id == tail.id == FAILOVER_ID


async def test_an_open_request_is_asked_about_again_and_a_failure_leaves_what_was_known() -> None:
    source = busy_source()
    preview = Preview(source)
    view = next(one for one in source.state.requests if one.id == OPEN_ID)
    await preview.ask(view)
    assert preview.is_due(view)
    source.go_away()
    await preview.ask(view)
    finished = request_view(id=OPEN_ID, state=RequestState.OK)
    assert preview.detail(finished) is not None, "an earlier state is better than nothing"


async def test_what_is_kept_is_bounded() -> None:
    source = busy_source()
    preview = Preview(source)
    for number in range(200):
        await preview.ask(request_view(id=f"req_{number}"))
    assert len(preview._details) <= 64
    assert len(preview._tails) <= 64
