"""The engine's process and its end: told to stop it drains and tidies up, killed it has lost nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atp_engine.client.endpoint import read_engine_record
from atp_engine.client.engine_client import connect
from atp_engine.client.follow import LinkLost, follow
from atp_engine.core.views import Snapshot
from tests.support.calls import Answer, Calls, parse_answer
from tests.support.files import names_in
from tests.support.process import Home, Served, serving, start
from tests.support.running import SIMULATED, upstream_config
from tests.support.until import until
from tests.support.upstream import LAST_CHUNK, Script, SeenRequest, Upstream, Wire, chunk, hang, head

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
SSE_HEAD = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One chunk of an OpenAI stream, framed for a chunked body."""
    piece = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "model-only",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return chunk(b"data: " + json.dumps(piece).encode() + b"\n\n")


WORDS = event({"role": "assistant", "content": ""}) + b"".join(event({"content": f"word {n} "}) for n in range(20))
END = event({}, "stop") + chunk(b"data: [DONE]\n\n") + LAST_CHUNK


def until_told(word: asyncio.Event) -> Script:
    """A stream that goes on when the test says so."""

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(SSE_HEAD + WORDS)
        await word.wait()
        await wire.send(END)

    return script


def request(calls: Calls, path: str, *, is_stream: bool, kept: bool = False) -> bytes:
    body: dict[str, Any] = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    if is_stream:
        body["stream"] = True
    text = json.dumps(body).encode()
    headers = {"connection": "keep-alive"} if kept else None
    return calls.head("POST", path, len(text), headers) + text


def write_config(folder: Path, upstream: Upstream, drain_s: float) -> Home:
    home = Home(folder)
    config = upstream_config({"only": upstream.port})
    home.write_config(config.replace("port = 0\n", f"port = 0\ndrain_s = {drain_s}\n", 1))
    return home


def assert_tidy(engine: Served) -> None:
    """Nothing is left that a running engine leaves, and the log has no error."""
    names = names_in(engine.data_dir)
    assert "engine.json" not in names
    assert "engine.sock" not in names
    assert not [name for name in names if name.endswith(("-wal", "-shm"))], "the log was merged into the file"
    assert [record for record in engine.log() if record["level"] in ("error", "critical")] == []
    assert engine.log()[-1]["event"] == "stopped"


def rows(engine: Served, query: str) -> list[tuple[Any, ...]]:
    """Reads the database of an engine that has ended."""
    with contextlib.closing(sqlite3.connect(engine.data_dir / "atp.db")) as connection:
        return connection.execute(query).fetchall()


async def ended(engine: Served, within_s: float) -> int:
    started = time.monotonic()
    code = await asyncio.to_thread(engine.wait)
    assert time.monotonic() - started < within_s
    return code


@asynccontextmanager
async def open_stream(engine: Served, upstream: Upstream, path: str = CHAT) -> AsyncIterator[asyncio.Task[Answer]]:
    """A stream whose first words have arrived; the task gives the whole answer."""
    calls = engine.calls
    async with calls.connection() as (reader, writer):
        writer.write(request(calls, path, is_stream=True))
        begin = await asyncio.wait_for(reader.readuntil(b"word 19"), 10)

        async def rest() -> Answer:
            return parse_answer(begin + await reader.read())

        yield asyncio.create_task(rest())


async def test_sigterm_lets_streams_finish_and_leaves_everything_tidy(tmp_path: Path) -> None:
    word = asyncio.Event()
    async with Upstream(until_told(word)) as upstream:
        with serving(write_config(tmp_path, upstream, drain_s=20)) as engine:
            async with open_stream(engine, upstream) as one, open_stream(engine, upstream, MESSAGES) as other:
                engine.send(signal.SIGTERM)
                calls = engine.calls
                await until(lambda: not is_listening(calls.port))
                assert not one.done()
                word.set()
                assert (await one).events()[-1] == "[DONE]"
                assert (await other).events()[-1]["type"] == "message_stop"
            assert await ended(engine, 5) == 0
            assert_tidy(engine)
            assert rows(engine, "SELECT state, count(*) FROM request_rows GROUP BY state") == [("ok", 2)]


def is_listening(port: int) -> bool:
    text = Path("/proc/net/tcp").read_text()
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in text.splitlines()[1:])


async def test_sigint_ends_what_does_not_finish_in_time_with_an_error_in_its_dialect(tmp_path: Path) -> None:
    async with Upstream(hang(SSE_HEAD, WORDS)) as upstream:
        with serving(write_config(tmp_path, upstream, drain_s=0.3)) as engine:
            calls = engine.calls
            async with (
                open_stream(engine, upstream) as one,
                open_stream(engine, upstream, MESSAGES) as other,
                calls.connection() as (reader, writer),
            ):
                upstream.always = hang()
                writer.write(request(calls, CHAT, is_stream=False))
                await upstream.until(lambda upstream: len(upstream.requests) == 3)
                engine.send(signal.SIGINT)
                stream, message, plain = await one, await other, parse_answer(await reader.read())
            assert "stopping" in stream.events()[-1]["error"]["message"]
            assert b"[DONE]" not in stream.body
            assert message.events()[-1]["type"] == "error"
            assert b"message_stop" not in message.body
            assert (plain.status, plain.json()["error"]["type"]) == (503, "server_error")
            assert plain.json()["error"]["code"] == "engine_stopping"
            assert "retry-after" in plain.headers
            assert "stopping" in plain.json()["error"]["message"]
            assert await ended(engine, 5) == 0
            assert_tidy(engine)
            assert rows(engine, "SELECT state, count(*) FROM request_rows GROUP BY state") == [("cancelled", 3)]


