"""Editing the config of a running engine: a good text is live at once, a bad one changes nothing and is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.running import Running, running, upstream_config
from tests.support.upstream import LAST_CHUNK, Upstream, Wire, answer, chunk, head

CHAT = "/v1/chat/completions"
PROMISED_S = 2.0


def reply(text: str) -> bytes:
    """A chat completion."""
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "model",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
    ).encode()


def words(text: str, finish: str | None = None) -> bytes:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    piece = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return chunk(b"data: " + json.dumps(piece).encode() + b"\n\n")


class Edited:
    """An engine over two upstreams whose config file is edited; `old` serves at first."""

    def __init__(self, engine: Running, old: Upstream, new: Upstream, file: Path) -> None:
        self.engine = engine
        self.old = old
        self.new = new
        self.file = file

    def config(self, name: str, extra: str = "") -> str:
        """A config with one deployment, on the old or the new upstream."""
        upstream = {"old": self.old, "new": self.new}[name]
        return upstream_config({name: upstream.port}, extra=extra)

    @property
    def view(self) -> Any:
        """The engine's vital signs."""
        return self.engine.engine.observatory.status()

    async def until_version(self, version: int) -> None:
        """Waits for a config to be live, no longer than is promised."""
        await self.engine.until(lambda: self.view.config_version == version, PROMISED_S)

    async def until_problem(self, words: str) -> str:
        """Waits for the newest text to be refused with these words."""
        await self.engine.until(lambda: any(words in problem for problem in self.view.config_problems), PROMISED_S)
        (problem,) = [str(problem) for problem in self.view.config_problems if words in problem]
        return problem

    async def ask(self, model: str = "auto") -> tuple[int, str]:
        """Status and served deployment of one call."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        found = await self.engine.post(CHAT, body)
        return found.status, found.headers.get("x-atp-deployment", "")

    async def health(self, path: str) -> tuple[int, Any]:
        """A probe's answer."""
        found = await self.engine.call("GET", path, token="")
        return found.status, found.json()


@pytest_asyncio.fixture
async def edited(tmp_path: Path) -> AsyncIterator[Edited]:
    async with (
        Upstream(answer(reply("old"))) as old,
        Upstream(answer(reply("new"))) as new,
        running(tmp_path, upstream_config({"old": old.port})) as engine,
    ):
        yield Edited(engine, old, new, tmp_path / "atp.toml")


async def test_a_good_edit_is_live_within_two_seconds_and_requests_in_flight_keep_what_they_began_with(
    edited: Edited,
) -> None:
    word = asyncio.Event()

    async def script(wire: Wire, _: object) -> None:
        await wire.send(head(200, "content-type: text/event-stream", "transfer-encoding: chunked") + words("begin"))
        await word.wait()
        await wire.send(words("end", "stop") + chunk(b"data: [DONE]\n\n") + LAST_CHUNK)

    edited.old.then.append(script)
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    stream = asyncio.create_task(edited.engine.post(CHAT, body))
    await edited.old.until(lambda upstream: len(upstream.requests) == 1)
    edited.file.write_text(edited.config("new"))
    await edited.until_version(2)
    assert await edited.ask() == (200, "new")
    assert (await edited.ask("old"))[0] == 404
    assert not stream.done()
    word.set()
    whole = await stream
    assert whole.events()[-1] == "[DONE]"
    assert whole.headers["x-atp-deployment"] == "old"
    assert (await edited.engine.request(whole.headers["x-atp-request-id"]))["request"]["state"] == "ok"
    assert edited.view.config_problems == ()


BAD = {
    "a syntax error": ("[server\n", ":1:"),
    "an unknown key": ("[server]\nprot = 1\n", "did you mean port"),
    "a value out of range": ("[limits]\nmax_parallel = 0\n", "max_parallel"),
    "a deployment that is not there": ('[routes.auto]\ndeployments = ["nowhere"]\n', "nowhere"),
    "an unknown kind": ('[providers.x]\nkind = "opena"\n', "openai"),
    "a plain secret": ('[providers.x]\nkind = "openai"\napi_key = "sk-abcdefghijklmnopqrstuvwx"\n', "api_key"),
    "nothing at all": ("", "empty"),
    "blanks": ("\n \n# nothing\n", "empty"),
    "a binary file": ("\x00\x01", "binary"),
}


