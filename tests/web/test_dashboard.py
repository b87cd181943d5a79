"""The dashboard in a real Chromium: live, honest, usable by keyboard, and safe against what it shows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from starlette.types import Receive, Scope, Send

from atp_engine.core.types import (
    NO_USAGE,
    AttemptOutcome,
    AttemptRecord,
    CandidateVerdict,
    PriceState,
    RequestState,
    RouteDecision,
)
from atp_engine.core.views import Tail
from tests.support.chromium import MARKS
from tests.support.web import (
    ADMIN_TOKEN,
    JSON,
    Face,
    ask,
    build_face,
    deployment_row,
    detail_of,
    engine_view,
    free_socket,
    row,
    serve,
    session_row,
)

pytestmark = MARKS
WATCH_CSP = (
    "addEventListener('securitypolicyviolation', (e) => console.error('CSP', e.violatedDirective, e.blockedURI))"
)


@dataclass
class Visit:
    """One browser page on one running face, shared by the tests of the module, and what it complained of."""

    browser: Browser
    face: Face
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://{self.face.host}"

    async def enter(self, path: str = "/ui/") -> None:
        """Opens a page with a session's cookie already in the browser."""
        body = b'{"token":"%s"}' % ADMIN_TOKEN.encode()
        answer = await ask(self.face.app, "POST", "/ui/login", headers=JSON, body=body, host=self.face.host)
        name, _, value = (answer.header("set-cookie") or "").partition(";")[0].partition("=")
        await self.context.add_cookies(
            [{"name": name, "value": value, "url": self.origin, "httpOnly": True, "sameSite": "Strict"}]
        )
        await self.page.goto(f"{self.origin}{path}")
        await self.page.wait_for_selector("body[data-ready]")

    async def enter_by_code(self, path: str = "/ui/") -> None:
        """Opens a page by launch code, as the console does."""
        await self.context.clear_cookies()
        answer = await ask(
            self.face.app, "POST", "/admin/launch-code", headers=JSON, token=ADMIN_TOKEN, host=self.face.host
        )
        await self.page.goto(f"{self.origin}{path}#code={answer.json()['code']}")
        await self.page.wait_for_selector("body[data-ready]")

    async def asked_served(self) -> list[str]:
        return await self.page.locator("#requests .line").all_text_contents()

    def watch(self) -> None:
        """Notes every error, CSP report, dialog and call to elsewhere."""
        page = self.page
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.on("request", lambda r: None if r.url.startswith(self.origin) else self.foreign.append(r.url))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_visit(browser: Browser) -> AsyncIterator[Visit]:
    """One server and one page for the whole module."""
    listener = free_socket()
    face = build_face(port=listener.getsockname()[1])
    face.clock.step(time.time() - face.clock.now())
    async with serve(face.app, listener):
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(5_000)
        await context.add_init_script(WATCH_CSP)
        visit = Visit(browser, face, context, await context.new_page())
        visit.watch()
        yield visit
        face.stopping.set()
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(shared_visit: Visit) -> AsyncIterator[Visit]:
    """The shared page on an empty engine; afterwards it must not have complained or called elsewhere."""
    await shared_visit.page.goto("about:blank")
    shared_visit.face.observatory.clear()
    shared_visit.face.trials.clear()
    shared_visit.complaints.clear()
    shared_visit.foreign.clear()
    yield shared_visit
    assert shared_visit.complaints == []
    assert shared_visit.foreign == []


async def test_a_live_row_appears_within_300_ms_and_grows_in_place(visit: Visit) -> None:
    await visit.enter()
    await expect(visit.page.locator("#first-run-title")).to_have_text("No traffic yet. Point a client here:")
    took: list[float] = []
    for number in range(3):
        began = time.perf_counter()
        view = row(id=f"r{number}", started_at=visit.face.clock.now() + number, state=RequestState.STREAMING)
        visit.face.observatory.put(view)
        await visit.page.wait_for_selector(f"a[href='/ui/requests/r{number}']")
        took.append(time.perf_counter() - began)
    assert min(took) <= 0.3
    assert await visit.page.locator("#first-run").is_hidden()
    assert await visit.asked_served() == ["auto → sonnet-4.5"] * 3
    await visit.page.locator("a[href='/ui/requests/r1']").focus()
    await visit.page.evaluate("window.kept = document.activeElement.closest('tr')")
    done = row(
        id="r1", started_at=visit.face.clock.now() + 1, tries=2, served="haiku", asked="gpt-5", output_tokens=999
    )
    visit.face.observatory.put(done)
    await expect(visit.page.locator("#requests tr:nth-child(2) .line")).to_have_text("gpt-5 ⇢ haiku (2)")
    assert await visit.page.evaluate("document.activeElement.closest('tr') === window.kept && window.kept.isConnected")


