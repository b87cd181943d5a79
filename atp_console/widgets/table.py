"""A table of any length that draws only what is visible, with its cursor pinned to a row's identity.

Rows live in a model (`len`, `at`, `index_of`); drawing costs the same for a thousand rows and for a
hundred thousand. Rows that come in above never move the one under the cursor, unless the table
follows, which keeps the cursor on the top row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from textual import events
from textual.message import Message
from textual.strip import Strip

from atp_console.look import Look
from atp_console.marks import Marks
from atp_console.paint import Line, Span, fit, lit, strip_of
from atp_console.preferences import ColumnChoice
from atp_console.widgets.pane import Pane
from atp_engine.core.filter import Sought

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_STRIP_CAP = 1_024


class Model(Protocol[T_co]):
    """Rows in display order."""

    def __len__(self) -> int: ...

    def at(self, index: int) -> T_co:
        """The row at a place; IndexError outside."""
        ...

    def index_of(self, id: str) -> int | None:
        """Where the row with this identity stands, None when it is not there."""
        ...


class ListModel(Generic[T]):
    """A model over a plain list."""

    def __init__(self, rows: Sequence[T], id_of: Callable[[T], str]) -> None:
        self._rows = rows
        self._places = {id_of(row): place for place, row in enumerate(rows)}

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, index: int) -> T:
        """The row at a place."""
        if index < 0:
            raise IndexError(index)
        return self._rows[index]

    def index_of(self, id: str) -> int | None:
        """Where a row stands."""
        return self._places.get(id)


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column. `draw` gives a line of exactly the asked width."""

    title: str
    width: int
    draw: Callable[[T, Look, int], Line]
    rank: float = 0
    """Columns with the highest rank are left out first when there is no room; 0 always stays."""
    is_right: bool = False
    grow: int = 0
    """Share of the room that is left over."""
    most: int = 60
    """Widest that growing makes it."""
    about: str = ""
    """What it says, for those who choose columns; a column without a word about it is always there."""
    shows: tuple[str, ...] = ()
    """Texts of the row that it shows, by their names in the row: what a filter finds in them is lit up."""
    is_aging: bool = False
    """It changes with time alone."""


def column(
    title: str,
    width: int,
    cell: Callable[[T, Look], Span],
    *,
    rank: float = 0,
    is_right: bool = False,
    grow: int = 0,
    most: int = 60,
    about: str = "",
    shows: tuple[str, ...] = (),
    is_aging: bool = False,
) -> Column[T]:
    """A column whose cell is one text with one role."""

    def draw(row: T, look: Look, room: int) -> Line:
        text, role = cell(row, look)
        return [(fit(text, room, is_right=is_right, mark=look.glyphs.cut), role)]

    return Column(title, width, draw, rank, is_right, grow, most, about, shows, is_aging)


@dataclass(frozen=True, slots=True)
class Catalog(Generic[T]):
    """Every column that a list has, and what it is called where the chosen ones are kept."""

    name: str
    title: str
    usual: tuple[Column[T], ...]
    """Those that it shows while nothing is chosen."""
    more: tuple[Column[T], ...] = ()

    @property
    def choosable(self) -> dict[str, Column[T]]:
        """Columns by title that may be shown or not."""
        return {one.title: one for one in (*self.usual, *self.more) if one.about}

    @property
    def usual_choice(self) -> ColumnChoice:
        """The choice that changes nothing."""
        return ColumnChoice(tuple(one.title for one in self.usual if one.about))

    def chosen(self, choice: ColumnChoice | None) -> tuple[Column[T], ...]:
        """The columns to show. Names that nothing has (any more) are passed over; one column always stays."""
        choosable = self.choosable
        names = [one for one in dict.fromkeys(choice.shown) if one in choosable] if choice is not None else []
        if choice is None or not names:
            return self.usual
        fixed = tuple(one for one in self.usual if not one.about)
        wanted: list[Column[T]] = []
        for place, title in enumerate(names):
            one = choosable[title]
            wanted.append(replace(one, rank=min(one.rank, 0.1 + place / 1_000)) if title in choice.kept else one)
        return (*fixed, *wanted)


def fitted(columns: Sequence[Column[T]], width: int) -> list[tuple[Column[T], int]]:
    """The columns that fit into `width` cells with one blank between, and how wide each is."""
    chosen = list(columns)
    while len(chosen) > 1 and sum(one.width + 1 for one in chosen) - 1 > width:
        last = max(chosen, key=lambda one: one.rank)
        if last.rank == 0:
            break
        chosen.remove(last)
    widths = [one.width for one in chosen]
    spare = width - sum(widths) - len(widths) + 1
    while spare > 0:
        growing = [place for place, one in enumerate(chosen) if one.grow and widths[place] < one.most]
        if not growing:
            break
        for place in sorted(growing, key=lambda one: -chosen[one].grow):
            step = min(spare, chosen[place].grow, chosen[place].most - widths[place])
            widths[place] += step
            spare -= step
    return list(zip(chosen, widths, strict=True))


