"""The filter line of the request list: applied as it is typed, explained where it is wrong.

While a word is being typed that may become a field (`mod…`) it is not yet applied as text, and a
mistake leaves out only the term it is in, so the list stays calm under the typing hand.
"""

from __future__ import annotations

import re
from typing import Any

from atp_console import format as fmt
from atp_console.desk import Desk
from atp_console.listing import EVERYTHING, Listing
from atp_console.paint import Line, fit
from atp_console.screens.lists import ListActs
from atp_console.screens.request_acts import RequestActs
from atp_console.subjects import list_path
from atp_console.widgets.bars import FilterBar
from atp_console.widgets.columns import request_catalog
from atp_console.widgets.table import Table
from atp_engine.core.filter import Filter, FilterError, parse
from atp_engine.core.filter_fields import FIELDS
from atp_engine.core.text import safe_text
from atp_engine.core.views import RequestView

_EXAMPLE = "model:claude* ttft>2s -state:ok   also status:429|500 cost>$0.01 since:10m session: key: tries>1"
_LAST_WORD = re.compile(r"(?:^|[\s(|])[-!]*([a-z/]+)$")


class FilteredRequests(RequestActs, ListActs):
    """Mixed into Live: what narrows the list."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.problem: FilterError | None = None
        self._was_marked_only = False
        self.catalog = request_catalog(desk.now, "requests", "Requests")
        self.requests = Table[RequestView](
            desk.look, self.catalog.usual, lambda view: view.id, model=desk.state.listing, id="requests"
        )
        self.set_up_list(self.requests, self.catalog, desk.state.listing.marked)
        self.filter_bar = FilterBar(desk.look, self.verdict, _EXAMPLE, id="filter")

    @property
    def listing(self) -> Listing:
        """The list's content."""
        return self.desk.state.listing

    def view_path(self) -> str:
        """The same filter in the dashboard."""
        query = self.listing.filter.query if self.listing.is_filter_on else ""
        failed = "state:failed|truncated|rejected" if self.listing.is_errors_only else ""
        return list_path(f"{query} {failed}".strip())

    def verdict(self, width: int) -> list[Line]:
        """What stands beside the filter: the count, or the mistake."""
        glyphs = self.desk.look.glyphs
        if self.problem is not None:
            hint = f" {glyphs.dot} {self.problem.hint}" if self.problem.hint else ""
            text = safe_text(f"{glyphs.bad} {self.problem.message}{hint}", limit=200)
            return [[(fit(text, width - 1, mark=glyphs.cut), "bad")]]
        off = self.key("filter.toggle")
        if not self.listing.is_filter_on:
            walk = f"{self.key('match.next')} {self.key('match.previous')}"
            return [
                [("filter is off ", "warn"), (off, "key"), (" on  ", "muted"), (walk, "key"), (" matches", "muted")]
            ]
        if self.listing.filter.is_empty:
            return [[("enter accepts, esc leaves", "muted")]]
        found = f"{fmt.grouped(len(self.listing))} of {fmt.grouped(self.desk.state.request_count)}"
        return [[(found, "text"), ("  esc", "key"), (" clear", "muted"), (f"  {off}", "key"), (" off", "muted")]]

    def set_query(self, query: str) -> None:
        """Filters by a query from elsewhere."""
        self.filter_bar.set_text(query)
        self.filter_bar.show(bool(query))
        self.apply_query(query, is_typing=False)

    def apply_query(self, query: str, *, is_typing: bool) -> None:
        """Narrows the list; a mistake is kept in `problem` and its term left out."""
        wanted, self.problem = _compiled(query, is_typing=is_typing)
        if wanted.query != self.listing.filter.query or not self.listing.is_filter_on:
            self.listing.set_filter(wanted, self.desk.now())
            self.requests.sync()
        self.requests.seek(self.listing.filter.sought)
        self.filter_bar.set_class(self.problem is not None, "-mistake")
        self.paint_all()

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        """Applies what is typed at once."""
        event.stop()
        self.apply_query(event.text, is_typing=True)

    def on_filter_bar_accepted(self, event: FilterBar.Accepted) -> None:
        """Back to the list; a bad query stays open."""
        event.stop()
        self.apply_query(self.filter_bar.input.value, is_typing=False)
        if self.problem is None:
            self.requests.focus()
            self.filter_bar.show(not self.listing.filter.is_empty)

    def leave_filter(self) -> bool:
        """Leaves the text field, then clears the filter; False when there is neither."""
        if self.filter_bar.is_editing:
            if self.problem is not None:
                self.filter_bar.set_text(self.listing.filter.query)
                self.problem = None
                self.filter_bar.remove_class("-mistake")
            else:
                self.apply_query(self.filter_bar.input.value, is_typing=False)
            self.requests.focus()
            self.filter_bar.show(not self.listing.filter.is_empty)
            return True
        if not self.listing.filter.is_empty:
            self.set_query("")
            return True
        return False

    def do_filter(self) -> None:
        """Opens the filter line."""
        self.filter_bar.edit()

    def do_filter_toggle(self) -> None:
        """Off, or on again."""
        if not self.listing.filter.is_empty:
            self.listing.toggle_filter(self.desk.now())
            self.paint_all()

    def do_match_next(self) -> None:
        """The next row that the filter accepts."""
        self._to_match(1)

    def do_match_previous(self) -> None:
        """The row before that the filter accepts."""
        self._to_match(-1)

    def _to_match(self, step: int) -> None:
        listing, table = self.listing, self.requests
        if listing.filter.is_empty:
            self.tell(f"There is no filter to find matches of: {self.key('filter')} writes one.")
            return
        start = table.cursor
        place = listing.next_match(start, step, self.desk.now())
        if place is None:
            self.tell("No row matches the filter.")
            return
        table.go(place)
        if (place - start) * step <= 0:
            self.tell("It is the only match." if place == start else f"On from the {'top' if step > 0 else 'end'}.")
        self.paint_all()

    def refill(self, table: Table[Any]) -> None:
        """The listing leaves out what is not marked, or shows it again."""
        listing, is_only = self.listing, self.listing.marked.is_only
        if listing.is_frozen and is_only is not self._was_marked_only:
            listing.thaw(self.desk.now())
        elif is_only or self._was_marked_only:
            listing.rebuild(self.desk.now())
        self._was_marked_only = is_only
        self.requests.sync()
        self.paint_all()

    def do_errors(self) -> None:
        """Only failures, or all."""
        self.listing.toggle_errors(self.desk.now())
        self.paint_all()


def _compiled(query: str, *, is_typing: bool) -> tuple[Filter, FilterError | None]:
    """The filter to use now, and what is wrong with the query, if anything."""
    if is_typing:
        last = _LAST_WORD.search(query)
        if last and any(name.startswith(last.group(1)) for name in FIELDS):
            query = query[: last.start(1)].rstrip("-! (|")
    try:
        return parse(query) if query.strip() else EVERYTHING, None
    except FilterError as error:
        earlier = query.rstrip().rpartition(" ")[0].rstrip("-! (|")
        try:
            return parse(earlier) if earlier.strip() else EVERYTHING, error
        except FilterError:
            return EVERYTHING, error
