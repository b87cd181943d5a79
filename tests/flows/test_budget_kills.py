"""kill -9 under load, again and again: no acknowledged charge, key or audit line is lost, and none counts twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import Calls
from tests.support.process import Home, Served, serving

CONFIG = """
[server]
port = 0
[providers.sim]
kind = "simulated"
[deployments.sim]
provider = "sim"
model = "sim-instant"
price = { input = 1, output = 2 }
[routes.auto]
deployments = ["sim"]
[windows.all]
max_tokens = 50_000_000
max_usd = 100.0
[windows.each]
scope = "key"
period = "month"
max_usd = 100.0
[windows.talk]
scope = "session"
max_tokens = 10_000_000
[windows.tight]
scope = "key"
of = ["tight"]
max_tokens = 1_500
"""
CLIENTS = 8
_SUM = """
    SELECT coalesce(sum(attempts.input_tokens + attempts.output_tokens + attempts.cache_read_tokens
            + cache_write_tokens), 0),
        coalesce(sum(attempts.cost_nusd), 0)
    FROM attempts JOIN requests ON requests.number = line / 1000 JOIN kinds ON kinds.id = requests.kind
"""


class Seen:
    """What the engine has acknowledged over all its lives."""

    def __init__(self) -> None:
        self.requests: set[str] = set()
        self.keys: set[str] = set()
        self.ended: set[str] = set()
        self.tight = ""
        self.refused = 0


async def admin(calls: Calls, method: str, path: str, body: Any = None) -> Any:
    answer = await calls.admin(method, path, b"" if body is None else json.dumps(body).encode())
    assert answer.status == 200, answer.body
    return answer.json()


async def load_and_kill(engine: Served, seen: Seen, acknowledgements: int) -> None:
    """Clients at full speed, one of them making and ending keys, until so many answers came; then SIGKILL."""
    calls, enough, got = engine.calls, asyncio.Event(), 0
    if not seen.tight:
        seen.tight = (await admin(calls, "POST", "/admin/keys", {"name": "tight"}))["secret"]

    async def call(number: int) -> None:
        nonlocal got
        body = {"model": "auto", "max_tokens": 30, "messages": [{"role": "user", "content": f"hello {number % 3}"}]}
        token = seen.tight if number % 4 == 0 else None
        answer = await calls.call("POST", "/v1/chat/completions", json.dumps(body).encode(), token=token)
        if answer.status == 429:
            seen.refused += 1
        else:
            assert answer.status == 200, answer.body
            json.loads(answer.body)  # all of it has arrived
            seen.requests.add(answer.headers["x-atp-request-id"])
        got += 1
        if got >= acknowledgements:
            enough.set()

    async def client(number: int) -> None:
        while True:
            await call(number)

    async def make_keys() -> None:
        while True:
            wish = {"name": "k", "windows": [{"max_usd": 1.0}]}
            made = await admin(calls, "POST", "/admin/keys", wish)
            seen.keys.add(made["key"]["id"])
            if len(seen.keys) % 2:
                await admin(calls, "POST", f"/admin/keys/{made['key']['id']}/revoke")
                seen.ended.add(made["key"]["id"])

    tasks = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    tasks.append(asyncio.create_task(make_keys()))
    waiting = asyncio.create_task(enough.wait())
    async with asyncio.timeout(30):
        await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    engine.kill()
    await asyncio.to_thread(engine.wait)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    wrong = [error for error in ended if isinstance(error, AssertionError)]
    assert not wrong


async def check(engine: Served, seen: Seen) -> None:
    """What the next life says, against the ledger and against what was acknowledged."""
    calls = engine.calls
    windows = await admin(calls, "GET", "/admin/windows")
    with contextlib.closing(sqlite3.connect(engine.data_dir / "atp.db")) as rows:
        stored = [row[0] for row in rows.execute("SELECT id FROM requests")]
        assert len(stored) == len(set(stored))
        assert not seen.requests - set(stored)
        subjects = {"all": "1", "each": "key_name = :it", "tight": "key_name = :it", "talk": "session_id = :it"}
        counted = 0
        for view in windows:
            if view["name"] in subjects:
                query = f"{_SUM} WHERE {subjects[view['name']]}"
                used = rows.execute(query, {"it": view["subject"]}).fetchone()
                assert (view["used_tokens"], view["used_nusd"]) == used, view
                counted += 1
            assert view["reserved_tokens"] == view["reserved_nusd"] == view["in_flight"] == 0
            assert view["used_tokens"] + view["in_doubt_tokens"] <= (view["max_tokens"] or 10**18), view
            assert view["used_nusd"] + view["in_doubt_nusd"] <= (view["max_nusd"] or 10**18), view
        assert counted >= 5
        made = {row[0] for row in rows.execute("SELECT target FROM audit WHERE action = 'key.created'")}
        over = [row[0] for row in rows.execute("SELECT target FROM audit WHERE action = 'key.revoked'")]
        assert not seen.keys - made
        assert not seen.ended - set(over)
        assert len(over) == len(set(over))
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    keys = {key["id"]: key for key in await admin(calls, "GET", "/admin/keys")}
    assert not seen.keys - keys.keys()
    assert all(keys[ended]["revoked_at"] is not None for ended in seen.ended)


async def kill_often(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    home, seen = Home(folder), Seen()
    home.write_config(CONFIG)
    for _ in range(kills):
        with serving(home) as engine:
            await check(engine, seen) if seen.requests else None
            await load_and_kill(engine, seen, rng.randint(20, 150))
    with serving(home) as engine:
        await check(engine, seen)
        assert seen.refused
        assert len(seen.keys) > kills // 2


async def test_three_kills_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill_often(tmp_path, kills=3, seed=7443)


@pytest.mark.long
@pytest.mark.parametrize("part", range(5))
async def test_fifty_kills_under_load_lose_and_double_nothing(tmp_path: Path, part: int) -> None:
    await kill_often(tmp_path, kills=10, seed=int(time.time()) + part)
