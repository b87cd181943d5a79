"""A disk that is full, really: answers go on, what cannot be written waits, dollars that cannot be held are refused."""

from __future__ import annotations

from pathlib import Path

from tests.support.full_disk import run_on_small_disk


def test_an_engine_on_a_full_disk_serves_says_so_and_loses_nothing(tmp_path: Path) -> None:
    told = run_on_small_disk(tmp_path, "tests.support.full_disk")
    assert told["statuses"] == [200]
    assert told["refused"] == 503, "a dollar window that cannot be held"
    assert "the disk is full" in told["state"]
    assert any("database" in one and "full" in one for one in told["warnings"])
    assert told["ready"][0] == 503 and "the disk is full" in told["ready"][1]
    assert told["health"] == "degraded"
    assert (told["missing"], told["double"], told["lines"], told["lost"]) == (0, 0, 0, 0)
    assert told["differences"] == [] and told["integrity"] == "ok"
    assert "storage_degraded" in told["log"] and "storage_recovered" in told["log"]
