"""The config over the admin API: tried, applied, kept, taken back; what was refused changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.running import Running, running

CHAT = "/v1/chat/completions"
CONFIG = """\
# kept: a comment of the owner
[server]
port = 0

[providers.simulated]
kind = "simulated"   # kept too

[deployments.one]
provider = "simulated"
model = "sim-instant"

[deployments.two]
provider = "simulated"
model = "sim-instant"

[routes.auto]
deployments = ["one", "two"]

[limits]
max_parallel = 64   # why so few
"""


class Owner:
    """Somebody who changes the config of a running engine."""

    def __init__(self, engine: Running, file: Path) -> None:
        self.engine = engine
        self.file = file

    @property
    def view(self) -> Any:
        """The engine's vital signs."""
        return self.engine.engine.observatory.status()

    @property
    def providers(self) -> Any:
        """The live providers."""
        return self.engine.engine._parts.runtime.current.providers

    async def post(self, act: str, **fields: Any) -> tuple[int, Any]:
        """A change, or a check."""
        found = await self.engine.admin("POST", f"/admin/config/{act}", json.dumps(fields).encode())
        return found.status, found.json()

    async def get(self, path: str) -> Any:
        """Something to read."""
        found = await self.engine.admin("GET", f"/admin/config/{path}")
        assert found.status == 200, found.body
        return found.json()

    async def ask(self, model: str = "auto") -> tuple[str, str]:
        """Config version and deployment of one call."""
        found = await self.engine.post(CHAT, {"model": model, "messages": [{"role": "user", "content": "hi"}]})
        return found.headers.get("x-atp-config-version", ""), found.headers.get("x-atp-deployment", str(found.status))


@pytest_asyncio.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    async with running(tmp_path, CONFIG) as engine:
        yield Owner(engine, tmp_path / "atp.toml")


