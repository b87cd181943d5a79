"""Pinning a request from the command line and the admin API: what is kept, who did it, and what the disk says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from atp_console.cli import main
from tests.support.running import SIMULATED, running

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


async def test_a_request_is_pinned_told_audited_and_let_go_and_the_disk_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        request_id = (await engine.post("/v1/chat/completions", BODY)).headers["x-atp-request-id"]

        async def said(*words: str) -> str:
            command = ["storage", "--data-dir", str(engine.paths.data_dir), *words]
            assert await asyncio.to_thread(main, command) == 0
            return capsys.readouterr().out

        assert await said("pin", request_id) == f"{request_id} is pinned; 1 requests are\n"
        assert await said("pins") == f"{request_id}\n"
        again = await engine.admin("POST", f"/admin/requests/{request_id}/pin")
        assert again.json() == {"request_id": request_id, "is_pinned": True, "pinned": 1}
        assert "1 requests pinned" in await said("show")
        assert (await engine.admin("POST", "/admin/requests/req_nobody/pin")).status == 404
        assert (await engine.admin("GET", f"/admin/requests/{request_id}")).json()["is_pinned"] is True
        acts = (await engine.admin("GET", "/admin/audit")).json()["entries"]
        assert [(one["action"], one["target"]) for one in acts if "pin" in one["action"]] == [
            ("request.pinned", request_id)
        ]
        view = (await engine.admin("GET", "/admin/storage")).json()
        assert 0 < view["data_bytes"] < view["max_disk_bytes"] and view["pinned"] == 1
        assert view["data_bytes"] >= view["database_bytes"] + view["wal_bytes"] + view["bodies_bytes"]
        assert (await engine.admin("GET", "/healthz")).json()["checks"]["disk"] == "ok"
        assert b"atp_storage_limit_bytes 8589934592" in (await engine.admin("GET", "/metrics")).body
    async with running(tmp_path, SIMULATED) as engine:
        assert (await engine.admin("GET", "/admin/pins")).json() == [request_id], "a pin outlives the engine"
        let_go = await engine.admin("POST", f"/admin/requests/{request_id}/unpin")
        assert let_go.json() == {"request_id": request_id, "is_pinned": False, "pinned": 0}