def _light(sought: Sequence[Sought], shows: Sequence[str]) -> re.Pattern[str] | None:
    """What is lit up in a column that shows these texts."""
    sources = [one.pattern.pattern for one in sought if not one.attributes.isdisjoint(shows)]
    return re.compile("|".join(f"(?:{one})" for one in sources), re.IGNORECASE) if sources else None


class Table(Pane, Generic[T]):
    """A list to move in. Posts `Moved` when another row is selected and `Opened` on a double click."""

    has_titles = True
    is_always_active = False
    """Draw the selected row as focused also while another widget has the focus."""

    class Moved(Message):
        """Another row is selected."""

    class Opened(Message):
        """A row was double-clicked."""

    def __init__(
        self,
        look: Look,
        columns: Sequence[Column[T]],
        id_of: Callable[[T], str],
        *,
        model: Model[T] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(look, id=id)
        self.model: Model[T] = model if model is not None else ListModel((), id_of)
        self.columns = columns
        self.catalog: Catalog[T] | None = None
        """Given where columns can be chosen."""
        self.marked: Marks | None = None
        """Given where rows can be marked."""
        self._sought: tuple[Sought, ...] = ()
        self.is_following = False
        self.selected_id = ""
        self.top = 0
        self._id_of = id_of
        self.heading_of: Callable[[], tuple[Line, Line]] | None = None
        """Gives the title line's left and right part."""
        self.empty_of: Callable[[], list[Line]] | None = None
        """Gives what is said while there are no rows."""
        self._cursor = 0
        self._layout: list[tuple[Column[T], int]] = []
        self._layout_width = -1
        self._lights: list[re.Pattern[str] | None] = []
        """What is lit up, by place in the layout."""
        self._drawn: dict[tuple[str, str, bool], tuple[T, Strip]] = {}

    @property
    def cursor(self) -> int:
        """Index of the selected row."""
        return self._cursor

    @property
    def selected(self) -> T | None:
        """The selected row, None in an empty list."""
        return self.model.at(self._cursor) if self._cursor < len(self.model) else None

    @property
    def page(self) -> int:
        """Rows that are visible at once."""
        return max(1, self.inner_height - int(self.has_titles))

    @property
    def rows_above(self) -> int:
        """Rows above the visible ones."""
        return self.top

    @property
    def lead(self) -> int:
        """Cells before the first column: the cursor, and the marks while there are any."""
        return 3 if self.marked else 2

    @property
    def room(self) -> int:
        """Cells for columns."""
        return max(0, self.inner_width - self.lead - 1)

    @property
    def is_aging(self) -> bool:
        """True when a column that is to be seen changes with time alone."""
        return any(one.is_aging for one, _ in self._layout)

    def heading(self) -> tuple[Line, Line]:
        """Given by the owner, and how many rows are marked."""
        left, right = self.heading_of() if self.heading_of else ([], [])
        if self.marked:
            glyphs = self.look.glyphs
            said = " only" if self.marked.is_only else ""
            left = [*left, (f" {glyphs.dot} {glyphs.mark} {len(self.marked)} marked{said}", "accent")]
        return left, right

    def move(self, steps: int) -> None:
        """Moves the cursor; leaves following."""
        self.go(self._cursor + steps)

    def go(self, index: int) -> None:
        """Puts the cursor on a row, the nearest one when there is no such row; leaves following."""
        self.is_following = False
        self._select(index)
        self.repaint()

    def go_to(self, id: str) -> bool:
        """Puts the cursor on the row with this identity; False when it is not in the list."""
        index = self.model.index_of(id)
        if index is not None:
            self.go(index)
        return index is not None

    def follow(self) -> None:
        """From now on the cursor stays on the top row."""
        self.is_following = True
        self.sync()
        self.repaint()

    def sync(self) -> None:
        """Finds the selected row again after the model changed; keeps it on its line of the screen."""
        rows = len(self.model)
        if self.is_following or not rows:
            self._select(0)
            self.top = 0
            return
        place = self.model.index_of(self.selected_id)
        if place is None:
            self._select(self._cursor)
            return
        self.top += place - self._cursor
        self._cursor = place
        self._keep_in_view()

    def content_strips(self, width: int, height: int) -> list[Strip]:
        """Column titles and the visible rows."""
        room = width - self.lead - 1
        if self._layout_width != room:
            self._layout = fitted(self.columns, room)
            self._layout_width = room
            self._lights = [_light(self._sought, one.shows) for one, _ in self._layout]
            self._drawn.clear()
        palette = self.look.palette
        titles: Line = [(" " * self.lead, "muted")]
        for one, room in self._layout:
            title = one.title.replace("→", self.look.glyphs.arrow)
            titles.append((fit(title, room, is_right=one.is_right) + " ", "muted"))
        strips = [strip_of(titles, width, palette)] if self.has_titles else []
        if not len(self.model) and self.marked and self.marked.is_only:
            words: Line = [
                ("  None of the marked rows is here now. ", "text"),
                (self.look.key("back"), "key"),
                (" shows all.", "muted"),
            ]
            return [*strips, strip_of([], width, palette), strip_of(words, width, palette)]
        if not len(self.model) and self.empty_of:
            strips += [strip_of([("  ", "text"), *line], width, palette) for line in self.empty_of()]
            return strips
        last = min(len(self.model), self.top + height - len(strips))
        strips += [self._row_strip(index, width) for index in range(self.top, last)]
        return strips

    def _row_strip(self, index: int, width: int) -> Strip:
        row = self.model.at(index)
        ground = "base"
        if index == self._cursor:
            ground = "cursor" if self.has_focus or self.is_always_active else "cursor_off"
        row_id = self._id_of(row)
        is_marked = self.marked is not None and row_id in self.marked
        key = (row_id, ground, is_marked)
        known = self._drawn.get(key)
        if known is not None and known[0] is row:
            return known[1]
        look = self.look
        cursor = look.glyphs.cursor if ground == "cursor" else " "
        line: Line = [(cursor + ("" if self.marked else " "), "accent")]
        if self.marked:
            line.append((look.glyphs.mark + " " if is_marked else "  ", "key"))
        for (one, room), light in zip(self._layout, self._lights, strict=True):
            cell = one.draw(row, look, room)
            line += cell if light is None else lit(cell, light)
            line.append((" ", "text"))
        strip = strip_of(line, width, look.palette, ground)
        if len(self._drawn) >= _STRIP_CAP:
            self._drawn.clear()
        self._drawn[key] = (row, strip)
        return strip

    def set_rows(self, rows: Sequence[T]) -> None:
        """Shows these rows; the selected one stays selected if it is among them. Of a list that shows
        only what is marked, only that."""
        if self.marked is not None and self.marked.is_only:
            rows = [row for row in rows if self._id_of(row) in self.marked]
        self.model = ListModel(rows, self._id_of)
        self.sync()
        self.repaint()

    def seek(self, sought: tuple[Sought, ...]) -> None:
        """Lights up these texts from now on."""
        if sought != self._sought:
            self._sought = sought
            self.relayout()

    def choose(self, choice: ColumnChoice | None) -> None:
        """Shows the chosen columns of the catalog, None its usual ones."""
        if self.catalog is not None:
            self.columns = self.catalog.chosen(choice)
            self.relayout()

    def relayout(self) -> None:
        """Lays the columns out and draws every row anew: `columns` was replaced."""
        self._layout_width = -1

    def forget_drawn(self) -> None:
        """Draws every row anew next time."""
        self._drawn.clear()

    def repaint(self) -> None:
        """As a pane; a new palette makes the drawn rows useless."""
        if self._painted_with is not self.look.palette:
            self.forget_drawn()
        super().repaint()

    def grow_old(self) -> None:
        """Draws every row anew next time where time alone changes rows."""
        if self.is_aging:
            self._drawn.clear()

    def _select(self, index: int) -> None:
        rows = len(self.model)
        self._cursor = max(0, min(index, rows - 1))
        selected_id = self._id_of(self.model.at(self._cursor)) if rows else ""
        self._keep_in_view()
        if selected_id != self.selected_id:
            self.selected_id = selected_id
            self.post_message(self.Moved())

    def _keep_in_view(self) -> None:
        page = self.page
        self.top = max(0, min(self.top, len(self.model) - page, self._cursor))
        self.top = max(self.top, self._cursor - page + 1)

    def on_resize(self) -> None:
        """Another height: the cursor stays visible."""
        self._keep_in_view()
        super().on_resize()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        """Selects the row; a double click opens it."""
        first_row = int(self.is_framed) + int(self.has_titles)
        index = self.top + event.y - first_row
        if event.y >= first_row and index < len(self.model):
            self.go(index)
            if event.chain == 2:
                self.post_message(self.Opened())
