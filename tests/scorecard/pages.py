"""axe-core on every page of the dashboard, in a real Chromium on a real engine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from tests.support.running import SIMULATED, running

_PAGES = ("login", "", "metrics", "models", "keys", "config", "logs")
_READY = {"login": "#login", "requests": "#page:not([hidden])"}
_RUN = "axe.run().then(found => found.violations.map(one => `${one.id} x${one.nodes.length}`))"


async def issues(axe: str) -> dict[str, list[str]]:
    """Rules broken by page, each with the number of elements; raises when there is no Chromium."""
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), SIMULATED) as engine, async_playwright() as playwright:
            tried = (await engine.admin("POST", "/admin/test-request", b'{"model":"sim-instant"}')).json()
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                context = await browser.new_context(color_scheme=scheme, bypass_csp=True)
                page = await context.new_page()
                for name in (*_PAGES, f"requests/{tried['request_id']}"):
                    if name == "":
                        code = (await engine.admin("POST", "/admin/launch-code", b"{}")).json()["code"]
                        await page.goto(f"{engine.url}/ui/#code={code}")
                    else:
                        await page.goto(f"{engine.url}/ui/{name}")
                    await page.wait_for_selector(_READY.get(name.partition("/")[0], "body[data-ready]"))
                    await page.wait_for_timeout(300)
                    await page.evaluate(axe)
                    label = f"{name.partition('/')[0] or 'live'}, {scheme}"
                    found[label] = await page.evaluate(_RUN)
                await context.close()
            await browser.close()
    return found