async def test_the_figures_and_panels_follow_and_unknown_money_is_never_zero(visit: Visit) -> None:
    observatory = visit.face.observatory
    observatory.put(row(id="a", price_state=PriceState.UNKNOWN, cost_nusd=0))
    observatory.put(row(id="b", price_state=PriceState.ASSUMED, cost_nusd=4_100_000, is_usage_estimated=True))
    observatory.put(row(id="c", price_state=PriceState.KNOWN, cost_nusd=0, served="local"))
    await visit.enter()
    cells = visit.page.locator("#requests .money")
    assert sorted(await cells.all_text_contents()) == ["$0", "unknown", "~$0.0041"]
    observatory.put_session(session_row(price_state=PriceState.UNKNOWN, cost_nusd=0))
    observatory.put_deployment(deployment_row(key="gpt-5", circuit="open", retry_in_s=14.0))
    observatory.put_engine(
        engine_view(
            url=visit.origin,
            in_flight=7,
            cost_today_nusd=14_200_000_000,
            unknown_cost_today=3,
            config_problems=("atp.toml:3:1: server.port: must be a number",),
            dropped={"bodies": 4},
        )
    )
    observatory.notice("error", "circuit", "gpt-5: circuit open")
    await expect(visit.page.locator("#v-flight")).to_have_text("7")
    await expect(visit.page.locator("#v-today")).to_have_text("$14.20")
    await expect(visit.page.locator("#v-unknown")).to_have_text("+3 unknown")
    await expect(visit.page.locator("#warnings li")).to_have_count(2)
    await expect(visit.page.locator("#deployments .state")).to_have_text("✗ open 14s")
    await expect(visit.page.locator("#sessions td").last).to_have_text("unknown")
    await expect(visit.page.locator("#notices")).to_contain_text("✗")


async def test_filtering_explains_mistakes_follows_live_and_is_an_address(visit: Visit) -> None:
    put = visit.face.observatory.put
    put(row(id="good"))
    put(row(id="bad", state=RequestState.FAILED, http_status=429, asked="opus"))
    await visit.enter()
    filter_box = visit.page.locator("#filter")
    await filter_box.fill("state:open")
    await expect(visit.page.locator("#nothing")).to_be_visible()
    put(row(id="live", state=RequestState.STREAMING, asked="flows"))
    put(row(id="other", asked="elsewhere"))
    await expect(visit.page.locator("#requests .asked")).to_have_text("flows")
    put(row(id="live", state=RequestState.OK, asked="flows"))
    await expect(visit.page.locator("#requests tr")).to_have_count(0)
    assert visit.page.url.endswith("/ui/?q=state%3Aopen")
    await visit.page.goto(f"{visit.origin}/ui/?q=status%3A429")
    await expect(visit.page.locator("#requests .asked")).to_have_text("opus")
    assert await filter_box.input_value() == "status:429"
    await filter_box.fill("sttus:429")
    await expect(visit.page.locator("#filter-error")).to_contain_text("did you mean status?")
    await expect(visit.page.locator("#requests .asked")).to_have_text("opus")
    visit.complaints.clear()  # The refused query itself is a failed load to the browser.
    await filter_box.fill("")
    await expect(visit.page.locator("#requests tr")).to_have_count(4)


async def test_freezing_holds_the_table_and_counts_what_it_holds_back(visit: Visit) -> None:
    put = visit.face.observatory.put
    put(row(id="first", state=RequestState.STREAMING))
    await visit.enter()
    await visit.page.locator("#freeze").click()
    put(row(id="first"))
    for number in range(3):
        put(row(id=f"new{number}"))
    freeze = visit.page.locator("#freeze")
    await expect(freeze).to_have_text("▶ Resume · +3 new")
    await expect(freeze).to_have_attribute("aria-pressed", "true")
    assert await visit.page.locator("#requests .state").all_text_contents() == ["▶ stream"]
    await freeze.click()
    await expect(visit.page.locator("#requests tr")).to_have_count(4)
    await expect(freeze).to_have_text("‖ Freeze")
    assert set(await visit.page.locator("#requests .state").all_text_contents()) == {"✓ ok"}


STREAMED = "".join(
    f"data: {piece}\n\n"
    for piece in (
        '{"choices":[{"delta":{"reasoning_content":"Hm."}}]}',
        '{"choices":[{"delta":{"content":"The parser "}}]}',
        '{"choices":[{"delta":{"content":"yields only…"}}]}',
        '{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","name":"read_file"}}',
        '{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}',
        '{"error":{"message":"cut off"}}',
        "null",
        "[DONE]",
        '{"choices":[{"del',
    )
)


