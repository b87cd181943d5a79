"""Freed memory stays with the process: measured as page faults, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
from atp_engine.system import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
def work():
    return len([bytes(40_000 + size) for size in range(8)])
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_bodies_that_come_and_go_are_not_faulted_in_again_and_again() -> None:
    def faults(how: str) -> int:
        ran = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=False, timeout=60
        )
        if ran.returncode == 3:
            pytest.skip("the C library here cannot be told")
        assert ran.returncode == 0, ran.stderr
        return int(ran.stdout)

    kept, given_back = faults("kept"), faults("as it is")
    assert kept < 200, (kept, given_back)
