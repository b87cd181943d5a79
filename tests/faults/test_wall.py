"""The fault wall against this product, as users run it: every scenario in every variant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atp_console.wall.own_engine import config_text
from atp_console.wall.report import BUSY_MS
from atp_console.wall.scenarios import CORE, SCENARIOS, cases
from atp_console.wall.upstream import UPSTREAM_KEY, listen
from tests.support.process import Home, run, serving

CORE_NAMES = (
    "rate-limit-then-healthy", "rate-limit-forever", "server-error-once", "unavailable-forever", "reset-before-headers",
    "silent", "late-first-token", "cut-after-40", "stall-after-20", "malformed-tenth", "no-terminal-event",
    "context-exceeded", "content-filter", "cut-without-prefill", "outage", "fallback-identity",
)  # fmt: skip


def wall(*arguments: str, within_s: float) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON report and standard error of a run."""
    command = [sys.executable, "-m", "atp_console", "wall", "--json", *arguments]
    ran = subprocess.run(command, capture_output=True, timeout=within_s, check=False)  # noqa: S603 - our own command
    return ran.returncode, json.loads(ran.stdout), ran.stderr.decode()


def complaints(report: dict[str, Any]) -> list[str]:
    return [
        f"{scenario['name']}.{run['variant']}: {complaint}"
        for scenario in report["scenarios"]
        for run in scenario["runs"]
        for complaint in run["complaints"]
    ]


def test_the_wall_has_the_sixteen_core_scenarios() -> None:
    assert tuple(scenario.name for scenario in CORE) == CORE_NAMES
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_this_product_passes_the_whole_wall() -> None:
    for _ in range(3):
        code, report, said = wall(within_s=60.0)
        if not complaints(report) or report["lag_ms"] < BUSY_MS:
            break  # else the machine was too busy for a verdict about time
    assert complaints(report) == []
    assert report["leaks"] == []
    assert report["core"] == {"passed": 16, "of": 16}
    assert report["extra"]["passed"] == report["extra"]["of"] == len(SCENARIOS) - 16
    assert report["factor"] == 8
    assert (code, said) == (0, "")
    assert report["took_s"] < 25.0
    if report["engine_peak_mib"] is not None:
        assert report["engine_peak_mib"] < 400


@pytest.mark.long
def test_this_product_passes_the_whole_wall_in_full_time() -> None:
    code, report, _ = wall("--full-time", within_s=300.0)
    assert complaints(report) == []
    assert (code, report["core"], report["factor"]) == (0, {"passed": 16, "of": 16}, 1)


def test_another_gateway_is_judged_at_its_address(tmp_path: Path) -> None:
    """Ours, configured by hand as another one would be."""
    names = ("unavailable-forever", "cut-after-40", "content-filter")
    chosen = cases(names=names, variants=("chat", "messages"))
    with listen("127.0.0.1", 0) as reserved:
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    home = Home(tmp_path)
    key_file = home.write_config(config_text(chosen, address, "127.0.0.1:9", 10.0)).parent / "wall.key"
    key_file.touch(mode=0o600)
    key_file.write_text(UPSTREAM_KEY)
    with serving(home) as engine:
        only = [part for name in names for part in ("--only", name)]
        where = ["--target", engine.url, "--key-file", str(engine.data_dir / "client.key"), "--listen", address]
        code, report, _ = wall(
            *only, *where, "--factor", "10", "--variant", "chat", "--variant", "messages", within_s=30.0
        )
        assert complaints(report) == []
        assert (code, report["core"], report["target"]) == (0, {"passed": 3, "of": 3}, engine.url)


def test_a_gateway_that_does_not_answer_fails_the_wall() -> None:
    code, report, _ = wall(
        "--only", "content-filter", "--target", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", within_s=30
    )
    assert code == 1
    assert any("unreachable" in complaint for complaint in complaints(report))


def test_what_to_configure_is_listed_for_every_deployment(tmp_path: Path) -> None:
    ran = run(Home(tmp_path), "wall", "--configuration", "--only", "context-exceeded")
    assert ran.code == 0
    for role in ("primary", "same", "fallback"):
        assert f"http://127.0.0.1:7477/context-exceeded.chat/{role}/v1  model context-exceeded.chat.{role}" in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nonsense"], "no scenario is called nonsense; --list names them"),
        (["--variant", "nonsense"], "no scenario is left by these choices"),
        (["--factor", "0.001"], "--factor is a number from 0.1 to 100"),
        (["--target", "gopher://here"], "'gopher://here' is not an address such as http://127.0.0.1:4000/v1"),
        (["--listen", "nowhere"], "'nowhere' is not an address such as 127.0.0.1:7477"),
        (["--model-template", "{nope}"], "'{nope}' may hold {case}, {scenario} and {variant} and no other braces"),
        (["--key-file", "/nonexistent/key"], "cannot read the key file /nonexistent/key"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = run(Home(tmp_path), "wall", *arguments)
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"atp-console: {said}")
