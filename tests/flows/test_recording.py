"""What is on record, and from when: a request that has ended is found at once, whatever the disk does."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from tests.support.running import SIMULATED, running

BODY = {"model": "sim-instant", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


async def test_a_request_that_has_just_ended_is_listed_and_found_before_it_is_committed(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        first = (await engine.post("/v1/chat/completions", BODY)).headers["x-atp-request-id"]
        with contextlib.closing(sqlite3.connect(engine.paths.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the engine's commits wait now
            call = asyncio.create_task(engine.post("/v1/chat/completions", BODY))
            await engine.until(lambda: len(engine.engine.observatory.snapshot().requests) == 2)
            await engine.until(lambda: engine.engine.observatory.snapshot().requests[0].state == "ok")
            second = engine.engine.observatory.snapshot().requests[0].id
            page = (await engine.admin("GET", "/admin/requests?q=&limit=10&before=")).json()["requests"]
            assert [view["id"] for view in page] == [second, first]
            assert not call.done()
            found = asyncio.create_task(engine.request(second))
            other.execute("ROLLBACK")
        assert (await found)["attempts"][0]["outcome"] == "ok"
        assert (await call).headers["x-atp-request-id"] == second
        page = (await engine.admin("GET", "/admin/requests?q=&limit=10&before=")).json()["requests"]
        assert [view["id"] for view in page] == [second, first]