def staged_detail(visit: Visit) -> None:
    """One request with a failed and a good attempt, a decision and bodies."""
    candidates = (
        CandidateVerdict("gpt-5", "openai", "gpt-5", 1, 0.73, "first in order"),
        CandidateVerdict("gpt-5-mini", "openai", "gpt-5-mini", 2, 0.71, "second in order"),
        CandidateVerdict("qwen3", "ollama", "qwen3:30b", 0, None, "context 32k < 41k needed"),
    )
    decision = RouteDecision("d", "auto", "ordered", 12, "gpt-5 was first in order; 1 of 3 left out.", candidates)
    failed = AttemptRecord(
        number=1,
        deployment="gpt-5",
        provider="openai",
        model="gpt-5",
        outcome=AttemptOutcome.RATE_LIMITED,
        started_ms=4.0,
        duration_ms=610.0,
        ttft_ms=None,
        http_status=429,
        message="rate limited, retry in 20 s",
        usage=NO_USAGE,
        cost_nusd=0,
        price_state=PriceState.KNOWN,
    )
    good = msgspec.structs.replace(
        failed,
        number=2,
        deployment="gpt-5-mini",
        outcome=AttemptOutcome.OK,
        started_ms=614.0,
        ttft_ms=380.0,
        message="",
    )
    view = row(id="req_7", served="gpt-5-mini", tries=2)
    visit.face.observatory.put(view)
    visit.face.observatory.details["req_7"] = detail_of(
        view,
        decision=decision,
        attempts=(failed, good),
        request_body='{"model":"auto","messages":[]}',
        response_body=STREAMED,
        position=4,
        session_requests=9,
        previous_id="req_6",
        dropped_fields=("metadata.trace",),
    )


async def test_a_requests_page_is_a_permanent_address_that_explains(visit: Visit) -> None:
    staged_detail(visit)
    await visit.enter_by_code("/ui/requests/req_7")
    page = visit.page
    assert page.url == f"{visit.origin}/ui/requests/req_7"
    await expect(page.locator("#position")).to_have_text("request 4 of 9")
    await expect(page.locator("#attempts tr")).to_have_count(2)
    assert await page.locator("#attempts .state").all_text_contents() == ["✗ rate limited 429", "✓ ok"]
    assert await page.locator("#attempts svg").count() == 2
    await expect(page.locator("#explanation")).to_have_text("gpt-5 was first in order; 1 of 3 left out.")
    assert await page.locator("#candidates .chosen th").all_text_contents() == ["gpt-5-mini"]
    assert await page.locator("#candidates .out .reason").all_text_contents() == ["out: context 32k < 41k needed"]
    await expect(page.locator("#numbers")).to_contain_text("metadata.trace")
    await expect(page.locator("#request-body pre")).to_have_text('{\n  "model": "auto",\n  "messages": []\n}')
    read = "[reasoning] Hm.\n\nThe parser yields only…\n\n[tool call 1] read_file {}\n\n[error] cut off"
    assert await page.locator("#response-body pre").text_content() == read
    await page.locator("#request-body .toggle").click()
    await expect(page.locator("#request-body pre")).to_have_text('{"model":"auto","messages":[]}')
    await expect(page.locator("#previous")).to_have_attribute("href", "/ui/requests/req_6")
    assert await page.locator("#cancel").is_hidden()


async def test_an_open_request_shows_its_answer_and_can_be_cancelled_by_name(visit: Visit) -> None:
    visit.face.observatory.put(row(id="req_8", state=RequestState.STREAMING, duration_ms=None, http_status=0))
    visit.face.observatory.tails["req_8"] = Tail("req_8", RequestState.STREAMING, "keep the last frame", 5)
    await visit.enter("/ui/requests/req_8")
    page = visit.page
    await expect(page.locator("#tail")).to_have_text("keep the last frame")
    await page.locator("#cancel").click()
    await page.keyboard.press("Enter")  # The default answer keeps it running.
    assert visit.face.observatory.cancelled == []
    await page.locator("#cancel").click()
    await page.locator("#confirm button[value=yes]").click()
    await expect(page.locator("#state")).to_have_text("⊘ cancel")
    assert visit.face.observatory.cancelled == [("req_8", "an operator in a browser")]
    assert await page.locator("#cancel").is_hidden()


