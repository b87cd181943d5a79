"""Snapshot, deltas, losses and returns, told as values in their order."""

from __future__ import annotations

from atp_engine.client.errors import EngineRefused
from atp_engine.client.follow import Batch, LinkLost, follow
from atp_engine.core.events import Gap, RequestChanged
from atp_engine.core.views import Snapshot
from tests.support.console import ReplaySource, request_view, snapshot_of


class _Pauses:
    """Waits no time and remembers how long it should have been."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)


async def test_a_snapshot_comes_first_and_batches_after_it() -> None:
    source = ReplaySource(snapshot_of())
    source.send(lambda seq: RequestChanged(seq, request_view()))
    updates = follow(source, pause=_Pauses())
    assert isinstance(await anext(updates), Snapshot)
    batch = await anext(updates)
    assert isinstance(batch, tuple)
    assert isinstance(batch[0], RequestChanged)


async def test_a_gap_is_answered_with_a_new_snapshot() -> None:
    source = ReplaySource(snapshot_of())
    source.send(lambda seq: Gap(seq, 3), lambda seq: RequestChanged(seq, request_view()))
    pauses = _Pauses()
    updates = follow(source, pause=pauses)
    kinds = [type(await anext(updates)) for _ in range(2)]
    assert kinds == [Snapshot, Snapshot]
    assert pauses.asked, "a stream that only gives gaps must not be asked without a pause"


async def test_losses_are_told_with_growing_pauses_of_at_most_a_second() -> None:
    source = ReplaySource(snapshot_of())
    source.go_away("refused")
    pauses = _Pauses()
    updates = follow(source, pause=pauses)
    losses = [await anext(updates) for _ in range(7)]
    assert all(isinstance(loss, LinkLost) and loss.reason == "refused" for loss in losses)
    assert pauses.asked == [0.1, 0.25, 0.5, 1.0, 1.0, 1.0]
    source.come_back()
    assert isinstance(await anext(updates), Snapshot)


async def test_a_stream_that_ends_is_a_loss_and_pauses_start_again() -> None:
    source = ReplaySource(snapshot_of())
    pauses = _Pauses()
    updates = follow(source, pause=pauses)
    for _ in range(3):
        assert isinstance(await anext(updates), Snapshot)
        source.go_away()
        assert isinstance(await anext(updates), LinkLost)
        source.come_back()
    assert pauses.asked == [0.1, 0.1]


async def test_a_refusal_is_told_as_one() -> None:
    class Refusing(ReplaySource):
        async def snapshot(self) -> Snapshot:
            raise EngineRefused(401, "authentication_failed", "wrong token")

    update: Snapshot | Batch | LinkLost = await anext(follow(Refusing(snapshot_of()), pause=_Pauses()))
    assert update == LinkLost("wrong token", 2.0, is_refused=True, status=401, code="authentication_failed")
