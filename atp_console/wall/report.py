"""The wall's results for people and for programs.

`command` prints them. A scenario has passed when each of its variants has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atp_console.wall.runner import Result

BUSY_MS = 150.0
"""A lag from which on a verdict about time says little."""


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run."""

    target: str
    factor: float
    took_s: float
    results: Sequence[Result]
    lag_ms: float
    """The longest time that the wall's own process was kept from running."""
    leaks: Sequence[str] = ()
    """What the engine still held afterwards."""
    peak_mib: float | None = None

    @property
    def has_passed(self) -> bool:
        """Every case passed and nothing leaked."""
        return not self.leaks and all(result.has_passed for result in self.results)

    def score(self, *, is_core: bool) -> tuple[int, int]:
        """Scenarios passed, and how many there are."""
        rows = [results for results in self._rows() if results[0].case.scenario.is_core is is_core]
        return sum(all(result.has_passed for result in row) for row in rows), len(rows)

    def text(self, *, is_verbose: bool = False) -> str:
        """The table: a line per scenario, and one per variant that failed (or all)."""
        rows = self._rows()
        width = max(16, *(len(row[0].case.scenario.name) for row in rows))
        lines = [f"The fault wall against {self.target}, {self._pace()}", ""]
        for heading, is_core in (("core scenarios", True), ("extra scenarios", False)):
            chosen = [row for row in rows if row[0].case.scenario.is_core is is_core]
            if chosen:
                lines += [heading, *_table(chosen, width, is_verbose=is_verbose), ""]
        return "\n".join([*lines, self._verdict()])

    def json(self) -> str:
        """The same for programs."""
        core, extra = self.score(is_core=True), self.score(is_core=False)
        body = {
            "target": self.target,
            "factor": self.factor,
            "passed": self.has_passed,
            "took_s": round(self.took_s, 2),
            "core": {"passed": core[0], "of": core[1]},
            "extra": {"passed": extra[0], "of": extra[1]},
            "lag_ms": round(self.lag_ms, 1),
            "leaks": list(self.leaks),
            "engine_peak_mib": self.peak_mib,
            "scenarios": [_scenario(row) for row in self._rows()],
        }
        return json.dumps(body, indent=2)

    def _rows(self) -> list[list[Result]]:
        rows: dict[str, list[Result]] = {}
        for result in self.results:
            rows.setdefault(result.case.scenario.name, []).append(result)
        return sorted(rows.values(), key=lambda row: not row[0].case.scenario.is_core)

    def _pace(self) -> str:
        return "full time" if self.factor == 1.0 else f"times shortened by {self.factor:g}"

    def _verdict(self) -> str:
        core, extra = self.score(is_core=True), self.score(is_core=False)
        said = [f"{core[0]} of {core[1]} core"] if core[1] else []
        said += [f"{extra[0]} of {extra[1]} extra"] if extra[1] else []
        passed = sum(result.has_passed for result in self.results)
        line = f"{', '.join(said)}; {passed} of {len(self.results)} runs passed in {self.took_s:.1f} s ({self._pace()})"
        if self.peak_mib is not None:
            line += f"; the engine's peak memory was {self.peak_mib:.0f} MiB"
        lines = [line]
        if self.lag_ms > BUSY_MS:
            lines.append(
                f"this machine was busy (the wall stood still for {self.lag_ms:.0f} ms): limits may be its fault"
            )
        return "\n".join([*lines, *(f"LEAK: {leak}" for leak in self.leaks)])


def _table(rows: list[list[Result]], width: int, *, is_verbose: bool) -> list[str]:
    lines = []
    for row in rows:
        passed = sum(result.has_passed for result in row)
        verdict = "ok  " if passed == len(row) else "FAIL"
        slowest = max(result.seconds for result in row)
        saw = " | ".join(dict.fromkeys(result.saw for result in row))
        scenario = row[0].case.scenario
        lines.append(f"{verdict} {scenario.name:{width}} {passed}/{len(row)} {slowest:6.1f} s  {scenario.title}")
        if is_verbose:
            lines += [
                f"     {result.case.variant.name:{width}} {result.seconds:10.2f} s  {result.saw}" for result in row
            ]
        else:
            lines.append(f"     {'':{width}} saw {saw}")
        for result in row:
            lines += [f"     ! {result.case.variant.name}: {complaint}" for complaint in result.complaints]
    return lines


def _scenario(row: list[Result]) -> dict[str, Any]:
    scenario = row[0].case.scenario
    return {
        "name": scenario.name,
        "title": scenario.title,
        "is_core": scenario.is_core,
        "passed": all(result.has_passed for result in row),
        "runs": [
            {
                "variant": result.case.variant.name,
                "passed": result.has_passed,
                "complaints": list(result.complaints),
                "saw": result.saw,
                "seconds": round(result.seconds, 3),
            }
            for result in row
        ],
    }
