"""Every test, in jobs side by side: what `make test` runs.

    python -m tests.all [pytest arguments]

The jobs are forks of this process, which imports once what is slow to import; a job starts as soon as the
imports it names are there. They wait for different things (a processor, a browser, time limits), so three
at once keep two cores at work. Each job's output is printed when it ends, with the processor time it took;
the last line sums them up. Exits 1 when any failed.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Job:
    """Tests that one process runs."""

    places: tuple[str, ...]
    """Files and folders; a place inside another one belongs to the job that names it."""
    after: str
    """The last of the IMPORTS that it needs; it would do the others itself, and again."""


IMPORTS = (
    "atp_engine.engine",
    "tests.support.console_driver",
    "playwright.async_api",
    "openai",
    "anthropic",
    "google.genai",
    "ollama",
)
"""What jobs share, in the order of import."""
JOBS = {
    "wall": Job(("tests/faults/test_wall.py",), "atp_engine.engine"),
    "transports": Job(("tests/unit/providers",), "atp_engine.engine"),
    "acts": Job(
        (
            "tests/tui/test_console_acts.py",
            "tests/tui/test_console_goldens.py",
            "tests/tui/test_console_registry.py",
        ),
        "tests.support.console_driver",
    ),
    "console": Job(("tests/tui",), "tests.support.console_driver"),
    "flows": Job(("tests/flows",), "ollama"),
    "services": Job(("tests/unit/services", "tests/unit/storage"), "atp_engine.engine"),
    "pages": Job(("tests/web", "tests/faults"), "anthropic"),
    "formats": Job(("tests/unit/dialects", "tests/wire", "tests/arch"), "anthropic"),
    "units": Job(("tests/unit",), "anthropic"),
}
"""In the order of their start: the longest first, and such as mostly wait beside such as do not."""
AT_ONCE = 3
QUIET = "wall"
"""Judges time limits of tens of milliseconds, so it runs beside one other job at most."""
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)s?\b")
_CPU = "processor seconds: "
_LOOK_S = 0.05
_FORKS = multiprocessing.get_context("fork")


@dataclass
class Running:
    """A job at work."""

    name: str
    process: BaseProcess
    log: Path
    started: float


def is_inside(path: str, place: str) -> bool:
    """True when the place is the path or one of the folders that hold it."""
    return path == place or path.startswith(f"{place}/")


def unplaced() -> list[str]:
    """Test files that no job would run: none, or the run fails."""
    files = {path.as_posix() for path in Path("tests").rglob("test_*.py")}
    listed = [place for job in JOBS.values() for place in job.places]
    return sorted(name for name in files if not any(is_inside(name, place) for place in listed))


def arguments_of(job: str) -> list[str]:
    """The job's places, and what inside them belongs to other jobs."""
    places = JOBS[job].places
    others = [place for name, found in JOBS.items() if name != job for place in found.places]
    return [*places, *(f"--ignore={other}" for other in others if any(is_inside(other, place) for place in places))]


def cpu_s(times: os.times_result) -> float:
    """Processor time of a process and of those of its children that have ended."""
    return times.user + times.system + times.children_user + times.children_system


def _work(job: str, log: Path) -> None:
    """The life of a job's process."""
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    # Forked with its plugins imported, pytest cannot rewrite their assertions, and says so.
    quiet = "ignore::pytest.PytestAssertRewriteWarning"
    code = pytest.main([*arguments_of(job), "-v", "--no-header", "-rfE", "-W", quiet, *sys.argv[1:]])
    print(f"{_CPU}{cpu_s(os.times()):.1f}", flush=True)
    sys.exit(code)


def _start(folder: Path, job: str) -> Running:
    log = folder / f"{job}.log"
    process = _FORKS.Process(target=_work, args=(job, log))
    process.start()
    return Running(job, process, log, time.monotonic())


def _next(waiting: list[str], running: list[Running], imported: set[str]) -> str | None:
    """The first job that may start now."""
    for job in waiting:
        room = 2 if job == QUIET or any(one.name == QUIET for one in running) else AT_ONCE
        if len(running) < room and JOBS[job].after in imported:
            return job
    return None


def _report(one: Running) -> tuple[Counter[str], float]:
    """Tells of a job that has ended. Returns its tests by outcome, and its processor time in seconds."""
    text = one.log.read_text(errors="replace")
    print(f"== {one.name}, {time.monotonic() - one.started:.0f} s\n{text}", flush=True)
    *_, summary, cpu = ["", "", *text.splitlines()]
    if not cpu.startswith(_CPU):
        return Counter(error=1), 0.0
    return Counter({what: int(number) for number, what in _COUNT.findall(summary)}), float(cpu.removeprefix(_CPU))


def main() -> int:
    """Runs the jobs and returns the exit code."""
    if missed := unplaced():
        print(f"no job of tests/all.py runs {', '.join(missed)}")
        return 1
    started = time.monotonic()
    counts, cpu_of, is_good = Counter[str](), dict[str, float](), True
    to_import, imported = list(IMPORTS), set[str]()
    waiting, running = list(JOBS), list[Running]()
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            if to_import:
                importlib.import_module(to_import[0])
                imported.add(to_import.pop(0))
                gc.freeze()  # no collection in a fork walks it
            else:
                time.sleep(_LOOK_S)
            for one in [one for one in running if not one.process.is_alive()]:
                running.remove(one)
                counted, cpu_of[one.name] = _report(one)
                counts += counted
                is_good = is_good and one.process.exitcode == 0
            while (job := _next(waiting, running, imported)) is not None:
                waiting.remove(job)
                running.append(_start(Path(folder), job))
    failed = counts["failed"] + counts["error"]
    is_good = is_good and counts["passed"] > 0
    cpu_of["imports"] = os.times().user + os.times().system
    each = ", ".join(f"{name} {seconds:.0f}" for name, seconds in cpu_of.items())
    print(f"took {time.monotonic() - started:.0f} s, of processor time {sum(cpu_of.values()):.0f} s: {each}")
    print(f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
