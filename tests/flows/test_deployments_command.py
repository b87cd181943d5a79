"""`atp-console deployments` on a running engine, and how many files that engine may open."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from atp_engine.system import raise_open_files
from tests.support.process import Home, Served, run, serving


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Home(tmp_path_factory.mktemp("home")), "--port", "0", is_cold=True) as served:
        yield served


def test_the_command_lists_deployments_and_acts_on_one(engine: Served) -> None:
    listed = run(engine.home, "deployments")
    assert (listed.code, listed.err) == (0, "")
    head, first, *_ = listed.out.splitlines()
    assert head.split()[:3] == ["DEPLOYMENT", "HEALTH", "CIRCUIT"]
    key = first.split()[0]
    drained = run(engine.home, "deployments", key, "drain")
    assert drained.code == 0
    assert "draining" in drained.out
    (view,) = json.loads(run(engine.home, "deployments", key, "--json").out)
    assert view["is_draining"]
    assert "draining" not in run(engine.home, "deployments", key, "close").out
    probe = run(engine.home, "deployments", key, "probe")
    assert (probe.code, "nothing was called" in probe.out) == (0, True)


def test_a_wrong_call_is_told_in_one_line(engine: Served) -> None:
    for arguments, code, said in [
        (("none",), 1, "there is no deployment none"),
        (("none", "open"), 1, "No such deployment"),
        (("none", "explode"), 2, "drain"),
    ]:
        ran = run(engine.home, "deployments", *arguments)
        assert (ran.code, ran.out, said in ran.err) == (code, "", True), ran.err
        assert len(ran.err.splitlines()) == 1


def test_serve_may_open_all_the_files_that_the_system_lets_it(engine: Served) -> None:
    lines = Path(f"/proc/{engine.pid}/limits").read_text().splitlines()
    (soft, hard) = next(line.split()[3:5] for line in lines if line.startswith("Max open files"))
    assert soft == hard
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        assert raise_open_files() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
