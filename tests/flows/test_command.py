"""The command as a person meets it: real processes, an empty home, plain words, honest exit codes."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import names_in
from tests.support.process import Home, Ran, Served, run, serving
from tests.support.running import SIMULATED
from tests.support.until import until_answered

CHAT = "/v1/chat/completions"
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
BAD = """
[server]
port = 70000
hots = "127.0.0.1"

[providers.mine]
kind = "opena"

[routes.auto]
deployments = ["nowhere"]
"""
START_CPU_S = 2.0
"""Three times what it takes on an idle machine: processor time grows with what others do to the caches."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def engine(home: Home) -> Iterator[Served]:
    """What a first `serve` on an empty home gives; only the port is not the default, which may be taken."""
    with serving(home, "--port", "0", is_cold=True) as served:
        yield served


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name, as a runtime directory has."""
    with tempfile.TemporaryDirectory(prefix="atp") as name:
        yield Path(name)


def is_plain(ran: Ran) -> bool:
    """One line for people: no traceback, no repr of an exception."""
    return "Traceback" not in ran.said and "Error(" not in ran.said and len(ran.err.strip().splitlines()) == 1


# Without an engine.


def test_version_and_schema_need_nothing_on_disk(empty: Home) -> None:
    assert re.fullmatch(r"atp-console \d+\.\d+\.\d+\S*\n", run(empty, "version", is_cold=True).out)
    schema = run(empty, "schema", is_cold=True)
    tree = json.loads(schema.out)
    assert schema.code == 0
    assert tree["$schema"].endswith("2020-12/schema")
    assert set(tree["properties"]) >= {"server", "providers", "deployments", "routes", "storage"}
    assert not list(empty.path.iterdir())


@pytest.mark.parametrize("command", ["attach", "status", "dashboard", "traffic"])
def test_without_an_engine_one_line_says_how_to_start_one(empty: Home, command: str) -> None:
    ran = run(empty, command)
    assert ran.code == 1
    assert is_plain(ran)
    assert "no engine answers" in ran.err
    assert "atp-console serve" in ran.err
    assert not empty.data_dir.exists()


def test_an_unknown_option_and_an_unknown_command_are_calls_that_are_wrong(empty: Home) -> None:
    for arguments in (
        ["serve", "--prot", "1"],
        ["sevre"],
        ["serve", "--port", "many"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "-1"],
        ["check", "a", "b"],
    ):
        ran = run(empty, *arguments)
        assert ran.code == 2, arguments
        assert "usage: atp-console" in ran.err
        assert "Traceback" not in ran.err
    token = empty.path / "token"
    token.write_text("atp_admin_x")
    for url in ("ftp://box", "box:7443", "http://", "http://user:pass@box:7443"):
        ran = run(empty, "attach", url, "--token-file", str(token))
        assert ran.code == 2, url
        assert is_plain(ran), ran.said


def test_check_names_every_problem_with_its_place_and_a_hint(empty: Home) -> None:
    path = empty.write_config(BAD)
    ran = run(empty, "check")
    assert ran.code == 2
    assert "Traceback" not in ran.said
    lines = ran.err.splitlines()
    assert any(line.startswith(f"{path}:3:") and "port" in line for line in lines), ran.err
    assert any(line.startswith(f"{path}:4:") and "did you mean host" in line for line in lines), ran.err
    assert any(line.startswith(f"{path}:7:") and "did you mean openai" in line for line in lines), ran.err
    assert any(line.startswith(f"{path}:10:") and "nowhere" in line for line in lines), ran.err


def test_check_says_what_a_good_file_holds_and_what_is_missing_around_it(empty: Home) -> None:
    path = empty.path / "my.toml"
    path.write_text(SIMULATED)
    ran = run(empty, "check", str(path))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{path}: ok - 1 providers, 2 deployments, 1 routes\n"
    nowhere = run(empty, "check", "nowhere.toml")
    assert nowhere.code == 2
    assert "nowhere.toml: does not exist" in nowhere.err


@pytest.mark.parametrize("text", [BAD, "[server\nport = 1\n", "\x00"])
def test_a_broken_config_ends_the_start_with_its_problems_and_makes_nothing(empty: Home, text: str) -> None:
    path = empty.write_config(text)
    ran = run(empty, "serve")
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert ran.err.startswith(str(path))
    assert not empty.data_dir.exists()


def test_the_bare_command_passes_on_why_its_engine_did_not_start(empty: Home) -> None:
    path = empty.write_config(BAD)
    broken = run(empty)
    assert broken.code == 2
    assert broken.err.startswith(f"{path}:3:"), broken.err
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = run(empty, "demo", "--port", str(holder.getsockname()[1]))
    assert taken.code == 1
    assert is_plain(taken)
    assert taken.err.count("atp-console: ") == 1
    assert "is in use" in taken.err
    nowhere = run(empty, "--data-dir", str(path / "below-a-file"))
    assert nowhere.code == 1
    assert is_plain(nowhere), nowhere.said


# With an engine.


def test_the_first_start_writes_a_config_and_tells_where_everything_is(home: Home, engine: Served) -> None:
    first, *rest = engine.out().splitlines()
    assert first == f"atp-console listens on {engine.url}"
    assert rest == [f"config {home.config_file}", f"data   {home.data_dir}"]
    assert [record["event"] for record in engine.log()] == ["serving"]
    assert engine.record["pid"] == engine.pid
    assert run(home, "check").code == 0


def test_everything_on_disk_belongs_to_its_owner_alone(home: Home, engine: Served) -> None:
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (home.data_dir, *home.data_dir.rglob("*"))}
    found[home.config_file] = stat.S_IMODE(home.config_file.stat().st_mode)
    found[home.config_file.parent] = stat.S_IMODE(home.config_file.parent.stat().st_mode)
    assert len(found) > 8
    open_to_others = {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}
    assert not open_to_others


async def test_the_first_key_and_the_first_route_serve_at_once(engine: Served) -> None:
    answer = await engine.calls.post(CHAT, HELLO)
    assert answer.status == 200
    view = (await engine.calls.request(answer.headers["x-atp-request-id"]))["request"]
    assert view["state"] == "ok"


def test_status_tells_the_vital_signs(home: Home, engine: Served) -> None:
    ran = run(home, "status")
    assert (ran.code, ran.err) == (0, "")
    assert engine.url in ran.out
    assert f"pid {engine.pid}" in ran.out
    assert str(home.config_file) in ran.out


def test_where_things_are_may_be_said_before_the_command_too(empty: Home, engine: Served) -> None:
    for place in (("--data-dir", str(engine.data_dir), "status"), ("status", "--data-dir", str(engine.data_dir))):
        ran = run(empty, *place)
        assert (ran.code, engine.url in ran.out) == (0, True), ran.said


async def test_the_dashboards_link_lets_in_once(home: Home, engine: Served) -> None:
    ran = run(home, "dashboard")
    assert ran.code == 0
    link = re.fullmatch(rf"{re.escape(engine.url)}/ui/login#code=(\S+)\n", ran.out)
    assert link is not None, ran.out
    login = json.dumps({"code": link[1]}).encode()
    headers = {"content-type": "application/json"}
    answers = [await engine.calls.call("POST", "/ui/login", login, headers, token="") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 401]
    assert "httponly" in answers[0].headers["set-cookie"].lower()


def test_a_second_engine_on_the_same_data_names_the_first(home: Home, engine: Served) -> None:
    ran = run(home, "serve", "--port", "0")
    assert ran.code == 1
    assert is_plain(ran)
    assert f"pid {engine.pid}" in ran.err
    assert "--data-dir" in ran.err
    assert run(home, "status").code == 0, "the first one goes on"


def test_a_taken_port_names_its_holder_and_another_port_at_once(empty: Home) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        before = cpu_s()
        ran = run(empty, "serve", "--port", str(port), is_cold=True)
        assert cpu_s() - before < START_CPU_S
    assert ran.code == 1
    assert is_plain(ran)
    assert f"port {port}" in ran.err
    assert f"pid {os.getpid()}" in ran.err
    suggested = re.search(r"--port (\d+)", ran.err)
    assert suggested is not None
    assert suggested[1] not in ("0", str(port))


def cpu_s() -> float:
    """CPU seconds of all processes that were started here and have ended: wall time is others' business."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_start_and_a_stop_take_little_processor_time(empty: Home) -> None:
    before = cpu_s()
    with serving(empty, "--port", "0", is_cold=True) as engine:
        engine.send(signal.SIGTERM)
        assert engine.wait() == 0
    assert cpu_s() - before < START_CPU_S


