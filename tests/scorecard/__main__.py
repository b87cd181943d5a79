"""The console's scorecard: 25 checks, each proved by tests and measurements that are run now.

    python -m tests.scorecard [--only 1,22] [--write]      (make scorecard)

Prints a table; `--write` puts it into README between its marks. Ends with 1 when a check has less than 2.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tests.scorecard.checks import CHECKS, Check
from tests.scorecard.measures import MEASURES, Measure
from tests.support.source_tree import ROOT

_MARKS = ("<!-- scorecard -->", "<!-- end of the scorecard -->")


@dataclass(frozen=True, slots=True)
class Score:
    """A check's points, 0 to 2, and what they stand on."""

    check: Check
    points: int
    evidence: str


def run_tests(checks: list[Check]) -> dict[str, str]:
    """Every test of the files that the checks name, as `file::test` with its outcome."""
    files = sorted({name.partition("::")[0] for check in checks for name in check.tests})
    outcomes: dict[str, str] = {}
    pages = [name for name in files if name.startswith("tests/web")]
    for group in ([name for name in files if name not in pages], pages):
        if group:
            outcomes |= _outcomes(group)
    return outcomes


def _outcomes(files: list[str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1", f"--junitxml={report}", *files]
        subprocess.run(command, cwd=ROOT, check=False, timeout=900, stdout=sys.stderr)  # noqa: S603
        cases = ET.parse(report).iter("testcase")  # noqa: S314 - written by pytest a moment ago
        return {f"{case.get('file')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ET.Element) -> str:
    for kind in ("failure", "error", "skipped"):
        if case.find(kind) is not None:
            return kind
    return "passed"


def judge(check: Check, outcomes: dict[str, str], measured: dict[str, Measure]) -> Score:
    """The points of a check: 2 when all of its evidence holds, 1 when some of it does."""
    held: list[bool] = []
    words: list[str] = []
    ran = 0
    for wanted in check.tests:
        file, _, part = wanted.partition("::")
        found = {name: end for name, end in outcomes.items() if name.startswith(file) and part in name}
        ran += len(found)
        held.append(bool(found) and all(end == "passed" for end in found.values()))
        words += [f"{name.rpartition('::')[2]}: {end}" for name, end in found.items() if end != "passed"]
        words += [] if found else [f"no test {part or file}"]
    if ran:
        words.insert(0, f"{ran} tests")
    for name in check.measures:
        held.append(measured[name].is_met is True)
        words.append(measured[name].found + ("" if measured[name].is_met else " (bar missed)"))
    return Score(check, 2 if all(held) else 1 if any(held) else 0, "; ".join(words))


def table(scores: list[Score]) -> str:
    """The scorecard as a Markdown table."""
    rows = [
        f"| {one.check.number} | {one.check.asked} | {one.check.bar} | {one.points} | {one.evidence} |"
        for one in scores
    ]
    total = sum(one.points for one in scores)
    head = ["| # | Check | Bar for 2 | Points | Seen |", "|--:|---|---|--:|---|"]
    return "\n".join([*head, *rows, f"| | **All** | | **{total} of {2 * len(scores)}** | |"])


def main() -> int:
    """Runs the evidence and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.scorecard", description=__doc__)
    parser.add_argument("--only", default="", help="numbers of checks, with commas")
    parser.add_argument("--write", action="store_true", help="put the table into README")
    arguments = parser.parse_args()
    only = {int(number) for number in arguments.only.split(",") if number}
    checks = [check for check in CHECKS if not only or check.number in only]
    measured = {name: MEASURES[name]() for name in dict.fromkeys(name for check in checks for name in check.measures)}
    outcomes = run_tests(checks)
    scores = [judge(check, outcomes, measured) for check in checks]
    text = table(scores)
    print(text)
    if arguments.write:
        readme = ROOT / "README.md"
        begin, end = _MARKS
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        readme.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", readme.read_text()))
    return 0 if all(score.points == 2 for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
