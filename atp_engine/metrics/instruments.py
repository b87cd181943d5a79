"""Counters, gauges and histograms that cost about a tenth of a microsecond to touch.

The catalog builds them, services hold bound children, the exposition reads them. A family's set of
label values is bounded: what comes after the cap is counted under `other`, so outside names cannot
grow memory. Used on one event loop only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf, isfinite, log2
from typing import Generic, TypeVar

from atp_engine.core.buckets import BUCKETS, HIGHEST, LOWEST, LOWEST_EXPONENT, PER_OCTAVE, quantile

MAX_CHILDREN = 256
"""Most label sets of one family, the one for `other` not counted."""
OTHER = "other"
_SHIFT = -LOWEST_EXPONENT * PER_OCTAVE + 1.0 - 1e-9


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Adds; a negative or not finite amount is ignored."""
        if 0 <= amount < inf:
            self.value += amount


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Replaces the value; one that is not finite is ignored."""
        if isfinite(value):
            self.value = value


class Histogram:
    """Durations in seconds, in buckets of 9 % width: any percentile is known to about 4.5 %."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def observe(self, seconds: float) -> None:
        """Counts one duration; negative ones count as 0, those that are not finite are ignored."""
        if LOWEST < seconds <= HIGHEST:
            # `core.buckets.bucket_of` written out: the call would cost a third of the whole.
            self.counts[int(log2(seconds) * PER_OCTAVE + _SHIFT)] += 1
        elif seconds <= LOWEST:
            self.counts[0] += 1
            seconds = max(0.0, seconds)
        elif isfinite(seconds):
            self.counts[-1] += 1
        else:
            return
        self.total += seconds

    def observe_all(self, durations: Iterable[float]) -> None:
        """Counts many; of the usual ones each costs half of what it would alone."""
        counts, total = self.counts, 0.0
        for seconds in durations:
            if LOWEST < seconds <= HIGHEST:
                counts[int(log2(seconds) * PER_OCTAVE + _SHIFT)] += 1
                total += seconds
            else:
                self.observe(seconds)
        self.total += total

    def percentile(self, share: float) -> float | None:
        """The duration in seconds below which `share` (0..1) of all lie; None when nothing was counted."""
        return quantile(enumerate(self.counts), share)


Instrument = TypeVar("Instrument", bound=Counter | Gauge | Histogram)


class Family(Generic[Instrument]):
    """All children of one metric, one per set of label values. A gauge shows up once it was set, so
    that what was never measured is not taken for zero."""

    def __init__(
        self,
        name: str,
        description: str,
        kind: str,
        make: Callable[[], Instrument],
        labels: tuple[str, ...] = (),
        *,
        unit: float = 1.0,
        most: int = MAX_CHILDREN,
    ) -> None:
        self.name = name
        self.description = description
        self.kind = kind
        self.labels = labels
        self.unit = unit
        """What one of the stored numbers is in the exposed unit: 1e-9 for nano-dollars shown as USD."""
        self._make = make
        self._most = most
        self._children: dict[tuple[str, ...], Instrument] = {}
        self.overflowed = 0
        """Label sets that went to `other`."""
        if not labels and kind != "gauge":
            self.child()

    def child(self, *values: str) -> Instrument:
        """The instrument of these label values, made when missing; hold on to it on hot paths.

        Raises ValueError when the number of values is not that of the labels.
        """
        found = self._children.get(values)
        if found is not None:
            return found
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {len(values)} of them")
        if len(self._children) >= self._most:
            self.overflowed += 1
            values = (OTHER,) * len(self.labels)
            if values in self._children:
                return self._children[values]
        found = self._children[values] = self._make()
        return found

    def forget(self, keeps: Callable[[tuple[str, ...]], bool]) -> None:
        """Drops the children whose label values `keeps` does not want (deployments that left the config)."""
        self._children = {values: child for values, child in self._children.items() if keeps(values)}

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Instrument]]:
        return iter(self._children.items())

    def __len__(self) -> int:
        return len(self._children)


AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


class Registry:
    """Families in the order of their making; names are unique."""

    def __init__(self) -> None:
        self._families: dict[str, AnyFamily] = {}

    def counter(self, name: str, description: str, *labels: str, unit: float = 1.0) -> Family[Counter]:
        """A new family of counters."""
        family = Family(name, description, "counter", Counter, labels, unit=unit)
        self._add(family)
        return family

    def gauge(self, name: str, description: str, *labels: str) -> Family[Gauge]:
        """A new family of gauges."""
        family = Family(name, description, "gauge", Gauge, labels)
        self._add(family)
        return family

    def histogram(self, name: str, description: str, *labels: str) -> Family[Histogram]:
        """A new family of histograms over seconds."""
        family = Family(name, description, "histogram", Histogram, labels, most=32)
        self._add(family)
        return family

    def __iter__(self) -> Iterator[AnyFamily]:
        return iter(self._families.values())

    def _add(self, family: AnyFamily) -> None:
        if family.name in self._families:
            raise ValueError(f"two metrics are called {family.name}")
        self._families[family.name] = family
