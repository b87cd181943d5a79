"""One request, four places: what the SDK was told, the database, the console and the page say the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import anthropic
import openai
from playwright.async_api import Browser

from atp_console.format import count
from atp_console.state import ConsoleState
from atp_engine.client.endpoint import Endpoint
from atp_engine.client.engine_client import connect
from atp_engine.core.views import RequestView
from tests.support.chromium import MARKS
from tests.support.running import SIMULATED, Running, running
from tests.web.test_dashboard_on_engine import open_dashboard

PROMPT = "Explain what a router does, in some detail."
_ROW = """
    SELECT prompt_tokens, output_tokens, cost_nusd, ttft_ms, duration_ms, state
    FROM requests JOIN kinds ON kinds.id = requests.kind WHERE requests.id = ?
"""

pytestmark = MARKS


async def send_four(engine: Running) -> dict[str, tuple[int, int]]:
    """Plain and streamed through both SDKs; prompt and output tokens by request id, as the SDK was told."""
    told: dict[str, tuple[int, int]] = {}
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(model="sim-fast", messages=messages, max_tokens=20)
        usage = raw.parse().usage
        assert usage is not None
        told[raw.headers["x-atp-request-id"]] = (usage.prompt_tokens, usage.completion_tokens)
        stream = await client.chat.completions.with_raw_response.create(
            model="sim-fast", messages=messages, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
        last = [chunk async for chunk in stream.parse()][-1].usage
        assert last is not None
        told[stream.headers["x-atp-request-id"]] = (last.prompt_tokens, last.completion_tokens)
    async with anthropic.AsyncAnthropic(base_url=engine.url, api_key=engine.key, max_retries=0) as other:
        whole = await other.messages.with_raw_response.create(model="sim-fast", messages=messages, max_tokens=20)
        message = await whole.parse()
        told[whole.headers["x-atp-request-id"]] = (message.usage.input_tokens, message.usage.output_tokens)
        async with other.messages.stream(model="sim-fast", messages=messages, max_tokens=20) as events:
            final = await events.get_final_message()
            told[events.response.headers["x-atp-request-id"]] = (final.usage.input_tokens, final.usage.output_tokens)
    return told


async def console_rows(engine: Running) -> dict[str, RequestView]:
    """The rows as the terminal console holds them after its snapshot."""
    client = connect(Endpoint(url=engine.url, socket=str(engine.paths.socket), token=engine.admin_token))
    try:
        state = ConsoleState()
        state.apply(await client.snapshot(), now=0.0)
    finally:
        await client.aclose()
    return {view.id: view for request_id in (await _ids(engine)) if (view := state.request(request_id)) is not None}


async def _ids(engine: Running) -> list[str]:
    page = await engine.admin("GET", "/admin/requests?q=&limit=10&before=")
    return [view["id"] for view in page.json()["requests"]]


async def test_sdk_database_console_and_page_agree(browser: Browser, tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        told = await send_four(engine)
        rows = await console_rows(engine)
        assert rows.keys() == told.keys()
        database = sqlite3.connect(f"file:{engine.paths.database}?mode=ro", uri=True)
        try:
            for request_id, (prompt, output) in told.items():
                view = rows[request_id]
                stored = database.execute(_ROW, (request_id,)).fetchone()
                assert stored[:2] == (prompt, output) == (view.prompt_tokens, view.output_tokens)
                assert stored[2:] == (view.cost_nusd, view.ttft_ms, view.duration_ms, "ok")
                assert view.cost_nusd > 0
        finally:
            database.close()
        page = await open_dashboard(browser, engine)
        for request_id, view in rows.items():
            shown = await page.locator(f"#requests tr:has(a[href*='{request_id}'])").inner_text()
            cells = shown.split()
            assert count(view.prompt_tokens) in cells, shown
            assert count(view.output_tokens) in cells, shown
        await page.context.close()
