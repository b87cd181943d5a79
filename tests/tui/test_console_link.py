"""What a console that is attached to a real engine shows when the engine goes, comes back, or turns it away."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from atp_console.source import AttachedSource
from atp_console.widgets.notice_box import causes
from atp_engine.client.endpoint import Endpoint, read_engine_record
from atp_engine.client.engine_client import connect
from tests.support.console import request_view, snapshot_of
from tests.support.console_driver import Driver, driven
from tests.support.running import SIMULATED, running
from tests.support.upstream import Upstream, answer, chunk, hang, head, raw

_STREAM = head(200, "transfer-encoding: chunked", "content-type: text/event-stream")


async def _lost(console: Driver, words: str) -> str:
    state = console.app.desk.state
    await console.until(lambda: state.link is not None and causes(state.link)[0] == words)
    console.app.paint_now()
    await console.pilot.pause()
    text = console.text()
    assert words in text
    return text


async def test_an_engine_that_is_killed_comes_back_within_two_seconds_and_a_revoked_token_is_explained(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        record = read_engine_record(engine.paths.data_dir)
        assert record is not None
        made = await engine.admin("POST", "/admin/tokens", b'{"name": "wall", "role": "operator"}')
        endpoint = Endpoint(url=engine.url, socket=record.socket, token=made.json()["secret"])
    source = connect(endpoint, AttachedSource)
    async with driven(source, size=(80, 24)) as console:
        text = await _lost(console, "Engine away")
        assert "nobody answers" in text
        assert "comes back by itself" in text
        async with running(tmp_path, SIMULATED) as engine:
            began = time.monotonic()
            await console.until(lambda: console.app.desk.state.is_connected)
            assert time.monotonic() - began < 2.0
            await console.settle()
            assert "Engine away" not in console.text()
            sent = {"model": "sim-instant", "messages": [{"role": "user", "content": "\x1b[31mhi"}]}
            request_id = (await engine.post("/v1/chat/completions", sent)).headers["x-atp-request-id"]
            await console.until(lambda: console.app.desk.state.request(request_id) is not None)
            await console.press("enter", "f")
            await console.until(lambda: "attempt 1" in console.text())
            assert "sim-instant" in console.text()
            assert "a model inside this engine" in console.text()
            token_id = made.json()["token"]["id"]
            assert (await engine.admin("POST", f"/admin/tokens/{token_id}/revoke")).status == 200
            text = await _lost(console, "Token refused")
            assert "--token-file" in text
            assert "^q quit" in text
            await console.press("q")
            assert "Token refused" in console.text(), "every screen tells it"
        await _lost(console, "Engine away")


async def test_an_engine_of_another_version_is_named_and_events_that_nobody_knows_do_no_harm() -> None:
    snapshot = msgspec.to_builtins(snapshot_of([request_view()]))
    newer = snapshot | {"engine": snapshot["engine"] | {"version": "9.4.1", "in_flight": "many"}}
    strange = b'id: 2\nevent: batch\ndata: [{"type":"weather","seq":2},{"type":"notice","seq":3,"at":1.0,'
    strange += b'"severity":"warn","code":"x","text":"still here"}]\n\n'

    def of(value: object) -> bytes:
        return msgspec.json.encode(value)

    scripts = [answer(of(snapshot)), raw(_STREAM, chunk(strange), b"0\r\n\r\n"), answer(of(newer))]
    async with (
        Upstream(answer(of(newer)), then=scripts) as engine,
        driven(connect(Endpoint(engine.url, token="t"), AttachedSource), size=(80, 24)) as console,
    ):
        text = await _lost(console, "Engine of another version")
        assert "version 9.4.1" in text
        assert "installed" in text
        assert "sonnet" in text, "what is known can still be read"
        assert "still here" in console.told()
        known = snapshot | {"somewhat": "new", "requests": [{**snapshot["requests"][0], "mood": "good"}]}
        engine.then.extend([answer(of(known)), hang(_STREAM)])
        await console.until(lambda: console.app.desk.state.is_connected)
        await console.settle()
        assert "another version" not in console.text()
