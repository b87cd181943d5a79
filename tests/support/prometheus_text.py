"""A strict reader of the Prometheus text format 0.0.4, for tests of `/metrics`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (.+)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram)")
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9][0-9.e+-]*)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


@dataclass
class MetricFamily:
    """One family as read from the page."""

    kind: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)


def parse(page: bytes) -> dict[str, MetricFamily]:
    """The families of a page; any breach of the format is an AssertionError."""
    text = page.decode("utf-8")
    assert text.endswith("\n")
    families: dict[str, MetricFamily] = {}
    current = helped = ""
    for line in text[:-1].split("\n"):
        if found := _HELP.fullmatch(line):
            helped = found[1]
            assert helped not in families, f"{helped} comes twice"
        elif found := _TYPE.fullmatch(line):
            assert found[1] == helped, "TYPE must follow its HELP"
            current = found[1]
            families[current] = MetricFamily(found[2])
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, f"not a sample: {line!r}"
            _take(families[current], current, found[1], found[2] or "", float(found[3]))
    for name, family in families.items():
        assert family.samples, f"{name} is empty"
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _take(family: MetricFamily, name: str, sample: str, labels: str, value: float) -> None:
    allowed = {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if family.kind == "histogram" else {name}
    assert sample in allowed, f"{sample} does not belong to {name}"
    pairs = tuple((label, _unescaped(raw)) for label, raw in _PAIR.findall(labels))
    assert len({label for label, _ in pairs}) == len(pairs)
    assert (sample, pairs) not in family.samples, f"{sample}{pairs} comes twice"
    family.samples[sample, pairs] = value


def _unescaped(raw: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), raw)


def _check_histogram(name: str, family: MetricFamily) -> None:
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for (sample, pairs), value in family.samples.items():
        if sample == f"{name}_bucket":
            bound = float(dict(pairs)["le"])
            series.setdefault(tuple(pair for pair in pairs if pair[0] != "le"), []).append((bound, value))
    assert series
    for labels, steps in series.items():
        assert steps == sorted(steps), "buckets must rise"
        assert steps[-1] == (float("inf"), family.samples[f"{name}_count", labels])
        assert family.samples[f"{name}_sum", labels] >= 0