# Places.


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
async def test_ipv6_a_long_data_path_and_the_xdg_directories_all_work(empty: Home, short: Path) -> None:
    data_home = empty.path / ("d" * 120)
    config_home = empty.path / "config"
    variables = {"XDG_CONFIG_HOME": str(config_home), "XDG_DATA_HOME": str(data_home), "XDG_RUNTIME_DIR": str(short)}
    home = Home(empty.path, variables)
    data_dir = data_home / "atp-console"
    with serving(home, "--host", "::1", "--port", "0", data_dir=data_dir) as engine:
        assert engine.url.startswith("http://[::1]:")
        assert (config_home / "atp-console" / "atp.toml").is_file()
        place = Path(engine.record["socket"])
        assert place.is_relative_to(short)
        assert len(os.fsencode(place)) <= 100
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert (await engine.calls.post(CHAT, HELLO)).status == 200
        assert run(home, "status").code == 0, "it is reached over the socket"
        engine.send(signal.SIGTERM)
        assert engine.wait() == 0
        assert not names_in(place.parent)
    assert not empty.config_file.exists()
    assert not empty.data_dir.exists()


def test_a_data_directory_that_cannot_be_written_is_told_in_one_line(empty: Home) -> None:
    taken = empty.path / "file"
    taken.write_text("")
    below = run(empty, "serve", "--port", "0", "--data-dir", str(taken / "data"))
    assert below.code != 0
    assert is_plain(below)
    assert below.err.startswith(str(taken / "data"))
    itself = run(empty, "serve", "--port", "0", "--data-dir", str(taken))
    assert itself.code != 0
    assert is_plain(itself)
    assert "not a directory" in itself.err
    assert taken.read_text() == ""


