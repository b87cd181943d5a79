"""The engine's door: places in flight, the queue, and every way to leave it."""

from __future__ import annotations

import asyncio

import pytest

from atp_engine.config.models import LimitsConfig
from atp_engine.core.errors import QueueFull, RateLimited
from atp_engine.core.types import Caller, QoS
from atp_engine.services.admission import Door
from tests.support.manual_clock import ManualClock


def caller(key: str = "k", qos: QoS = QoS.SILVER, per_minute: int = 0) -> Caller:
    return Caller(key, key, qos=qos, requests_per_minute=per_minute)


def door(clock: ManualClock, **limits: float) -> Door:
    return Door(LimitsConfig.model_validate({"max_parallel": 1, "max_queued": 2, **limits}), clock)


async def queued(entrance: Door, count: int) -> None:
    async with asyncio.timeout(2):
        while entrance.queued != count:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)


async def test_a_free_place_is_given_at_once_and_released_once() -> None:
    entrance = door(ManualClock())
    permit = entrance.admit(caller())
    assert permit is not None
    assert entrance.in_flight == 1
    permit.release()
    permit.release()
    assert entrance.in_flight == 0


async def test_who_finds_no_place_waits_until_one_is_released() -> None:
    entrance = door(ManualClock())
    first = entrance.admit(caller())
    assert first is not None
    assert entrance.admit(caller("b")) is None
    waiting = asyncio.create_task(entrance.wait(caller("b")))
    await queued(entrance, 1)
    first.release()
    second = await waiting
    assert (entrance.in_flight, entrance.queued) == (1, 0)
    second.release()
    assert entrance.in_flight == 0


async def test_a_client_that_leaves_the_queue_takes_nothing_with_it() -> None:
    entrance = door(ManualClock())
    first = entrance.admit(caller())
    assert first is not None
    waiting = asyncio.create_task(entrance.wait(caller("b")))
    await queued(entrance, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert entrance.queued == 0
    first.release()
    assert entrance.in_flight == 0


async def test_a_client_that_leaves_in_the_moment_of_its_turn_passes_the_place_on() -> None:
    entrance = door(ManualClock())
    first = entrance.admit(caller())
    assert first is not None
    leaving = asyncio.create_task(entrance.wait(caller("b")))
    staying = asyncio.create_task(entrance.wait(caller("c")))
    await queued(entrance, 2)
    first.release()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    permit = await asyncio.wait_for(staying, 2)
    permit.release()
    assert (entrance.in_flight, entrance.queued) == (0, 0)


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    entrance = door(ManualClock(), max_queued=0)
    assert entrance.admit(caller()) is not None
    with pytest.raises(QueueFull) as refused:
        await entrance.wait(caller("b"))
    assert refused.value.retry_after_s >= 1
    assert entrance.queued == 0


async def test_who_waits_too_long_is_refused() -> None:
    clock = ManualClock()
    entrance = door(clock, queue_timeout_s=5)
    assert entrance.admit(caller()) is not None
    waiting = asyncio.create_task(entrance.wait(caller("b")))
    await queued(entrance, 1)
    clock.advance(6)
    entrance.expire()
    with pytest.raises(QueueFull, match="5 s"):
        await waiting
    assert entrance.queued == 0


async def test_a_used_up_rate_is_refused_and_says_when_it_is_back() -> None:
    clock = ManualClock()
    entrance = door(clock, max_parallel=10)
    for _ in range(2):
        permit = entrance.admit(caller(per_minute=2))
        assert permit is not None
        permit.release()
    with pytest.raises(RateLimited) as refused:
        entrance.admit(caller(per_minute=2))
    clock.advance(refused.value.retry_after_s)
    assert entrance.admit(caller(per_minute=2)) is not None


async def test_more_room_after_a_config_change_admits_those_who_wait() -> None:
    entrance = door(ManualClock())
    assert entrance.admit(caller()) is not None
    waiting = asyncio.create_task(entrance.wait(caller("b")))
    await queued(entrance, 1)
    entrance.apply(LimitsConfig(max_parallel=2))
    await asyncio.wait_for(waiting, 2)
    assert entrance.in_flight == 2
