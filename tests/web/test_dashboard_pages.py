"""The dashboard's pages beside Live in a real Chromium on a whole engine: keys, models, metrics, config, logs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.chromium import MARKS
from tests.support.running import SIMULATED, Running, running

PAGES = ("metrics", "models", "keys", "config", "logs")
WINDOW = """
[windows.daily]
scope = "everything"
period = "day"
max_tokens = 1000000
"""

pytestmark = MARKS


@dataclass
class Visit:
    """A logged-in browser page on a running engine, and what the page complained of."""

    browser: Browser
    engine: Running
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def go(self, name: str) -> Page:
        await self.page.goto(f"{self.engine.url}/ui/{name}")
        await self.page.wait_for_selector("body[data-ready]")
        return self.page

    async def said(self, text: str) -> None:
        await expect(self.page.locator("#note")).to_contain_text(text)


async def enter(browser: Browser, engine: Running, token: str) -> Visit:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(5_000)
    visit = Visit(browser, engine, page)
    page.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    await page.goto(f"{engine.url}/ui/login")
    await page.fill("#token", token)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("body[data-ready]")
    return visit


async def ask(visit: Visit, key: str) -> int:
    """The status of one chat request with this key."""
    body = b'{"model":"sim-instant","messages":[{"role":"user","content":"hello"}]}'
    return (await visit.engine.call("POST", "/v1/chat/completions", body, token=key)).status


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def visit(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Visit]:
    """An engine that has served one request, seen by its admin."""
    folder = tmp_path_factory.mktemp("dashboard")
    async with running(folder, SIMULATED + WINDOW) as engine:
        await engine.admin("POST", "/admin/test-request", b'{"model":"sim-instant"}')
        admin = await enter(browser, engine, engine.admin_token)
        yield admin
        await admin.page.context.close()
    assert admin.complaints == []


async def test_a_key_is_made_shown_once_rotated_and_revoked(visit: Visit) -> None:
    page = await visit.go("keys")
    await expect(page.locator("#windows tr")).to_contain_text(["daily"])
    await expect(page.locator("#windows")).to_contain_text("of 1.0M")
    await page.click("#new-key")
    await page.fill("#key-form [name=name]", "laptop")
    await page.fill("#key-form [name=models]", "sim-instant")
    await page.select_option("#key-form [name=period]", "day")
    await page.fill("#key-form [name=max_usd]", "2.5")
    await page.click("#key-form [type=submit]")
    await expect(page.locator("#made-title")).to_have_text("Key laptop is made")
    secret = await page.locator("#secret").inner_text()
    assert await ask(visit, secret) == 200
    row = page.locator("#keys tr", has_text="laptop")
    await expect(row).to_contain_text("$2.50 per day")
    await expect(row).to_contain_text("by sim-instant")

    await row.get_by_text("Rotate…").click()
    await page.click("#confirm-yes")
    await expect(page.locator("#made-title")).to_have_text("New secret of laptop")
    assert await page.locator("#secret").inner_text() != secret
    assert await ask(visit, secret) == 401

    await row.get_by_text("Revoke…").click()
    await page.keyboard.press("Enter")  # the default is no
    await expect(row).to_contain_text("● active")
    await row.get_by_text("Revoke…").click()
    await page.click("#confirm-yes")
    await expect(row).to_contain_text("⊘ revoked")
    await page.reload()
    await page.wait_for_selector("body[data-ready]")
    assert await page.locator("#secret").inner_text() == ""

    await page.click("#new-key")
    await page.fill("#key-form [name=name]", "broken")
    await page.fill("#key-form [name=routes]", "[")
    await page.select_option("#key-form [name=period]", "day")
    await page.click("#key-form [type=submit]")  # a budget without a limit
    await visit.said("✗")
    refused = visit.complaints.pop()
    assert "400" in refused, refused  # Chromium tells every refused call; there was none before


async def test_a_deployment_is_disabled_and_enabled_again(visit: Visit) -> None:
    page = await visit.go("models")
    row = page.locator("#models tr", has_text="sim-instant").first
    await expect(row).to_contain_text("● healthy")
    await row.get_by_text("Disable…").click()
    await expect(page.locator("#confirm-title")).to_have_text("Disable sim-instant?")
    await page.click("#confirm-yes")
    await expect(row).to_contain_text("○ disabled")
    assert await ask(visit, visit.engine.key) == 503
    await row.get_by_text("Enable").click()
    await expect(row).to_contain_text("● healthy")
    await row.get_by_text("Probe").click()
    await visit.said("sim")


async def test_charts_sums_and_figures_say_the_same(visit: Visit) -> None:
    page = await visit.go("metrics?window=15m&group=provider")
    row = page.locator("#groups tr").first
    await expect(row).to_contain_text("sim")
    requests = int(await row.locator("td").first.inner_text())
    assert requests >= 1
    assert await page.locator(".chart path.line-0").first.get_attribute("d")
    await page.click(".figures summary")
    await expect(page.locator("#points tr")).to_have_count(60)
    shown = await page.locator("#points tr td:nth-of-type(1)").all_inner_texts()
    total = sum(int(text) for text in await page.locator("#groups tr td:nth-of-type(1)").all_inner_texts())
    assert sum(map(int, shown)) == total


async def test_the_config_is_checked_applied_and_rolled_back(visit: Visit) -> None:
    page = await visit.go("config")
    before = await page.locator("#text").input_value()
    await expect(page.locator("#state")).to_have_text("✓ as on the disk")
    await page.locator("#text").fill(before.replace("max_tokens = 1000000", "max_tokenz = 1000000"))
    await expect(page.locator("#state")).to_contain_text("problem")
    await expect(page.locator("#problems")).to_contain_text("max_tokens")
    await page.locator("#problems button", has_text="max_tokenz").click()
    before_cursor = "document.activeElement.value.slice(0, document.activeElement.selectionStart)"
    line = await page.evaluate(f"{before_cursor}.split('\\n').length")
    assert before.splitlines()[line - 1] == "max_tokens = 1000000"
    assert await page.locator("#apply").is_disabled()

    await page.locator("#text").fill(before.replace("max_tokens = 1000000", "max_tokens = 2000000"))
    await expect(page.locator("#state")).to_have_text("● changed, valid")
    await expect(page.locator("#changes")).to_contain_text("window daily changed")
    await page.keyboard.press("Control+s")
    await page.fill("#reason", "more room")
    await page.locator("#applying").get_by_text("Apply it").click()
    await visit.said("✓ Version 2 is live.")
    history = page.locator("#history li")
    await expect(history.first).to_contain_text("more room")
    await history.nth(1).get_by_text("Diff").click()
    await expect(page.locator("#diff")).to_contain_text("+max_tokens = 2000000")
    await history.nth(1).get_by_text("Roll back…").click()
    await page.click("#confirm-yes")
    await visit.said("with the text of version 1")
    assert await page.locator("#text").input_value() == before


async def test_logs_and_audit_tell_what_was_done(visit: Visit) -> None:
    logging.getLogger("atp_engine").warning("<b>something</b> was slow", extra={"request_id": "req_1"})
    page = await visit.go("logs")
    await expect(page.locator("#logs")).to_contain_text("▲ warning<b>something</b> was slow req_1")
    for act in ("key.created", "key.revoked", "config.applied", "deployment"):
        await expect(page.locator("#audit")).to_contain_text(act)
    await page.select_option("#level", "critical")
    await expect(page.locator("#logs-none")).to_be_visible()


async def test_every_page_fits_a_phone(visit: Visit) -> None:
    await visit.page.set_viewport_size({"width": 390, "height": 800})
    for name in PAGES:
        page = await visit.go(name)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, name
    await visit.page.set_viewport_size({"width": 1280, "height": 800})


async def test_a_viewer_sees_all_and_can_change_nothing(visit: Visit) -> None:
    made = await visit.engine.admin("POST", "/admin/tokens", b'{"name":"eve","role":"viewer"}')
    viewer = await enter(visit.browser, visit.engine, msgspec.json.decode(made.body)["secret"])
    for name in PAGES:
        page = await viewer.go(name)
        await expect(page.locator("#role")).to_have_text("viewer: read-only")
        for button in ("#new-key", "#token-form", ".acts button", "#history button"):
            assert not [one for one in await page.locator(button).all() if await one.is_visible()], (name, button)
        if name == "config":
            await expect(page.locator("#state")).to_contain_text("read-only")
            assert await page.locator("#text").get_attribute("readonly") is not None
    assert viewer.complaints == []
    await viewer.page.context.close()
