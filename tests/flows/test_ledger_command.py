"""`atp-console ledger` on a running engine: verified, exported, compared with a vendor's file; and assumed prices."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from atp_console.cli import main
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Upstream, answer

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
REPLY = (
    b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":10,'
    b'"total_tokens":1010}}'
)
ASSUMED = """
[routes.auto.assume_price]
input = 3.0
output = 15.0
[windows.all]
max_usd = 5.0
"""


async def _command(engine: Running, *words: str) -> int:
    return await asyncio.to_thread(main, ["ledger", "--data-dir", str(engine.paths.data_dir), *words])


async def test_the_ledger_is_verified_exported_and_reconciled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Upstream(answer(REPLY)) as upstream:
        config = upstream_config({"one": upstream.port}, extra=ASSUMED).replace("is_local = true", "is_local = false")
        async with running(tmp_path, config) as engine:
            for _ in range(3):
                assert (await engine.post("/v1/chat/completions", BODY)).status == 200
            assert await _command(engine, "verify") == 0
            assert "1 window counters" in capsys.readouterr().out
            target = tmp_path / "lines.csv"
            assert await _command(engine, "export", "--output", str(target)) == 0
            with target.open(newline="") as file:
                lines = list(csv.DictReader(file))
            # 1000 x 3 + 10 x 15 = 3150 micro-dollars, by the route's stand-in price
            assert [(line["cost_nusd"], line["price_state"]) for line in lines] == [("3150000", "assumed")] * 3
            sums = (await engine.admin("GET", "/admin/ledger/sums?step=day&by=route&since=0&until=0")).json()
            assert sums == []
            disk = (await engine.admin("GET", "/admin/storage")).json()
            assert disk["database_bytes"] > 0 and disk["free_bytes"] > 0 and disk["state"] == "ok"
            model, day = lines[0]["model"], lines[0]["started_at"]
            theirs = tmp_path / "openai.csv"
            head = "start_time,model,input_tokens,output_tokens\n"
            theirs.write_text(f"{head}{int(float(day))},{model},3000,30\n")
            capsys.readouterr()
            assert await _command(engine, "reconcile", str(theirs)) == 0
            theirs.write_text(f"{head}{int(float(day))},{model},3100,30\n")
            assert await _command(engine, "reconcile", str(theirs)) == 1
            assert "3100 / 3000" in capsys.readouterr().out
            with closing(sqlite3.connect(engine.paths.database)) as other:
                other.execute("UPDATE attempts SET cost_nusd = cost_nusd + 1 WHERE line = 2001")
                other.commit()
            assert await _command(engine, "verify") == 1
            assert "nusd 9450000, lines say 9450001" in capsys.readouterr().out
