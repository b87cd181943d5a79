"""`atp-console config` and `import` as a person meets them: real processes on a running engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Home, Ran, Served, run, serving
from tests.support.running import SIMULATED

CONFIG = f"# mine\n{SIMULATED}\n[limits]\nmax_parallel = 64   # why\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    editor = tmp_path_factory.mktemp("editor") / "ed.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/^max_parallel = .*/max_parallel = '$WANTED'/' \"$1\"\n")
    editor.chmod(0o755)
    return Home(tmp_path_factory.mktemp("home"), {"EDITOR": str(editor), "WANTED": "7", "ROUTER_DRAIN_TIMEOUT": "1"})


@pytest.fixture(scope="module")
def engine(home: Home) -> Iterator[Served]:
    home.write_config(CONFIG)
    with serving(home) as served:
        yield served


def config(home: Home, *arguments: str) -> Ran:
    return run(home, "config", *arguments)


def test_the_config_is_changed_looked_at_and_taken_back_from_the_command_line(home: Home, engine: Served) -> None:
    assert "ROUTER_DRAIN_TIMEOUT is an old name; state server.drain_s" in run(home, "status").out
    done = config(home, "set", "limits.max_parallel", "32", "--reason", "too many", "--guard", "1s")
    assert (done.code, done.out.splitlines()[0]) == (0, "config version 2 is live"), done.said
    assert "limits changed: max_parallel 64 -> 32" in done.out and "guarded for 1 s" in done.out
    assert home.config_file.read_text() == CONFIG.replace("64", "32")
    assert config(home, "get", "limits.max_parallel").out == "32\n"
    assert config(home, "get").out == home.config_file.read_text()
    history = config(home, "history").out.splitlines()
    assert history[0].startswith("*    2") and "cli (" in history[0] and "too many" in history[0]
    assert "-max_parallel = 64   # why" in config(home, "diff", "1", "2").out
    assert config(home, "edit").out.startswith("config version 3 is live")
    assert config(home, "get", "limits.max_parallel").out == "7\n"
    assert config(home, "rollback").out.startswith("config version 4 is live")
    assert home.config_file.read_text() == CONFIG.replace("64", "32")
    assert config(home, "rollback", "1").code == 0
    assert home.config_file.read_text() == CONFIG


def test_what_is_wrong_is_refused_in_plain_lines_with_their_places(home: Home, engine: Served) -> None:
    before = home.config_file.read_text()
    for arguments, told in (
        (("set", "limits.max_paralel", "3"), "did you mean max_parallel?"),
        (("set", "limits.max_parallel"), "state a value, or --unset"),
        (("get", "limits.max_paralel"), "is no key of the config"),
        (("rollback", "999"), "no version 999"),
        (("set", "limits.max_parallel", "3", "--guard", "soon"), "a guard is a time"),
        (("apply", str(home.path / "nowhere.toml")), "cannot read"),
    ):
        ran = config(home, *arguments)
        assert (ran.code, ran.out) == (2, ""), ran.said
        assert told in ran.err and "Traceback" not in ran.err, ran.said
    assert home.config_file.read_text() == before


def test_another_gateways_config_is_imported_checked_and_tried(home: Home, engine: Served, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.toml"
    theirs.write_text("models:\n  small:\n    cmd: serve ${PORT}\n    aliases: [tiny]\n")
    assert run(home, "import", "llama-swap", str(theirs), "--out", str(ours)).code == 0
    assert ours.stat().st_mode & 0o777 == 0o600
    assert "1 deployments, 2 routes" in run(home, "check", str(ours)).out
    tried = config(home, "apply", str(ours), "--dry-run")
    assert tried.code == 0 and "deployment small added" in tried.out, tried.said
    assert config(home, "get").out == home.config_file.read_text()
    assert run(home, "import", "llama-swap", str(theirs), "--out", str(ours)).code == 1, "never over a file"
