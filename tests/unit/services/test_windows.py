"""Windows at work: 200 tasks at once, refusals that explain themselves, soft limits, crashes, a disk that is gone."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.config.models import WindowConfig
from atp_engine.core.errors import StorageError, WindowExceeded
from atp_engine.core.events import Notice
from atp_engine.core.types import Caller
from tests.support.budgets import ALICE, Desk, budget, gather
from tests.support.manual_clock import ManualClock
from tests.support.until import until

BUDGET = (33_200.0, "budget_exceeded")
BOB = Caller("key_bob", "bob", project="web")
FOUR = """
[windows.all]
max_tokens = 20_000
max_usd = 0.01
[windows.mine]
scope = "key"
period = "hour"
max_parallel = 20
max_tokens = 15_000
[windows.talk]
scope = "session"
max_tokens = 8_000
[windows.way]
scope = "route"
of = ["plain"]
period = "month"
max_usd = 0.009
[windows.box]
scope = "deployment"
period = "hour"
max_parallel = 25
max_usd = 0.008
"""


async def storm(rng: random.Random) -> None:
    """200 requests at once of random sizes, some with retries, some cancelled, some ended by a bug."""
    with tempfile.TemporaryDirectory() as folder:
        await _storm(Path(folder), rng)


async def _storm(folder: Path, rng: random.Random) -> None:
    async with budget(folder, FOUR) as desk:

        def check() -> None:
            for view in desk.windows.views():
                assert view.used_tokens + view.reserved_tokens <= (view.max_tokens or 1e18), view
                assert view.used_nusd + view.reserved_nusd <= (view.max_nusd or 1e18), view
                assert view.in_flight <= (view.max_parallel or 1e18), view

        async def request(number: int) -> int:
            session, caller = f"s-{number % 5}", (ALICE, BOB)[number % 2]
            most = rng.randrange(1, 400)
            spending = await desk.enter(most, session=session, caller=caller)
            assert spending is not None
            lines = []
            try:
                for _ in range(rng.randrange(3)):
                    if await spending.begin(desk.runtime.table.deployments["cheap"]):
                        break
                    check()
                    await asyncio.sleep(0)
                    if rng.random() < 0.1:
                        raise RuntimeError("a bug")
                    lines.append(desk.attempt(rng.randrange(most + 1)))
                    spending.settle(lines[-1])
                    check()
                await desk.finish(spending, *lines, session=session, caller=caller)
            finally:
                spending.post()
                spending.release()
            return sum(line.usage.output_tokens for line in lines)

        tasks = [asyncio.create_task(request(number)) for number in range(200)]
        await asyncio.sleep(0)
        for task in rng.sample(tasks, 20):
            task.cancel()
        ended = await gather(*tasks)
        check()
        refused = [one for one in ended if isinstance(one, WindowExceeded)]
        assert refused
        assert any(isinstance(one, int) for one in ended)
        for view in desk.windows.views():
            assert (view.reserved_tokens, view.reserved_nusd, view.in_flight) == (0, 0, 0)
        assert desk.view("all").used_tokens >= sum(one for one in ended if isinstance(one, int))


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32))
async def test_two_hundred_tasks_at_once_pass_no_limit_and_leave_nothing_reserved(seed: int) -> None:
    await storm(random.Random(seed))


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
async def test_many_schedules_of_two_hundred_tasks_pass_no_limit(seed: int) -> None:
    await storm(random.Random(seed))


async def test_nothing_is_held_where_no_window_counts_the_request(tmp_path: Path) -> None:
    async with budget(tmp_path, "") as desk:
        assert not desk.windows.is_active
        assert await desk.enter() is None
        assert desk.windows.views() == ()
        desk.windows.tick()
    async with budget(tmp_path, '[windows.a]\nscope = "key"\nof = ["carol"]\nmax_usd = 1') as desk:
        assert await desk.enter() is None


@pytest.mark.parametrize(
    ("window", "words", "told"),
    [
        ("max_tokens = 1100", "has 100 tokens of its 1,100 tokens left.*free again at 2026-09-22 00:00 UTC", BUDGET),
        ("max_usd = 0.0011", r"has \$0\.0001 of its \$0\.0011 left", BUDGET),
        ("max_tokens = 500", "may need 516 tokens; ask for a shorter answer", BUDGET),
        ("requests_per_minute = 1", "1 requests per minute", (60, "rate_limited")),
    ],
)
async def test_a_refusal_says_which_window_how_much_is_left_and_when_it_frees_up(
    tmp_path: Path, window: str, words: str, told: tuple[float, str]
) -> None:
    clock = ManualClock(1_790_002_000.0)
    async with budget(tmp_path, f'[windows.team]\nscope = "key"\n{window}', clock) as desk:
        if "500" not in window:
            await desk.spend(1_000, reserve=900)
        with pytest.raises(WindowExceeded, match=f'window "team" of key alice .*{words}') as refused:
            await desk.enter(500)
        assert refused.value.code == told[1]
        assert refused.value.retry_after_s == pytest.approx(told[0], abs=1)
        if "500" not in window:
            clock.advance(refused.value.retry_after_s)
            await desk.spend(500)


async def test_room_that_is_only_reserved_may_come_back_any_moment(tmp_path: Path) -> None:
    toml = '[windows.team]\nmax_tokens = 1000\n[windows.open]\nmax_parallel = 1\nscope = "key"'
    async with budget(tmp_path, toml) as desk:
        spending = await desk.enter(800)
        assert spending is not None
        with pytest.raises(WindowExceeded, match=r"816 tokens are reserved by requests") as refused:
            await desk.enter(300)
        assert refused.value.retry_after_s == 1.0
        with pytest.raises(WindowExceeded, match=r'"open" of key alice .* is full: 1 of 1 are in flight') as refused:
            await desk.enter(10)
        assert refused.value.code == "rate_limited"
        spending.release()
        await desk.spend(300)


async def test_thresholds_are_events(tmp_path: Path) -> None:
    async with budget(tmp_path, "[windows.team]\nmax_tokens = 1000") as desk:
        with desk.bus.subscribe() as events:
            for used in (790, 20, 150, 40):
                await desk.spend(used, reserve=1)
            told: list[Notice] = []
            told += [event for event in events.drain() if isinstance(event, Notice)]
        assert [(event.severity, event.code) for event in told] == [
            ("warn", "window_threshold"),
            ("warn", "window_threshold"),
            ("error", "window_threshold"),
        ]
        assert "has reached 95 %: 960 tokens of 1,000 tokens" in told[1].text


async def test_a_soft_window_makes_requests_cheaper_or_local_and_says_so(tmp_path: Path) -> None:
    soft = '[windows.soft]\nmax_usd = 0.001\non_exceed = "cheapest"\n'
    async with budget(tmp_path, soft) as desk:
        spending = await desk.enter(10, route="auto")
        assert spending is not None
        assert [c.deployment for c in desk.decide(spending).ranked] == ["dear", "cheap"]
        spending.release()
        await desk.spend(2_000)
        spending = await desk.enter(10, route="auto")
        assert spending is not None
        decision = desk.decide(spending)
        assert [c.deployment for c in decision.ranked] == ["cheap"]
        assert decision.candidates[-1].reason == 'window "soft" is used up: only the cheapest, cheap'
        assert 'dear: window "soft" is used up' in decision.explanation
        assert decision is desk.decide(spending)
        spending.release()
    local = '[windows.soft]\nmax_usd = 0.0\non_exceed = "local_only"\n[providers.far]\nkind = "openai"\n'
    local += '[deployments.far]\nprovider = "far"\nmodel = "gpt-4o"\n[routes.both]\ndeployments = ["far", "cheap"]\n'
    local += '[routes.far-only]\ndeployments = ["far"]\n'
    async with budget(tmp_path, local) as desk:
        spending = await desk.enter(10, route="both")
        assert spending is not None
        decision = desk.decide(spending, "both")
        assert [c.deployment for c in decision.ranked] == ["cheap"]
        assert decision.candidates[-1].reason == 'window "soft" is used up: local deployments only'
        spending.release()
        spending = await desk.enter(10, route="far-only")
        assert spending is not None
        with pytest.raises(WindowExceeded, match='window "soft"'):
            desk.decide(spending, "far-only")
        spending.release()


UNPRICED = """
[providers.odd]
kind = "custom"
base_url = "https://models.example/v1"
dialect = "openai_chat"
[deployments.odd]
provider = "odd"
model = "odd"
[windows.money]
max_usd = 1.0
[routes.odd]
deployments = ["odd"]
"""


async def test_a_dollar_window_leaves_out_what_has_no_price_unless_one_is_assumed(tmp_path: Path) -> None:
    async with budget(tmp_path, UNPRICED) as desk:
        spending = await desk.enter(10, route="odd")
        assert spending is not None
        decision = desk.decide(spending, "odd")
        assert decision.is_empty
        assert 'its price is unknown and window "money" counts dollars' in decision.candidates[0].reason
        spending.release()
    assumed = UNPRICED + "assume_price = { input = 100, output = 200 }\n"
    async with budget(tmp_path, assumed, is_killed=True) as desk:
        spending = await desk.enter(1_000, route="odd")
        assert spending is not None
        assert not desk.decide(spending, "odd").is_empty
        assert desk.view("money").reserved_nusd == 1_000 * 200_000 + 16 * 100_000
        record = desk.attempt(500, "odd")
        spending.settle(record)
        await desk.finish(spending, record, route="odd")
        assert desk.view("money").used_nusd == 500 * 200_000
    async with budget(tmp_path, assumed) as desk:
        assert desk.view("money").used_nusd == 500 * 200_000


async def test_a_deployments_window_sends_requests_to_the_others(tmp_path: Path) -> None:
    async with budget(tmp_path, '[windows.box]\nscope = "deployment"\nof = ["dear"]\nmax_parallel = 1') as desk:
        first = await desk.enter(10, route="auto")
        second = await desk.enter(10, route="auto")
        assert first is not None
        assert second is not None
        dear = desk.runtime.table.deployments["dear"]
        assert [c.deployment for c in desk.decide(second).ranked] == ["dear", "cheap"]
        assert not await first.begin(dear)
        assert await second.begin(dear) == 'window "box" has no room (max_parallel)'
        decision = desk.decide(second)
        assert [c.deployment for c in decision.ranked] == ["cheap"]
        assert decision.candidates[-1].reason == 'window "box" has no room (max_parallel)'
        with pytest.raises(WindowExceeded, match="1 of 1 are in flight"):
            second.refuse()
        first.settle(desk.attempt(5, "dear"))
        assert not await second.begin(dear)
        for spending in (first, second):
            spending.release()
        assert desk.view("box").in_flight == 0


async def test_who_does_not_fit_waits_in_order_where_the_window_says_so(tmp_path: Path) -> None:
    toml = '[limits]\nmax_queued = 3\n[windows.one]\nmax_parallel = 1\non_exceed = "queue"\nscope = "key"'
    async with budget(tmp_path, toml) as desk:
        first = await desk.enter()
        assert first is not None
        order: list[int] = []

        async def wait(number: int) -> None:
            spending = await desk.enter()
            order.append(number)
            await asyncio.sleep(0)
            assert spending is not None
            spending.release()

        waiting = [asyncio.create_task(wait(number)) for number in range(4)]
        await until(lambda: waiting[3].done())
        with pytest.raises(Exception, match="3 requests wait for windows already"):
            await waiting[3]
        waiting[1].cancel()
        await asyncio.sleep(0)
        other = await desk.enter(caller=BOB)  # another key's window is its own
        assert other is not None
        first.release()
        await gather(*waiting)
        assert order == [0, 2]
        other.release()
        assert [view.in_flight for view in desk.windows.views()] == [0, 0]


async def test_who_waits_too_long_is_refused_and_a_new_period_lets_others_in(tmp_path: Path) -> None:
    clock = ManualClock()
    toml = '[limits]\nqueue_timeout_s = 0.05\n[windows.m]\nperiod = "minute"\nmax_tokens = 500\non_exceed = "queue"'
    async with budget(tmp_path, toml, clock) as desk:
        await desk.spend(450)
        with pytest.raises(WindowExceeded, match='window "m"'):
            await desk.enter(400)
        desk.apply(toml.replace("0.05", "5.0"))
        waiting = asyncio.create_task(desk.enter(400))
        await asyncio.sleep(0)
        clock.advance(60)
        desk.windows.tick()
        spending = await asyncio.wait_for(waiting, 2)
        assert spending is not None
        spending.release()


async def test_counts_outlive_an_orderly_end_and_a_kill_to_the_nano_dollar(tmp_path: Path) -> None:
    clock = ManualClock()
    async with budget(tmp_path, FOUR, clock) as desk:
        for number in range(7):
            await desk.spend(100 + number, session=f"s-{number % 2}")
    total = sum(range(100, 107))
    for _ in range(3):
        async with budget(tmp_path, FOUR, clock, is_killed=True) as desk:
            view = desk.view("all")
            assert (view.used_tokens, view.used_nusd, view.in_doubt_nusd) == (total, total * 1_000, 0)
            assert desk.view("talk", "s-1").used_tokens == 101 + 103 + 105
            assert desk.view("mine").used_tokens == total
    async with budget(tmp_path, FOUR, clock, is_killed=True) as desk:
        desk.windows.tick()
        await desk.spend(1_000)
        desk.windows.tick()
        open_one = await desk.enter(2_000)
        assert open_one is not None
        await desk.spend(500)
        total += 1_500
        sum_before = desk.view("all")
    async with budget(tmp_path, FOUR, clock) as desk:
        view = desk.view("all")
        assert (view.used_tokens, view.used_nusd) == (total, total * 1_000)
        # what was in flight is held, and little more: what the last request used less than its 516, and a block
        most = sum_before.reserved_tokens + 16 + 20_000 // 64
        assert sum_before.reserved_tokens <= view.in_doubt_tokens <= most
        assert view.used_nusd + view.in_doubt_nusd <= (view.max_nusd or 0)
    async with budget(tmp_path, FOUR, clock) as desk:
        assert desk.view("all").in_doubt_tokens == view.in_doubt_tokens
        clock.advance(86_400)
        assert (desk.view("all").used_tokens, desk.view("all").in_doubt_tokens) == (0, 0)
        assert desk.view("way").used_nusd == total * 1_000


async def test_a_window_that_is_new_counts_what_was_used_before_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with budget(tmp_path, "", clock) as desk:
        await desk.spend(300)
        await desk.spend(200, caller=BOB, route="plain")
        desk.apply('[windows.day]\nscope = "key"\nmax_tokens = 1000\n[windows.web]\nscope = "project"\nmax_usd = 1')
        await desk.spend(50)
        assert desk.view("day", "alice").used_tokens == 350
        assert desk.view("web", "web").used_nusd == 550_000
        desk.apply('[windows.day]\nscope = "key"\nmax_tokens = 2000')
        assert desk.view("day", "bob").used_tokens == 200
        assert (desk.view("day", "alice").used_tokens, desk.view("day", "alice").max_tokens) == (350, 2_000)
        await desk.spend(50)
        desk.apply('[windows.day]\nscope = "key"\nof = ["alice"]\nperiod = "hour"\nmax_tokens = 2000')
        await desk.windows.fill()
        assert [(view.used_tokens, view.in_doubt_tokens) for view in desk.windows.views()] == [(400, 0)]


async def test_a_keys_own_window_binds_that_key_alone(tmp_path: Path) -> None:
    def give(desk: Desk) -> None:
        limits = WindowConfig(scope="key", of=(ALICE.key_id,), max_tokens=500)
        desk.windows.apply_keys([(f"key:{ALICE.key_id}", limits)])

    async with budget(tmp_path, "", before=give) as desk:
        await desk.spend(400)
        with pytest.raises(WindowExceeded, match=r"of key alice"):
            await desk.enter(400)
        assert await desk.enter(400, caller=BOB) is None
        desk.windows.apply_keys([])
        assert not desk.windows.is_active


async def test_a_clock_that_jumps_does_not_free_a_window(tmp_path: Path) -> None:
    clock = ManualClock()
    async with budget(tmp_path, "[windows.day]\nmax_tokens = 1000", clock) as desk:
        await desk.spend(900)
        clock.step_wall(86_400 * 3)
        desk.windows.tick()
        with pytest.raises(WindowExceeded):
            await desk.enter(500)
        clock.step_wall(-86_400 * 6)
        desk.windows.tick()
        with pytest.raises(WindowExceeded) as refused:
            await desk.enter(500)
        assert refused.value.retry_after_s <= 86_400
        clock.step_wall(86_400 * 3)
        desk.windows.tick()
        assert desk.view("day").used_tokens == 900


async def test_without_the_disk_dollar_windows_refuse_and_token_windows_serve(tmp_path: Path) -> None:
    both = "[windows.money]\nmax_usd = 1\n" + '[windows.count]\nscope = "route"\nof = ["auto"]\nmax_tokens = 100000'
    async with budget(tmp_path, both, wait_s=0.3) as desk:
        await desk.spend(10)
        lock = sqlite3.connect(desk.database.path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        small = await desk.enter(1)  # within the lease
        assert small is not None
        small.release()
        with pytest.raises(StorageError, match='window "money" counts dollars and cannot be held'):
            await desk.enter(50_000)
        assert (desk.view("money").reserved_nusd, desk.view("money").in_flight) == (0, 0)
        desk.apply(both.replace("[windows.money]\nmax_usd = 1", "[windows.money]\nmax_parallel = 5"))
        served = await desk.enter(50_000, route="auto")
        assert served is not None
        assert desk.view("count").reserved_tokens > 50_000
        served.release()
        lock.execute("ROLLBACK")
        lock.close()
        await until(lambda: desk.database.state() == "ok")
        desk.apply(both)
        await desk.spend(50_000)
        assert desk.view("money").used_nusd == 50_010_000
