"""Every test, in groups side by side: what `make test` runs.

    python -m tests.all [pytest arguments]

The groups wait for different things (a processor, a browser, time limits), so two cores serve them at
once. Each group's output is printed when it ends; the last line sums them up. Exits 1 when any failed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GROUPS = {
    "console": ["tests/tui"],
    "the rest": ["tests/unit", "tests/arch", "tests/wire", "tests/flows", "tests/web", "tests/faults"],
}
ALONE = "tests/faults/test_wall.py"
"""Judges time limits of tens of milliseconds, so it runs when the others are done."""
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)s?\b")


def unplaced() -> list[str]:
    """Test files that no group would run: none, or the run fails."""
    files = {path.as_posix() for path in Path("tests").rglob("test_*.py")}
    listed = [place for places in GROUPS.values() for place in places]
    return sorted(name for name in files if not any(name == place or name.startswith(f"{place}/") for place in listed))


def _start(log: Path, places: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
    command = [sys.executable, "-m", "pytest", *places, "-v", "--no-header", "-rfE", *sys.argv[1:]]
    if ALONE not in places:
        command.append(f"--ignore={ALONE}")
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output), log  # noqa: S603 - our own program


def main() -> int:
    """Runs the groups and returns the exit code."""
    if missed := unplaced():
        print(f"no group of tests/all.py runs {', '.join(missed)}")
        return 1
    started = time.monotonic()
    counts = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for stage in (GROUPS, {"wall": [ALONE]}):
            running = {name: _start(Path(folder) / f"{name}.log", places) for name, places in stage.items()}
            for name, (process, log) in running.items():
                code = process.wait()
                text = log.read_text(errors="replace")
                print(f"== {name}\n{text}", flush=True)
                is_good = is_good and code == 0
                for number, what in _COUNT.findall(text.rstrip().rsplit("\n", 1)[-1]):
                    counts[what] += int(number)
    failed = counts["failed"] + counts["error"]
    is_good = is_good and counts["passed"] > 0
    print(f"took {time.monotonic() - started:.0f} s")
    print(f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