def changed_lines(before: str, after: str) -> int:
    """How many lines differ where both have as many."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(old) == len(new)
    return sum(one != other for one, other in zip(old, new, strict=True))


async def test_a_value_set_is_one_line_of_the_file_live_and_in_the_history(owner: Owner) -> None:
    owner.file.chmod(0o640)
    assert await owner.ask() == ("1", "one")
    status, applied = await owner.post("set", key="limits.max_parallel", value="128", reason="more room", face="cli")
    assert (status, applied["version"]) == (200, 2)
    assert changed_lines(CONFIG, owner.file.read_text()) == 1
    assert "max_parallel = 128   # why so few" in owner.file.read_text()
    assert owner.file.stat().st_mode & 0o777 == 0o640
    assert [change["detail"] for change in applied["report"]["changes"]] == ["max_parallel 64 -> 128"]
    assert await owner.ask() == ("2", "one")
    history = await owner.get("history")
    newest, first = history["versions"]
    assert (history["current"], newest["number"], newest["outcome"], newest["is_current"]) == (2, 2, "live", True)
    assert newest["author"].startswith("cli (") and newest["reason"] == "more room"
    assert (first["number"], first["author"]) == (1, "start")
    record = (await owner.engine.admin("GET", "/admin/audit")).body.decode()
    assert "config.applied" in record and "more room" in record
    assert (await owner.get("text"))["files"][0]["text"] == owner.file.read_text()
    assert (await owner.get("text?version=1"))["files"][0]["text"] == CONFIG


async def test_what_an_apply_would_do_is_said_without_doing_it(owner: Owner) -> None:
    for _ in range(3):
        await owner.ask()
    text = CONFIG.replace('["one", "two"]', '["two", "one"]')
    _, report = await owner.post("check", text=text)
    assert report["is_valid"] and report["replay"]["requests"] == 3
    assert report["replay"]["differing"] == 3
    assert report["replay"]["routes"] == [
        {"asked": "auto", "requests": 3, "differing": 3.0, "before": "one", "after": "two"}
    ]
    half = CONFIG.replace('["one", "two"]', '["one", { deployment = "two", weight = 1 }]\nstrategy = "weighted"')
    assert (await owner.post("check", text=half))[1]["replay"]["differing"] == 1.5
    _, bad = await owner.post("check", text=CONFIG.replace("max_parallel = 64", "max_paralel = 64"))
    (problem,) = bad["problems"]
    assert (bad["is_valid"], problem["line"], problem["key"]) == (False, 20, "limits.max_paralel")
    assert problem["hint"] == "did you mean max_parallel?"
    assert (owner.file.read_text(), await owner.ask()) == (CONFIG, ("1", "one"))


async def test_a_wrong_change_is_refused_with_its_place_and_changes_nothing(owner: Owner) -> None:
    for fields in (
        {"key": "limits.max_parallel", "value": "many"},
        {"key": "routes.auto.deployments[1]", "value": '"nowhere"'},
        {"key": "limits.max_paralel", "value": "3"},
        {"key": "limits..x", "value": "3"},
        {"key": "server.port.x", "value": "3"},
    ):
        status, said = await owner.post("set", **fields)
        assert (status, said["error"]["code"]) == (422, "configuration_error"), said
    assert (await owner.post("rollback", version=77))[0] == 400
    assert (await owner.post("apply", text="[server\n"))[0] == 422
    assert (await owner.post("apply", text=""))[0] == 422
    assert (await owner.post("set", key="limits.max_parallel", value="3", guard="soon"))[0] == 400
    assert (owner.file.read_text(), owner.view.config_version) == (CONFIG, 1)
    assert [entry.name for entry in owner.file.parent.iterdir() if entry.name.startswith(".atp")] == []


async def test_a_file_that_was_changed_underneath_is_not_overwritten_and_both_sides_are_shown(owner: Owner) -> None:
    base = (await owner.get("text?version=0"))["digest"]
    theirs = CONFIG.replace("max_parallel = 64", "max_parallel = 0")  # refused, so it never is the live text
    owner.file.write_text(theirs)
    status, said = await owner.post("apply", text=CONFIG.replace("64", "99"), base=base)
    assert (status, said["error"]["code"]) == (409, "config_conflict")
    assert "+max_parallel = 0" in said["error"]["message"] and "+max_parallel = 99" in said["error"]["message"]
    assert owner.file.read_text() == theirs
    status, said = await owner.post("set", key="limits.max_queued", value="3")
    assert (status, "max_parallel" in said["error"]["message"]) == (422, True)
    now = (await owner.get("text?version=0"))["digest"]
    status, applied = await owner.post("rollback", version=1, base=now)
    assert (status, applied["version"], owner.file.read_text()) == (200, 3, CONFIG)
    kept = (await owner.get("history"))["versions"][1]
    assert (kept["number"], kept["outcome"]) == (2, "refused"), "nobody loses a text"
    assert (await owner.get("text?version=2"))["files"][0]["text"] == theirs


async def test_a_rollback_brings_the_old_text_back_as_a_new_version(owner: Owner) -> None:
    await owner.post("set", key="routes.auto.deployments", value='["two"]')
    assert await owner.ask() == ("2", "two")
    diff = await owner.get("diff?before=1&after=2")
    assert '-deployments = ["one", "two"]' in diff["text"] and diff["changes"][0]["name"] == "auto"
    status, applied = await owner.post("rollback", version=1)
    assert (status, applied["version"]) == (200, 3)
    assert (owner.file.read_text(), await owner.ask()) == (CONFIG, ("3", "one"))
    assert (await owner.post("rollback", version=3))[0] == 422, "it is live already"


async def test_a_guarded_apply_that_breaks_its_route_is_taken_back_with_a_notice(owner: Owner) -> None:
    for _ in range(30):
        await owner.ask()
    broken = CONFIG.replace(
        "[deployments.one]", "[providers.simulated.profiles.sim-bad]\nrate_500 = 1.0\n\n[deployments.one]"
    )
    broken = broken.replace('model = "sim-instant"', 'model = "sim-bad"')
    status, applied = await owner.post("apply", text=broken, guard="5m", face="console", reason="try it")
    assert (status, applied["guard_s"]) == (200, 300.0), applied
    for _ in range(30):
        assert (await owner.ask())[1] != "200"
    await owner.engine.until(lambda: owner.view.config_version == 3, 10.0)
    assert owner.file.read_text() == CONFIG
    assert (await owner.ask())[1] in ("one", "two"), "the circuit of the first may be open still"
    newest = (await owner.get("history"))["versions"][0]
    assert newest["author"] == "guard" and "made auto worse" in newest["reason"]


async def test_fragments_are_part_of_the_config_and_each_key_has_one_place(owner: Owner) -> None:
    folder = owner.file.parent / "conf.d"
    folder.mkdir()
    (folder / "10-route.toml").write_text('[routes.fast]\ndeployments = ["two"]  # theirs\n')
    await owner.engine.until(lambda: owner.view.config_version == 2, 5.0)
    assert await owner.ask("fast") == ("2", "two")
    await owner.post("set", key="routes.fast.deployments", value='["one"]')
    assert (folder / "10-route.toml").read_text() == '[routes.fast]\ndeployments = ["one"]  # theirs\n'
    assert (await owner.ask("fast"), owner.file.read_text()) == (("3", "one"), CONFIG)
    (folder / "20-again.toml").write_text("[limits]\nmax_parallel = 3\n")
    await owner.engine.until(lambda: bool(owner.view.config_problems), 5.0)
    (problem,) = owner.view.config_problems
    assert "20-again.toml:2:1: limits.max_parallel" in problem and "atp.toml:20" in problem
    (folder / "20-again.toml").unlink()
    await owner.engine.until(lambda: not owner.view.config_problems, 5.0)
    assert owner.view.config_version == 3


async def test_a_secret_is_read_again_when_it_changes_and_serves_on_when_it_is_gone(owner: Owner) -> None:
    key = owner.file.parent / "far.key"
    key.write_text("first-secret\n")
    key.chmod(0o600)
    far = '\n[providers.far]\nkind = "openai"\napi_key = "file:far.key"\n'
    await owner.post("apply", text=CONFIG + far)
    assert owner.view.warnings == ()
    provider = owner.providers["far"]
    key.write_text("second-secret\n")
    await owner.engine.until(lambda: owner.providers["far"] is not provider, 5.0)
    assert owner.view.config_version == 2
    key.unlink()
    await owner.engine.until(lambda: bool(owner.view.warnings), 5.0)
    (warning,) = owner.view.warnings
    assert "atp.toml:24" in warning and "does not exist" in warning and "serves on" in warning
    status, said = await owner.post("set", key="providers.far.api_key", value="env:NO_SUCH_VARIABLE_HERE")
    assert (status, ":24:" in said["error"]["message"]) == (422, True), said