async def test_sighup_stops_too_and_a_second_signal_means_now(tmp_path: Path) -> None:
    async with Upstream(hang(SSE_HEAD, WORDS)) as upstream:
        with serving(write_config(tmp_path, upstream, drain_s=60)) as engine:
            async with open_stream(engine, upstream) as stream:
                port = engine.calls.port
                engine.send(signal.SIGHUP)
                await until(lambda: not is_listening(port))
                assert not stream.done()
                engine.send(signal.SIGHUP)
                answer = await stream
            assert "stopping" in answer.events()[-1]["error"]["message"]
            assert await ended(engine, 3) == 0
            assert_tidy(engine)


async def test_idle_and_watching_and_half_sent_connections_do_not_hold_the_stop(tmp_path: Path) -> None:
    async with Upstream() as upstream:
        with serving(write_config(tmp_path, upstream, drain_s=60)) as engine:
            calls = engine.calls
            async with (
                calls.connection() as (_, silent),
                calls.connection() as (watching, watcher),
                calls.connection() as (idle, used),
                calls.connection() as (_, half),
                calls.connection() as (_, body),
            ):
                watcher.write(calls.head("GET", "/admin/events", 0, token=calls.admin_token))
                await watching.readuntil(b"retry: 1000")
                used.write(request(calls, CHAT, is_stream=False, kept=True))
                await idle.readuntil(b"\r\n\r\n")
                half.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127")
                body.write(calls.head("POST", CHAT, 100) + b"{")
                assert not silent.is_closing()
                engine.send(signal.SIGTERM)
                assert await ended(engine, 5) == 0
                await watching.read()
            assert_tidy(engine)


# Killed.


@dataclass
class Load:
    """Clients that call as fast as they get answers, and remember every answer that came whole."""

    engine: Served
    answered: list[str] = field(default_factory=list)

    async def run(self, clients: int) -> None:
        """Until the engine is gone."""
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    async def _client(self, number: int) -> None:
        calls = self.engine.calls
        is_stream = number % 2 == 0
        path = CHAT if number % 4 < 2 else MESSAGES
        text = request(calls, path, is_stream=is_stream)
        last = b"[DONE]" if path == CHAT else b"message_stop"
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                raw = await calls.raw(text)
                if not raw:
                    return
                answer = parse_answer(raw)
                if answer.status == 200 and (not is_stream or last in answer.body):
                    self.answered.append(answer.headers["x-atp-request-id"])


async def killed_often(folder: Path, kills: int, seed: int) -> None:
    """Kills an engine under load, again and again; checks after each, and that a face finds it again."""
    dice = random.Random(seed)
    home = Home(folder)
    home.write_config(SIMULATED)
    answered: list[str] = []
    back_s: list[float] = []
    engine = await asyncio.to_thread(start, home)
    seen: asyncio.Queue[tuple[float, Snapshot | LinkLost]] = asyncio.Queue()
    watching = asyncio.create_task(watch(engine, seen))
    assert isinstance((await asyncio.wait_for(seen.get(), 10))[1], Snapshot)
    try:
        for _ in range(kills):
            load = Load(engine, answered)
            running = asyncio.create_task(load.run(8))
            wanted = len(answered) + dice.randint(40, 160)
            await until(lambda wanted=wanted: len(answered) >= wanted, 20)  # type: ignore[misc]
            await asyncio.to_thread(engine.kill)
            await asyncio.wait_for(running, 10)
            engine = await asyncio.to_thread(start, home)
            is_back_at = time.monotonic()
            while not isinstance((told := await asyncio.wait_for(seen.get(), 10))[1], Snapshot):
                pass
            back_s.append(told[0] - is_back_at)
            snapshot = told[1]
            assert isinstance(snapshot, Snapshot)
            assert snapshot.engine.pid == engine.pid
            assert snapshot.engine.warnings == ()
            assert {view.state for view in snapshot.requests} <= {"ok", "cancelled", "truncated"}
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if engine.process.poll() is None:
            engine.send(signal.SIGTERM)
            assert await asyncio.to_thread(engine.wait) == 0
    assert max(back_s) < 2.0
    assert rows(engine, "PRAGMA integrity_check") == [("ok",)]
    counted = dict(rows(engine, "SELECT id, count(*) FROM requests GROUP BY id"))
    assert set(counted.values()) == {1}
    assert not set(answered) - counted.keys(), "an answered request is not on record"
    assert len(answered) == len(set(answered))


async def watch(engine: Served, seen: asyncio.Queue[tuple[float, Snapshot | LinkLost]]) -> None:
    """What a console does: follows the engine of a data directory for ever."""
    record = read_engine_record(engine.data_dir)
    assert record is not None
    client = connect(record.endpoint(engine.calls.admin_token))
    try:
        async for item in follow(client):
            if isinstance(item, Snapshot | LinkLost):
                seen.put_nowait((time.monotonic(), item))
    finally:
        await client.aclose()


async def test_a_killed_engine_has_every_answered_request_on_record_once(tmp_path: Path) -> None:
    await killed_often(tmp_path, kills=3, seed=7443)


@pytest.mark.long
async def test_fifty_kills_lose_nothing_and_a_face_is_back_within_two_seconds_each(tmp_path: Path) -> None:
    await killed_often(tmp_path, kills=50, seed=int(time.time()))
