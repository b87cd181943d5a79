"""Every test, in jobs side by side: what `make test` runs.

    python -m tests.all [pytest arguments]

The jobs wait for different things (a processor, a browser, time limits), so three at once keep two cores
at work. Each job's output is printed when it ends; the last line sums them up. Exits 1 when any failed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

JOBS = {
    "console": ("tests/tui",),
    "flows": ("tests/flows",),
    "transports": ("tests/unit/providers", "tests/unit/storage", "tests/unit/services"),
    "pages": ("tests/web", "tests/faults"),
    "formats": ("tests/unit/dialects", "tests/wire", "tests/arch"),
    "units": ("tests/unit",),
    "wall": ("tests/faults/test_wall.py",),
}
"""What each runs, the longest first; a place inside another one belongs to the job that names it."""
AT_ONCE = 3
QUIET = "wall"
"""Judges time limits of tens of milliseconds, so it runs beside one other job at most."""
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)s?\b")
_LOOK_S = 0.05


@dataclass
class Running:
    """A job at work."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    started: float


def is_inside(path: str, place: str) -> bool:
    """True when the place is the path or one of the folders that hold it."""
    return path == place or path.startswith(f"{place}/")


def unplaced() -> list[str]:
    """Test files that no job would run: none, or the run fails."""
    files = {path.as_posix() for path in Path("tests").rglob("test_*.py")}
    listed = [place for places in JOBS.values() for place in places]
    return sorted(name for name in files if not any(is_inside(name, place) for place in listed))


def arguments_of(job: str) -> list[str]:
    """The job's places, and what inside them belongs to other jobs."""
    places = JOBS[job]
    others = [place for name, found in JOBS.items() if name != job for place in found]
    return [*places, *(f"--ignore={other}" for other in others if any(is_inside(other, place) for place in places))]


def _start(folder: Path, job: str) -> Running:
    command = [sys.executable, "-m", "pytest", *arguments_of(job), "-v", "--no-header", "-rfE", *sys.argv[1:]]
    log = folder / f"{job}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 - our own program
    return Running(job, process, log, time.monotonic())


def _next(waiting: list[str], running: list[Running]) -> str | None:
    """The first job that may start now."""
    for job in waiting:
        if len(running) < (2 if job == QUIET or any(one.name == QUIET for one in running) else AT_ONCE):
            return job
    return None


def main() -> int:
    """Runs the jobs and returns the exit code."""
    if missed := unplaced():
        print(f"no job of tests/all.py runs {', '.join(missed)}")
        return 1
    started = time.monotonic()
    counts = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
    is_good = True
    waiting, running = list(JOBS), list[Running]()
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while (job := _next(waiting, running)) is not None:
                waiting.remove(job)
                running.append(_start(Path(folder), job))
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                text = one.log.read_text(errors="replace")
                print(f"== {one.name}, {time.monotonic() - one.started:.0f} s\n{text}", flush=True)
                is_good = is_good and one.process.returncode == 0
                for number, what in _COUNT.findall(text.rstrip().rsplit("\n", 1)[-1]):
                    counts[what] += int(number)
            time.sleep(_LOOK_S)
    failed = counts["failed"] + counts["error"]
    is_good = is_good and counts["passed"] > 0
    print(f"took {time.monotonic() - started:.0f} s")
    print(f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
