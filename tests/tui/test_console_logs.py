"""The Logs screen as a user sees it: the engine's words, the acts of operators, one record whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atp_console.screens.request import RequestScreen
from atp_engine.core.log_views import AuditView, LogLine
from tests.support.console import NOW, ReplaySource
from tests.support.console_driver import Driver, driven
from tests.support.console_scene import FAILOVER_ID, busy_source

Golden = Callable[[Driver, str], None]


def _line(number: int, clock: str, level: str, event: str, fields: dict[str, object]) -> LogLine:
    return LogLine(number, f"2025-10-09T{clock}Z", level, "atp_engine", event, "", fields)


def _source() -> ReplaySource:
    source = busy_source()
    source.log_lines = [
        LogLine(
            9,
            "2025-10-09T08:53:19.120Z",
            "warning",
            "atp_engine",
            "circuit opened",
            "",
            {"deployment": "gpt-5", "failed": 5},
        ),
        LogLine(
            8,
            "2025-10-09T08:53:11.000Z",
            "error",
            "atp_engine.api.llm",
            "request failed by a bug",
            FAILOVER_ID,
            {"error": "KeyError: \x1b[31m'nope'", "trace": ["atp_engine/api/llm.py:12 serve"]},
        ),
        LogLine(
            7,
            "2025-10-09T08:50:00.000Z",
            "info",
            "atp_engine",
            "config version 3 is live",
            "",
            {"code": "config_applied"},
        ),
        _line(6, "08:49:00.000", "debug", "swept 3 sessions", {}),
    ]
    source.audited = [
        AuditView(2, NOW - 60, "an operator with a token", "request.cancelled", FAILOVER_ID, ""),
        AuditView(1, NOW - 600, "engine", "key.created", "first", "written to client.key"),
    ]
    return source


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (140, 40)])
async def test_logs(golden: Golden, size: tuple[int, int]) -> None:
    async with driven(_source(), size=size) as console:
        await console.press("7")
        await console.until(lambda: "circuit opened" in console.text())
        await console.press("j")
        await console.until(lambda: console.app.screen.size == console.app.size)
        await console.until(lambda: "▌ 08:53:11" in console.text())
        golden(console, "logs")


async def test_level_words_and_enter_lead_from_a_line_to_its_request() -> None:
    async with driven(_source(), size=(140, 40)) as console:
        await console.press("7")
        await console.until(lambda: "circuit opened" in console.text())
        assert "swept" not in console.text()
        await console.press("v", "v", "v")
        assert "swept 3 sessions" in console.text(), "after error comes debug again"
        await console.press("slash")
        await console.type("bug nope")
        assert "circuit opened" not in console.text()
        assert "1 of 6" in console.text()
        await console.press("enter", "enter")
        assert isinstance(console.app.screen, RequestScreen)


async def test_an_act_leads_to_what_it_was_done_to_and_a_record_can_be_copied() -> None:
    async with driven(_source(), size=(140, 40)) as console:
        await console.press("7")
        await console.until(lambda: "key.created" in console.text())
        await console.press("tab", "y", "t")
        assert "action: request.cancelled" in console.app.clipboard
        await console.press("enter")
        assert isinstance(console.app.screen, RequestScreen)
