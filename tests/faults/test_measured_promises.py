"""The measured promises about streams and departures, against an engine process; minutes long, by flag."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.long


def measured(name: str, *arguments: str) -> dict[str, Any]:
    """The report of one measurement."""
    command = [sys.executable, "-m", f"tests.faults.{name}", *arguments]
    ran = subprocess.run(command, capture_output=True, timeout=300, check=True)  # noqa: S603 - our own command
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_five_hundred_paced_streams_see_no_stall_of_ours_and_cost_little_memory() -> None:
    """A run in which the engine did not get its share of the machine says nothing, and is made again."""
    report = measured("streams")
    for _ in range(2):
        if report["stalls_added_by_us"] and report["engine_waited_for_a_cpu_s"] > 0.2 * report["seconds"]:
            report = measured("streams")
    assert report["whole"] == 500
    assert report["stalls_added_by_us"] == 0
    assert report["kib_per_stream"] < 64
    assert report["still_held"] == []


def test_the_upstream_is_closed_at_once_when_a_client_leaves_at_any_moment() -> None:
    report = measured("disconnects", "--count", "220")
    assert report["closed"] == report["reached_upstream"] >= 200
    assert report["never_closed"] == []
    assert report["p99_ms"] < 100
    assert report["recorded"] == {"cancelled": 220}
    assert report["still_held"] == []
