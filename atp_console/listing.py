"""The visible list of requests: filtered, sorted, possibly frozen; kept in step row by row.

Pure. `state` feeds it; the table reads `len`, `at` and `index_of`. By time an update costs a binary
search, so a list of 5000 stays cheap at hundreds of events a second; other orders are sorted anew at
most when `refresh` is called.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from atp_console.marks import Marks
from atp_engine.core.filter import Filter, parse
from atp_engine.core.types import PriceState, RequestState
from atp_engine.core.views import RequestView

SortKey = Callable[[RequestView], float]

SORTS: dict[str, SortKey] = {
    "ttft": lambda view: -1.0 if view.ttft_ms is None else view.ttft_ms,
    "total": lambda view: -1.0 if view.duration_ms is None else view.duration_ms,
    "tok/s": lambda view: -1.0 if view.tokens_per_s is None else view.tokens_per_s,
    "in": lambda view: float(view.prompt_tokens),
    "out": lambda view: float(view.output_tokens),
    "cost": lambda view: -1.0 if view.price_state is PriceState.UNKNOWN else float(view.cost_nusd),
}
SORT_ORDER = ("time", *SORTS)
EVERYTHING = parse("")
_BAD = frozenset({RequestState.FAILED, RequestState.TRUNCATED, RequestState.REJECTED})


@dataclass(slots=True)
class Row:
    """A request in the list; `view` is replaced when it changes, `key` never is."""

    view: RequestView
    key: tuple[float, str]


def row_of(view: RequestView) -> Row:
    """A row, placed by its start."""
    return Row(view, (view.started_at, view.id))


def _key(row: Row) -> tuple[float, str]:
    return row.key


class Listing:
    """Rows in display order; index 0 is the top: the newest, or the largest of a sorted figure."""

    def __init__(self, rows: dict[str, Row]) -> None:
        """`rows` is the owner's map by id and is only read here."""
        self._rows = rows
        self.marked = Marks()
        """After a change of `marked.is_only`, or of marks while it is on, call `rebuild`."""
        self._filter = EVERYTHING
        self._is_filter_on = True
        self._is_errors_only = False
        self._sort = "time"
        self._is_ascending = False
        self._visible: list[Row] = []
        self._frozen: list[RequestView] | None = None
        self._positions: dict[str, int] = {}
        self._is_stale = False
        self.new_while_frozen = 0

    # --- what is asked for

    @property
    def filter(self) -> Filter:
        """The filter as given, also while it is switched off."""
        return self._filter

    @property
    def is_filter_on(self) -> bool:
        """False while `\\` has switched the filter off."""
        return self._is_filter_on

    @property
    def is_errors_only(self) -> bool:
        """True while only failures are shown."""
        return self._is_errors_only

    @property
    def is_narrowed(self) -> bool:
        """True when some rows may be left out."""
        return self._is_errors_only or self.marked.is_only or (self._is_filter_on and not self._filter.is_empty)

    @property
    def sort(self) -> str:
        """One of SORT_ORDER."""
        return self._sort

    @property
    def is_ascending(self) -> bool:
        """True when the smallest figure, or the oldest row, is on top."""
        return self._is_ascending

    @property
    def is_frozen(self) -> bool:
        """True while the list stands still."""
        return self._frozen is not None

    def set_filter(self, wanted: Filter, now: float) -> None:
        """Shows only what matches; switches the filter on."""
        self._filter, self._is_filter_on = wanted, True
        self.rebuild(now)

    def toggle_filter(self, now: float) -> None:
        """Switches the filter off or on again."""
        self._is_filter_on = not self._is_filter_on
        self.rebuild(now)

    def toggle_errors(self, now: float) -> None:
        """Only failures, or all."""
        self._is_errors_only = not self._is_errors_only
        self.rebuild(now)

    def set_sort(self, sort: str, now: float, *, is_ascending: bool = False) -> None:
        """Orders by one of SORT_ORDER."""
        self._sort, self._is_ascending = sort, is_ascending
        self.rebuild(now)

    def freeze(self) -> None:
        """Stands still; what arrives is counted."""
        self._frozen = [self.at(index) for index in range(len(self))]
        self._positions = {view.id: index for index, view in enumerate(self._frozen)}
        self.new_while_frozen = 0

    def thaw(self, now: float) -> None:
        """Runs again with everything that came meanwhile."""
        self._frozen = None
        self.rebuild(now)

    # --- reading

    def __len__(self) -> int:
        return len(self._visible) if self._frozen is None else len(self._frozen)

    @property
    def live_count(self) -> int:
        """Rows that would show if the list ran."""
        return len(self._visible)

    def at(self, index: int) -> RequestView:
        """The row at a place; raises IndexError outside."""
        if self._frozen is not None:
            return self._frozen[index]
        if not 0 <= index < len(self._visible):
            raise IndexError(index)
        return self._visible[index if self._is_ascending else -1 - index].view

    def index_of(self, id: str) -> int | None:
        """Where a request stands, None when it is not shown."""
        if self._frozen is not None or self._sort != "time":
            place = self._positions.get(id)
            if place is None or self._frozen is not None or self._is_ascending:
                return place
            return len(self._visible) - 1 - place
        row = self._rows.get(id)
        if row is None:
            return None
        place = bisect_left(self._visible, row.key, key=_key)
        if place == len(self._visible) or self._visible[place] is not row:
            return None
        return place if self._is_ascending else len(self._visible) - 1 - place

    def next_match(self, start: int, step: int, now: float) -> int | None:
        """The nearest place after `start`, or before it with a step of -1, whose row the filter accepts,
        also while it is off; from the other end on when there is none, None when no row is accepted."""
        size = len(self)
        places = ((start + step * far) % size for far in range(1, size + 1))
        return next((place for place in places if self._filter.matches(self.at(place), now)), None)

    # --- keeping in step

    def changed(self, row: Row, now: float, *, is_new: bool) -> None:
        """A row came or changed."""
        is_shown = self._accepts(row.view, now)
        if is_new and is_shown and self._frozen is not None:
            self.new_while_frozen += 1
        if self._sort != "time":
            self._is_stale = True
            return
        if not self._visible or row.key > self._visible[-1].key:
            if is_shown:
                self._visible.append(row)
            return
        place = bisect_left(self._visible, row.key, key=_key)
        is_there = place < len(self._visible) and self._visible[place] is row
        if is_shown and not is_there:
            self._visible.insert(place, row)
        elif is_there and not is_shown:
            del self._visible[place]

    def removed(self, row: Row) -> None:
        """A row left the map."""
        was_only = self.marked.is_only
        self.marked.discard(row.view.id)
        if was_only and not self.marked.is_only:
            self._is_stale = True
        if self._sort != "time":
            self._is_stale = True
            return
        place = bisect_left(self._visible, row.key, key=_key)
        if place < len(self._visible) and self._visible[place] is row:
            del self._visible[place]

    def refresh(self, now: float) -> None:
        """Catches up with what row-by-row upkeep cannot do: figures that moved, time that passed."""
        if self._is_stale or (self._is_filter_on and self._filter.uses_clock):
            self.rebuild(now)

    def rebuild(self, now: float) -> None:
        """Judges and orders every row."""
        rows: Iterable[Row] = self._rows.values()
        if self.is_narrowed:
            rows = [row for row in rows if self._accepts(row.view, now)]
        if self._sort == "time":
            self._visible = sorted(rows, key=_key)
        else:
            figure = SORTS[self._sort]
            self._visible = sorted(rows, key=lambda row: (figure(row.view), row.key))
            if self._frozen is None:
                self._positions = {row.view.id: place for place, row in enumerate(self._visible)}
        self._is_stale = False

    def _accepts(self, view: RequestView, now: float) -> bool:
        if self._is_errors_only and view.state not in _BAD:
            return False
        if self.marked.is_only and view.id not in self.marked:
            return False
        return not self._is_filter_on or self._filter.matches(view, now)


def insert_row(ordered: list[Row], row: Row) -> None:
    """Puts a row into a list that is ordered by start; almost always at the end."""
    if not ordered or row.key > ordered[-1].key:
        ordered.append(row)
    else:
        insort(ordered, row, key=_key)
