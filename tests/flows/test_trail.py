"""Acts and records of a running engine, as the admin API tells them."""

from __future__ import annotations

import logging
from pathlib import Path

from tests.support.running import running, upstream_config


async def test_an_act_is_on_record_and_the_log_can_be_read_by_level_without_its_secrets(tmp_path: Path) -> None:
    async with running(tmp_path, upstream_config({"only": 9})) as engine:
        logging.getLogger("atp_engine.test").warning("something is odd")
        logging.getLogger("atp_engine.test").error(
            "something \x1b[31mbroke", extra={"request_id": "req_1", "api_key": "sk-12345678901234567890"}
        )
        line, *_ = (await engine.admin("GET", "/admin/logs?level=error&limit=5")).json()["lines"]
        assert (line["event"], line["request_id"], line["level"]) == ("something broke", "req_1", "error")
        assert "sk-1234" not in str(line)
        events = [one["event"] for one in (await engine.admin("GET", "/admin/logs?level=warning")).json()["lines"]]
        assert events[:2] == ["something broke", "something is odd"]
        assert (await engine.admin("GET", "/admin/logs?level=loud")).status == 400

        await engine.admin("POST", "/admin/launch-code", b"{}")
        await engine.admin("POST", "/admin/launch-code", b"{}")
        await engine.engine._parts.repository.settled()
        first = (await engine.admin("GET", "/admin/audit?limit=1")).json()
        assert [entry["action"] for entry in first["entries"]] == ["dashboard.opened"]
        second = (await engine.admin("GET", f"/admin/audit?limit=1&before={first['next_before']}")).json()
        assert second["entries"][0]["number"] == first["entries"][0]["number"] - 1
        assert (await engine.admin("GET", "/admin/audit?before=x")).status == 400