async def test_a_test_request_from_the_first_run_panel_makes_a_row(visit: Visit) -> None:
    await visit.enter()
    await visit.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.origin)
    await visit.page.locator("#connections button").first.click()
    assert "ANTHROPIC_BASE_URL" in await visit.page.evaluate("navigator.clipboard.readText()")
    await visit.page.locator("#try").click()
    await expect(visit.page.locator("#requests .asked")).to_have_text("sim-fast")
    assert visit.face.trials == [""]


async def test_a_pasted_token_logs_in_a_wrong_one_does_not_and_logging_out_ends_it(visit: Visit) -> None:
    page = visit.page
    await visit.context.clear_cookies()
    await page.goto(f"{visit.origin}/ui/requests/req_1?x=1#code=stale")
    await expect(page.locator("#note")).to_have_text("That code is used or too old; make a new one.")
    assert "stale" not in page.url
    assert page.url.startswith(f"{visit.origin}/ui/login?next=")
    await page.locator("#token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator("#note")).to_have_text("That token is not known here.")
    visit.complaints.clear()  # Refused logins are failed loads to the browser.
    visit.face.observatory.put(row(id="req_1"))
    await page.locator("#token").fill(ADMIN_TOKEN)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("body[data-ready]")
    assert page.url == f"{visit.origin}/ui/requests/req_1"
    assert await page.evaluate("document.cookie") == ""
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
    await page.goto(f"{visit.origin}/ui/")
    await page.locator("#logout").click()
    await page.wait_for_url("**/ui/login")
    await page.goto(f"{visit.origin}/ui/")
    assert page.url.startswith(f"{visit.origin}/ui/login")


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\u202egnp.exe\x00"


async def test_hostile_text_is_only_ever_text(visit: Visit) -> None:
    texts = dict.fromkeys(("asked", "served", "session_id", "client", "model", "provider", "error_message"), HOSTILE)
    view = row(id="req_9", error_code=HOSTILE, **texts)
    visit.face.observatory.put(view)
    visit.face.observatory.details["req_9"] = detail_of(
        view, request_body=HOSTILE, response_body='data: {"choices":[{"delta":{"tool_calls":7}}]}\n\n'
    )
    await visit.enter()
    visit.face.observatory.put_session(session_row(id=HOSTILE, title=HOSTILE, client=HOSTILE))
    visit.face.observatory.put_deployment(deployment_row(key=HOSTILE, model=HOSTILE, last_error=HOSTILE))
    visit.face.observatory.notice("error", "x", HOSTILE)
    shown = "<img src=x onerror=alert(1)><script>alert(2)</script>[31mgnp.exe"
    await expect(visit.page.locator("#requests .asked")).to_have_text(shown)
    await expect(visit.page.locator("#sessions .pick")).to_contain_text(shown)
    await expect(visit.page.locator("#notices li")).to_contain_text(shown)
    await visit.page.goto(f"{visit.origin}/ui/requests/req_9")
    await expect(visit.page.locator("#asked")).to_have_text(shown)
    await expect(visit.page.locator("#request-body pre")).to_have_text(shown)
    assert await visit.page.locator("main img, main script, b").count() == 0


async def test_everything_is_reached_by_keyboard(visit: Visit) -> None:
    for name in ("one", "two"):
        visit.face.observatory.put(row(id=name, started_at=visit.face.clock.now() + len(name)))
    staged_detail(visit)
    await visit.enter()
    press = visit.page.keyboard.press
    page = visit.page
    await press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await press("/")
    assert await page.evaluate("document.activeElement.id") == "filter"
    await page.keyboard.type("id:req_7")
    await expect(page.locator("#requests tr")).to_have_count(1)
    await press("Escape")
    await expect(page.locator("#requests tr")).to_have_count(3)
    await press("Escape")
    await press("j")
    await press("j")
    await press("k")
    assert await page.evaluate("document.activeElement.closest('tr') === document.querySelector('#requests tr')")
    await press(" ")
    await expect(page.locator("#freeze")).to_have_attribute("aria-pressed", "true")
    await press(" ")
    await press("?")
    await expect(page.locator("#help")).to_be_visible()
    await press("Escape")
    await expect(page.locator("#help")).to_be_hidden()
    await press("z")
    await expect(page.locator("#nothing")).to_be_visible()
    await press("z")
    await expect(page.locator("#requests tr")).to_have_count(3)
    await press("j")
    await press("Enter")
    await page.wait_for_url("**/ui/requests/*")
    await page.wait_for_selector("body[data-ready]")
    await press("Escape")
    await page.wait_for_url("**/ui/")


async def test_it_fits_small_and_large_in_both_schemes(visit: Visit) -> None:
    staged_detail(visit)
    visit.face.observatory.put(row(id="long", asked="provider/" + "very-long-model-name-" * 6))
    for path in ("/ui/", "/ui/requests/req_7"):
        await visit.enter(path)
        for width, is_dark in ((390, True), (390, False), (1280, True), (1280, False)):
            await visit.page.set_viewport_size({"width": width, "height": 800})
            await visit.page.emulate_media(color_scheme="dark" if is_dark else "light")
            assert await visit.page.evaluate("document.documentElement.scrollWidth") <= width
            ground = await visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert (ground == "rgb(13, 17, 23)") == is_dark


async def test_the_page_says_when_the_engine_is_away_and_catches_up_by_itself(visit: Visit) -> None:
    listener = free_socket()
    port = listener.getsockname()[1]
    face = build_face(port=port)
    context = await visit.browser.new_context()
    page = await context.new_page()
    async with serve(face.app, listener):
        await Visit(visit.browser, face, context, page).enter()
        face.stopping.set()
    await expect(page.locator("#connection")).to_have_text("✗ offline, retrying")
    face.stopping.clear()
    face.observatory.put(row(id="missed"))
    again = free_socket(port)
    async with serve(face.app, again):
        try:
            await expect(page.locator("#connection")).to_have_text("● live", timeout=20_000)
            await expect(page.locator("#requests tr")).to_have_count(1)
        finally:  # an open stream would keep the server from ending
            face.stopping.set()
            await context.close()


ATTACK = """<!doctype html><meta charset=utf-8><title>evil</title><body><script type=module>
const target = "TARGET";
const got = {};
const read = async (name, make) => {
  try { got[name] = (await make()) || "refused"; } catch { got[name] = "refused"; }
};
const load = async (path, mode) => (await fetch(target + path, { credentials: "include", mode })).text();
const send = async (kind, mode) => (await fetch(target + "/admin/requests/open/cancel", {
  method: "POST", credentials: "include", mode, headers: { "content-type": kind }, body: "{}" })).text();
const opens = (source) => new Promise((done, fail) => { source.onopen = () => done("open"); source.onerror = fail; });
const element = (tag, path) => new Promise((done, fail) => {
  const node = document.createElement(tag);
  node.onerror = fail;
  node.onload = () => { try { done(tag === "iframe" ? node.contentDocument.title : "loaded"); } catch { done(""); } };
  node.src = target + path;
  document.body.append(node);
});
await read("cors", () => load("/admin/snapshot", "cors"));
await read("opaque", () => load("/admin/snapshot", "no-cors"));
await read("page", () => load("/ui/", "cors"));
await read("text", () => send("text/plain", "no-cors"));
await read("form", () => send("application/x-www-form-urlencoded", "no-cors"));
await read("json", () => send("application/json", "cors"));
await read("beacon", async () => void navigator.sendBeacon(target + "/admin/test-request", "{}"));
await read("stream", () => opens(new EventSource(target + "/admin/events", { withCredentials: true })));
await read("socket", () => opens(new WebSocket(target.replace("http", "ws") + "/admin/events")));
await read("frame", () => element("iframe", "/ui/"));
await read("script", () => element("script", "/admin/snapshot"));
await read("image", () => element("img", "/ui/static/x/mark.svg"));
const form = document.createElement("form");
Object.assign(form, { method: "post", action: target + "/admin/test-request", enctype: "text/plain" });
document.body.append(form);
window.got = got;
</script>"""


def evil_app(target: str) -> Callable[[Scope, Receive, Send], object]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = ATTACK.replace("TARGET", target).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_page_of_another_origin_can_neither_read_nor_act(visit: Visit, name: str) -> None:
    """As the same site on another port, and as another site; the owner is logged in all the while."""
    visit.face.observatory.put(row(id="open", state=RequestState.STREAMING, duration_ms=None))
    await visit.enter()
    evil = free_socket()
    async with serve(evil_app(visit.origin), evil):  # type: ignore[arg-type]
        page = await visit.context.new_page()
        await page.goto(f"http://{name}:{evil.getsockname()[1]}/")
        got = await (await page.wait_for_function("window.got")).json_value()
        async with page.expect_response("**/admin/test-request") as told:
            await page.evaluate("setTimeout(() => document.querySelector('form').submit())")
        assert (await told.value).status in (401, 403)
        await page.wait_for_url("**/admin/test-request")  # to close it amidst a navigation may take for ever
        await page.close()
    assert len(got) == 12
    assert set(got.values()) == {"refused"}, got
    assert visit.face.observatory.cancelled == []
    assert visit.face.trials == []
    await expect(visit.page.locator("#requests .state")).to_have_text("▶ stream")
