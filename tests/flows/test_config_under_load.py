"""Applies while requests run: none fails, and each is served by one config whole, which its answer names."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path

import pytest

from tests.support.calls import parse_answer
from tests.support.process import Home, Served, start
from tests.support.running import Running, running

CLIENTS = 6


def config(version: int) -> str:
    """A config whose route leads to one deployment that is named for its version, at a model of that name."""
    name = f"v{version}"
    return (
        f'[server]\nport = 0\n\n[providers.simulated]\nkind = "simulated"\n\n'
        f"[providers.simulated.profiles.{name}]\nttft_ms = 2\ntokens_per_s = 100000\noutput_tokens = 8\n\n"
        f'[deployments.{name}]\nprovider = "simulated"\nmodel = "{name}"\n\n[routes.auto]\ndeployments = ["{name}"]\n'
    )


class Load:
    """Clients on connections that stay open; every answer is judged at once."""

    def __init__(self, engine: Running) -> None:
        self.engine = engine
        self.answers = 0
        self.versions: set[int] = set()
        self.failed: list[str] = []
        self.is_over = False

    async def client(self, number: int) -> None:
        """Calls until it is over, every third time with a stream."""
        async with self.engine.connection() as (reader, writer):
            for turn in range(10**9):
                if self.is_over:
                    return
                is_stream = (turn + number) % 3 == 0
                asked = {"model": "auto", "stream": is_stream, "messages": [{"role": "user", "content": "hi"}]}
                body = json.dumps(asked).encode()
                head = self.engine.head("POST", "/v1/chat/completions", len(body), {"connection": "keep-alive"})
                writer.write(head + body)
                self.judge(await self.answer(reader))

    async def answer(self, reader: asyncio.StreamReader) -> bytes:
        """One whole answer's bytes."""
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            if b"transfer-encoding: chunked" in lowered:
                return head + await reader.readuntil(b"0\r\n\r\n")
            length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
            return head + await reader.readexactly(length)

    def judge(self, raw: bytes) -> None:
        """Version and deployment of an answer must be of the same config."""
        answer = parse_answer(raw)
        version = answer.headers.get("x-atp-config-version", "")
        served = answer.headers.get("x-atp-deployment", "")
        model = f'"model":"{served}"' in answer.body.decode().replace(": ", ":") or "auto" in answer.body.decode()
        if answer.status != 200 or served != f"v{version}" or not model:
            self.failed.append(f"{answer.status} {version} {served} {answer.body[:200]!r}")
            return
        self.answers += 1
        self.versions.add(int(version))


async def applies(folder: Path, count: int, every_s: float) -> Load:
    """That many applies at that pace under load, every other one by an edit of the file."""
    async with running(folder, config(1)) as engine:
        load = Load(engine)
        clients = [asyncio.create_task(load.client(number)) for number in range(CLIENTS)]
        view = engine.engine.observatory.status
        began = time.monotonic()
        for number in range(2, count + 2):
            if number % 2:
                await asyncio.to_thread((folder / "atp.toml").write_text, config(number))
                await engine.until(lambda number=number: view().config_version == number, 10.0)  # type: ignore[misc]
            else:
                body = json.dumps({"text": config(number)}).encode()
                applied = await engine.admin("POST", "/admin/config/apply", body)
                assert applied.json()["version"] == number, applied.body
            await asyncio.sleep(max(0.0, began + (number - 1) * every_s - time.monotonic()))
        took = time.monotonic() - began
        load.is_over = True
        await asyncio.gather(*clients)
        print(
            f"{count} applies in {took:.1f} s, {load.answers} answers ({load.answers / took:.0f}/s), "
            f"{len(load.failed)} failed, {len(load.versions)} versions seen"
        )
        assert load.failed == []
        assert view().config_version == count + 1
        return load


async def test_applies_under_load_fail_no_request_and_each_answer_is_of_one_config(tmp_path: Path) -> None:
    load = await applies(tmp_path, 5, 0.1)
    assert load.answers > 20 and len(load.versions) >= 3


@pytest.mark.long
async def test_a_hundred_applies_in_a_minute_at_full_rate_fail_no_request(tmp_path: Path) -> None:
    load = await applies(tmp_path, 100, 0.6)
    assert load.answers > 1_000 and len(load.versions) >= 90


async def apply_until_killed(served: Served, first: int) -> None:
    """Applies one config after the other until nobody answers."""
    for number in range(first, first + 10_000):
        body = json.dumps({"text": config(number)}).encode()
        try:
            await served.calls.admin("POST", "/admin/config/apply", body)
        except (OSError, ValueError, IndexError, FileNotFoundError):
            return


@pytest.mark.long
async def test_a_whole_engine_killed_among_applies_finds_its_file_and_its_history_in_agreement(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_config(config(1))
    rng = random.Random(7443)
    number = 1
    for turn in range(25):
        served = await asyncio.to_thread(start, home)
        history = (await served.calls.admin("GET", "/admin/config/history?limit=1000")).json()
        newest = next(one for one in history["versions"] if one["outcome"] == "live")
        assert (newest["number"], newest["is_current"]) == (history["current"], True), turn
        assert all(one["outcome"] in ("live", "void") for one in history["versions"]), turn
        live = (await served.calls.admin("GET", "/admin/config/text")).json()
        assert live["files"][0]["text"] == home.config_file.read_text(), turn
        assert (history["current"] >= number, list(home.config_file.parent.glob("*.tmp"))) == (True, []), turn
        number = history["current"]
        applying = asyncio.create_task(apply_until_killed(served, number + 1))
        await asyncio.sleep(rng.uniform(0.05, 0.5))
        await asyncio.to_thread(served.kill)
        await applying
    print(f"25 kills, {number} versions")
    assert number > 25