async def test_a_bad_edit_changes_nothing_and_is_named_until_the_file_is_good_again(edited: Edited) -> None:
    for name, (text, told) in BAD.items():
        edited.file.write_text(text)
        problem = await edited.until_problem(told)
        assert problem.startswith(str(edited.file)), name
        assert "sk-abcdef" not in problem
        assert edited.view.config_version == 1
        assert await edited.ask() == (200, "old"), name
    status, ready = await edited.health("/readyz")
    assert (status, ready["status"]) == (200, "ok"), "it serves as before"
    assert "not applied" in ready["checks"]["config"]
    health = (await edited.health("/healthz"))[1]
    assert (health["status"], health["config_problems"]) == ("degraded", 1)
    for path in ("/admin/status", "/admin/snapshot", "/admin/config"):
        assert "binary" in (await edited.engine.admin("GET", path)).body.decode(), path
    edited.file.write_text(edited.config("new"))
    await edited.until_version(2)
    assert await edited.ask() == (200, "new")
    assert edited.view.config_problems == ()
    assert (await edited.health("/healthz"))[1]["status"] == "ok"


async def test_a_deleted_file_changes_nothing_until_it_is_back(edited: Edited) -> None:
    edited.file.unlink()
    await edited.until_problem("does not exist")
    assert await edited.ask() == (200, "old")
    edited.file.write_text(edited.config("new"))
    await edited.until_version(2)
    assert await edited.ask() == (200, "new")


async def test_a_file_that_an_editor_replaces_is_seen_and_the_same_text_again_is_no_change(edited: Edited) -> None:
    for version, name in enumerate(("new", "old", "new"), 2):
        swap = edited.file.with_suffix(".swp")
        swap.write_text(edited.config(name))
        swap.replace(edited.file)
        await edited.until_version(version)
        assert await edited.ask() == (200, name)
    edited.file.write_text(edited.config("new"))
    edited.file.with_name("other.toml").write_text("[server\n")
    edited.file.write_text(edited.config("old"))
    await edited.until_version(5)
    assert edited.view.config_problems == ()


async def test_a_text_that_is_written_in_two_steps_is_live_when_it_is_whole(edited: Edited) -> None:
    text = edited.config("new")
    half = text.index("http://") + 3
    for written, told in (("", "empty"), (text[:half], "not valid TOML")):
        edited.file.write_text(written)
        await edited.until_problem(told)
        assert await edited.ask() == (200, "old")
    edited.file.write_text(text)
    await edited.until_version(2)
    assert await edited.ask() == (200, "new")


async def test_what_waits_for_the_next_start_is_said_and_nothing_else_changes(edited: Edited) -> None:
    url = edited.engine.url
    text = edited.config("new").replace("port = 0", 'host = "0.0.0.0"\nport = 9\nheader_timeout_s = 3')
    edited.file.write_text(text)
    await edited.until_version(2)
    (warning,) = edited.view.warnings
    assert warning == "server.header_timeout_s, server.host and server.port take effect at the next start"
    assert edited.engine.url == edited.view.url == url
    assert await edited.ask() == (200, "new")
    edited.file.write_text(edited.config("old"))
    await edited.until_version(3)
    assert edited.view.warnings == ()


async def test_a_credential_that_is_missing_after_an_edit_is_a_warning_with_its_place(edited: Edited) -> None:
    extra = '[providers.far]\nkind = "openai"\napi_key = "env:NO_SUCH_VARIABLE_HERE"\n'
    edited.file.write_text(edited.config("new", extra))
    await edited.until_version(2)
    (warning,) = edited.view.warnings
    assert "providers.far.api_key" in warning
    assert "NO_SUCH_VARIABLE_HERE" in warning
    assert await edited.ask() == (200, "new")
    status, ready = await edited.health("/readyz")
    assert (status, ready["checks"]["config"].startswith("warning")) == (200, True)


@pytest.mark.parametrize("text", ["[limits]\nmax_parallel = 1\nmax_queued = 0\n"])
async def test_new_limits_hold_from_the_next_request_on(edited: Edited, text: str) -> None:
    word = asyncio.Event()

    async def script(wire: Wire, _: object) -> None:
        await word.wait()
        await answer(reply("new"))(wire, edited.new.requests[-1])

    edited.file.write_text(edited.config("new", text))
    await edited.until_version(2)
    edited.new.then.append(script)
    first = asyncio.create_task(edited.ask())
    await edited.new.until(lambda upstream: len(upstream.requests) == 1)
    assert (await edited.ask())[0] == 503
    word.set()
    assert await first == (200, "new")
