"""The fault wall against this product, as users run it: every scenario in every variant."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from atp_console.wall.scenarios import CORE, SCENARIOS

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
    code, report, said = wall(within_s=60.0)
    assert complaints(report) == []
    assert report["leaks"] == []
    assert report["core"] == {"passed": 16, "of": 16}
    assert report["extra"]["passed"] == report["extra"]["of"] == len(SCENARIOS) - 16
    assert report["factor"] == 10
    assert (code, said) == (0, "")
    assert report["took_s"] < 25.0
    if report["engine_peak_mib"] is not None:
        assert report["engine_peak_mib"] < 400


@pytest.mark.long
def test_this_product_passes_the_whole_wall_in_full_time() -> None:
    code, report, _ = wall("--full-time", within_s=300.0)
    assert complaints(report) == []
    assert (code, report["core"], report["factor"]) == (0, {"passed": 16, "of": 16}, 1)


def test_an_unknown_scenario_is_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "atp_console", "wall", "--only", "nonsense"]
    ran = subprocess.run(command, capture_output=True, timeout=20, check=False)  # noqa: S603 - our own command
    assert ran.returncode == 1
    assert ran.stderr.decode() == "atp-console: no scenario is called nonsense; --list names them\n"
