"""The dashboard in a real Chromium on a whole engine with simulated models: from first run to cancelling."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
from playwright.async_api import Browser, Page, expect

from tests.support.chromium import MARKS
from tests.support.running import SIMULATED, Running, running

CONFIG = (
    SIMULATED
    + """
[deployments.refusing]
provider = "flaky"
model = "sim-refusing"

[providers.flaky]
kind = "simulated"

[providers.flaky.profiles.sim-refusing]
rate_429 = 1.0

[deployments.sim-slow]
provider = "slow"
model = "sim-slow"

[providers.slow]
kind = "simulated"

[providers.slow.profiles.sim-slow]
ttft_ms = 20
tokens_per_s = 20
output_tokens = 400

[routes.tried]
deployments = ["refusing", "sim-instant"]
"""
)

pytestmark = MARKS


async def open_dashboard(browser: Browser, engine: Running) -> Page:
    page = await browser.new_page()
    page.set_default_timeout(5_000)
    code = (await engine.admin("POST", "/admin/launch-code", b"{}")).json()["code"]
    await page.goto(f"{engine.url}/ui/#code={code}")
    await page.wait_for_selector("body[data-ready]")
    return page


async def stream(client: openai.AsyncOpenAI, model: str) -> str:
    """The answer's text, or the error that ended it."""
    text = ""
    try:
        chunks = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "tell me about routers"}], stream=True
        )
        async for chunk in chunks:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    except openai.APIError as error:
        return f"ended: {error}"
    return text


async def test_from_the_first_run_to_a_reason_and_a_cancelled_stream(browser: Browser, tmp_path: Path) -> None:
    async with running(tmp_path, CONFIG) as engine:
        page = await open_dashboard(browser, engine)
        await expect(page.locator("#connections")).to_contain_text(f"{engine.url}/v1")
        await page.locator("#try").click()
        row = page.locator("#requests tr")
        await expect(row.locator(".state")).to_have_text("✓ ok")

        async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0) as client:
            answer = await stream(client, "tried")
            first = row.first
            await expect(first.locator(".line")).to_have_text("tried ⇢ sim-instant (2)")
            await first.click()
            await expect(page.locator("#attempts tr")).to_have_count(2)
            await expect(page.locator("#attempts .state").first).to_have_text("✗ rate limited 429")
            await expect(page.locator("#candidates .chosen th")).to_have_text("sim-instant")
            await expect(page.locator("#explanation")).to_contain_text("refusing")
            assert await page.locator("#response-body pre").text_content() == answer

            await page.goto(f"{engine.url}/ui/?q=state%3Astream")
            cut = asyncio.create_task(stream(client, "sim-slow"), name="client")
            await row.first.click()
            await expect(page.locator("#tail")).not_to_be_empty()
            await page.locator("#cancel").click()
            await page.locator("#confirm button[value=yes]").click()
            await expect(page.locator("#state")).to_have_text("⊘ cancel")
            assert "cancelled" in await cut
        await page.close()