def test_a_read_only_data_directory_is_told_in_one_line(empty: Home) -> None:
    locked = empty.path / "locked"
    locked.mkdir(mode=0o500)
    if os.geteuid() == 0:  # who may write everywhere but there
        locked = Path("/proc/atp-console")
    ran = run(empty, "serve", "--port", "0", "--data-dir", str(locked))
    assert ran.code != 0
    assert is_plain(ran), ran.said
    assert str(locked) in ran.err


def test_a_token_that_others_can_read_is_not_used(empty: Home) -> None:
    empty.data_dir.mkdir(parents=True, mode=0o700)
    token = empty.data_dir / "admin.token"
    token.write_text("atp_admin_" + "a" * 52 + "\n")
    token.chmod(0o644)
    ran = run(empty, "serve", "--port", "0")
    assert ran.code != 0
    assert is_plain(ran), ran.said
    assert str(token) in ran.err
    assert "engine.sock" not in [path.name for path in empty.data_dir.iterdir()]
    assert "chmod 600" in ran.err
    assert not (empty.data_dir / "engine.json").exists()


# Damage.


async def test_a_damaged_database_is_kept_aside_and_told_everywhere(empty: Home) -> None:
    with serving(empty, "--port", "0") as engine:
        first = (await engine.calls.post(CHAT, HELLO)).headers["x-atp-request-id"]
        engine.send(signal.SIGTERM)
        assert engine.wait() == 0
    database = empty.data_dir / "atp.db"
    content = bytearray(database.read_bytes())
    content[2_000:40_000] = os.urandom(38_000)
    database.write_bytes(content)
    with serving(empty, "--port", "0") as engine:
        (kept,) = [path for path in empty.data_dir.glob("atp.db.corrupt-*") if "-wal" not in path.name]
        assert kept.read_bytes() == bytes(content), "nothing of it is lost"
        assert str(kept) in engine.out(), "standard output"
        assert any(str(kept) in record["event"] and record["level"] == "error" for record in engine.log())
        assert str(kept) in run(empty, "status").out
        health = (await engine.calls.call("GET", "/healthz", token="")).json()
        assert health["status"] == "degraded"
        assert "damaged" in json.dumps(health["checks"])
        assert (await engine.calls.call("GET", "/readyz", token="")).status == 200, "it serves all the same"
        assert (await engine.calls.admin("GET", f"/admin/requests/{first}")).status == 404
        answer = await engine.calls.post(CHAT, HELLO)
        assert answer.status == 200, "the client's key is still good"
        empty.write_config(empty.config_file.read_text() + "\n# edited\n")
        await until_version(engine, 2)
        (warning,) = (await engine.calls.status())["warnings"]
        assert str(kept) in warning, "an edit does not end the warning, and --port is no change of the file"


async def test_a_damaged_store_of_bodies_is_kept_aside_and_told_too(empty: Home) -> None:
    bodies = empty.data_dir / "bodies"
    bodies.mkdir(parents=True, mode=0o700)
    (bodies / "cache.db").write_bytes(b"not a database" * 1_000)
    with serving(empty, "--port", "0") as engine:
        answer = await engine.calls.post(CHAT, HELLO)
        assert answer.status == 200

        async def is_told() -> bool:
            return any("bodies" in warning for warning in (await engine.calls.status())["warnings"])

        await until_answered(is_told)
        (kept,) = list(empty.data_dir.glob("bodies.corrupt-*"))
        assert (kept / "cache.db").read_bytes() == b"not a database" * 1_000


async def until_version(engine: Served, version: int) -> None:
    async def is_live() -> bool:
        return bool((await engine.calls.status())["config_version"] == version)

    await until_answered(is_live)
