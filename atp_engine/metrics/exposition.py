"""The catalog as Prometheus text, format 0.0.4.

`/metrics` calls `render` per scrape. A histogram shows one `le` per power of two, 2^-8 s (4 ms) to
2^10 s, which are exact bounds of its finer buckets. The cost is bounded by the caps on label sets.
"""

from __future__ import annotations

from itertools import accumulate

from atp_engine.core.buckets import LOWEST_EXPONENT, PER_OCTAVE
from atp_engine.metrics.instruments import AnyFamily, Histogram, Registry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_EXPONENTS = range(-8, 11)
_STEPS = [(repr(2.0**exponent), (exponent - LOWEST_EXPONENT) * PER_OCTAVE) for exponent in _EXPONENTS]
"""`le` as text, and the last bucket that counts below it."""


def render(registry: Registry) -> bytes:
    """The whole page."""
    lines: list[str] = []
    for family in registry:
        if not len(family):
            continue
        lines.append(f"# HELP {family.name} {_escaped_help(family.description)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        _samples(lines, family)
    lines.append("")
    return "\n".join(lines).encode("utf-8", "replace")


def _samples(lines: list[str], family: AnyFamily) -> None:
    for values, child in family:
        labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(family.labels, values, strict=True))
        if isinstance(child, Histogram):
            _histogram(lines, family.name, labels, child)
        else:
            lines.append(f"{family.name}{'{' + labels + '}' if labels else ''} {_number(child.value * family.unit)}")


def _histogram(lines: list[str], name: str, labels: str, histogram: Histogram) -> None:
    below = list(accumulate(histogram.counts))
    prefix = f"{name}_bucket{{{labels}{',' if labels else ''}le="
    lines += [f'{prefix}"{bound}"}} {below[bucket]}' for bound, bucket in _STEPS]
    suffix = f"{{{labels}}}" if labels else ""
    lines.append(f'{prefix}"+Inf"}} {below[-1]}')
    lines.append(f"{name}_sum{suffix} {_number(histogram.total)}")
    lines.append(f"{name}_count{suffix} {below[-1]}")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
