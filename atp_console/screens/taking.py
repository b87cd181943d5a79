"""Taking things out: the copy menu of a row and the export of a list, the same on every screen.

A row goes to the clipboard through the terminal; rows go into a file that is asked for by name, is the
owner's alone, and replaces another one only after a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from atp_console import copying, exports, files, shots
from atp_console.screens.dialogs import Choice, Item, Picker, Question
from atp_console.screens.form import Field, Form
from atp_console.subjects import Subject, subject_of
from atp_console.widgets.columns import name
from atp_console.widgets.table import Table
from atp_engine.client.errors import EngineError, EngineRefused
from atp_engine.core.text import safe_text
from atp_engine.core.views import RequestDetail, RequestView

if TYPE_CHECKING:
    from atp_console.screens.base import ConsoleScreen

MOST_WITH_BODIES = 100
"""Requests of an archive whose bodies are asked for; the rest of a longer list goes without."""
_PATH_CAP = 1_000


@dataclass(frozen=True, slots=True)
class Way:
    """One form in which something can be written: its key in the menu, what it is, and how it is made."""

    key: str
    title: str
    suffix: str
    make: Callable[[], Awaitable[str]]
    stem: str = ""
    """Beginning of the file's name, the list's own when empty."""


# --- clipboard


def copy_row(screen: ConsoleScreen, text: str = "") -> None:
    """Asks what to copy of the row; `text` is its readable text where the screen knows it."""
    row = screen.row_taken()
    subject = subject_of(row, screen.group_taken)
    view_path = screen.view_path()
    items: list[Item] = []
    if subject is not None:
        items.append(Item("id", f"id  {name(subject.id)}", "i"))
        if isinstance(row, RequestView):
            items.append(Item("curl", "curl  the request as a shell command", "c"))
        items.append(Item("JSON", "JSON  everything known of it", "j"))
        readable = "the readable answer" if isinstance(row, RequestView) else "its fields, line by line"
        items.append(Item("text", f"text  {readable}", "t"))
        if subject.path:
            items.append(Item("URL", "URL  its page in the dashboard", "u"))
    if view_path:
        items.append(Item("list URL", "list URL  this list, filtered alike, in the dashboard", "l"))
    if subject is not None:
        items.append(Item("file", "file  the JSON into a file instead", "f"))
    if not items:
        screen.tell("Nothing is selected.")
        return

    def chosen(picked: str | None) -> None:
        if picked in ("URL", "list URL"):
            path = view_path if picked == "list URL" or subject is None else subject.path
            screen.copy(picked, screen.desk.address + path)
        elif picked == "id" and subject is not None:
            screen.copy("id", subject.id)
        elif picked and subject is not None:
            screen.ask(_copy_part(screen, row, subject, picked, text))

    screen.app.push_screen(Picker(screen.desk.look, "Copy", items, is_searchable=False), chosen)


async def _copy_part(screen: ConsoleScreen, row: Any, subject: Subject, part: str, known: str) -> None:
    if isinstance(row, RequestView):
        detail = await screen.desk.source.request(row.id)
        if part == "curl":
            made = copying.curl(detail, screen.desk.address)
            if not made:
                screen.tell("No curl: the request's body was not kept.", severity="warning")
                return
        else:
            made = (known or copying.as_text(detail)) if part == "text" else exports.as_json(detail)
    else:
        made = copying.fields_of(row) if part == "text" else exports.as_json(row)
    if part == "file":
        screen.save(f"atp-{_file_word(subject.id)}.json", lambda: made)
    else:
        screen.copy(part, made)


# --- files


def export_rows(screen: ConsoleScreen, more: Sequence[Way] = ()) -> None:
    """Asks for a form, then for the file; `more` are forms of this screen alone."""
    rows, is_marked = rows_taken(screen)
    stamp = datetime.fromtimestamp(screen.desk.now(), UTC).strftime("%Y%m%d-%H%M%S")
    noun = _noun_of(screen, rows)
    ways = [*_ways(screen, rows), *more, Way("s", "SVG, a picture of this screen", "svg", lambda: _picture(screen))]
    items = [Item(str(place), way.title, way.key) for place, way in enumerate(ways)]
    count = f"{len(rows):,} {'marked ' if is_marked else ''}{noun}{'' if len(rows) == 1 else 's'}"

    def chosen(picked: str | None) -> None:
        if picked:
            way = ways[int(picked)]
            stem = "atp-console" if way.suffix == "svg" else way.stem or f"atp-{noun}s"
            file_name = f"{_file_word(stem)}-{stamp}.{way.suffix}"
            _ask_path(screen, f"Write {way.title.partition(',')[0]}", file_name, way.make)

    title = f"Export {count}" if rows else "Export this screen"
    screen.app.push_screen(Picker(screen.desk.look, title, items, is_searchable=False), chosen)


def rows_taken(screen: ConsoleScreen) -> tuple[list[msgspec.Struct], bool]:
    """The marked rows of the list that keys move in, else all that it shows; and whether they are marked."""
    table = screen.active_list()
    if not isinstance(table, Table):
        row = screen.row_taken()
        return ([row] if isinstance(row, msgspec.Struct) else []), False
    if table.marked:
        found = [_marked_row(screen, table, one) for one in table.marked.ids]
        return [row for row in found if row is not None], True
    return [table.model.at(index) for index in range(len(table.model))], False


def _marked_row(screen: ConsoleScreen, table: Table[Any], row_id: str) -> msgspec.Struct | None:
    """A marked row, also one that the filter hides."""
    place = table.model.index_of(row_id)
    row: msgspec.Struct | None = table.model.at(place) if place is not None else screen.desk.state.request(row_id)
    return row


def _noun_of(screen: ConsoleScreen, rows: Sequence[msgspec.Struct]) -> str:
    subject = subject_of(rows[0], screen.group_taken) if rows else None
    return subject.noun if subject is not None else "row"


def _ways(screen: ConsoleScreen, rows: list[msgspec.Struct]) -> list[Way]:
    if not rows:
        return []

    async def as_csv() -> str:
        return await asyncio.to_thread(exports.as_csv, rows)

    async def as_jsonl() -> str:
        return await asyncio.to_thread(exports.as_jsonl, rows)

    ways = [
        Way("c", "CSV, for spreadsheets", "csv", as_csv),
        Way("l", "JSONL, one object per line", "jsonl", as_jsonl),
    ]
    requests = [row for row in rows if isinstance(row, RequestView)]
    if len(requests) == len(rows):
        bodies = "with what was said" if len(rows) <= MOST_WITH_BODIES else f"bodies of the first {MOST_WITH_BODIES}"
        ways.append(Way("h", f"HAR, an HTTP archive, {bodies}", "har", lambda: _archive(screen, requests)))
    return ways


async def _archive(screen: ConsoleScreen, requests: Sequence[RequestView]) -> str:
    found: list[RequestDetail | RequestView] = list(requests)
    for place, view in enumerate(requests[:MOST_WITH_BODIES]):
        try:
            found[place] = await screen.desk.source.request(view.id)
        except EngineRefused:
            continue  # forgotten by the engine: the row is all there is
    return await asyncio.to_thread(exports.as_har, found, screen.desk.address, version("atp-console"))


async def _picture(screen: ConsoleScreen) -> str:
    return shots.svg(screen.app)


def _ask_path(screen: ConsoleScreen, title: str, file_name: str, make: Callable[[], Awaitable[str]]) -> None:
    folder = screen.desk.output_dir
    field = Field("path", f"file in {safe_text(str(folder), limit=200)}", "", file_name, _PATH_CAP)

    def filled(values: dict[str, str] | None) -> None:
        if values and values["path"]:
            screen.run_worker(_write(screen, values["path"], make), exclusive=False)

    screen.app.push_screen(Form(screen.desk.look, title, [field]), filled)


async def _write(screen: ConsoleScreen, written: str, make: Callable[[], Awaitable[str]]) -> None:
    try:
        path = screen.desk.output_dir / await asyncio.to_thread(Path(written).expanduser)
        text = await make()
        await asyncio.to_thread(files.create, path, text)
    except FileExistsError:
        _ask_over(screen, path, text)
    except EngineError as error:
        screen.tell(f"Not written: {error.message}", severity="error")
    except (OSError, RuntimeError, ValueError) as error:
        _not_written(screen, error)
    else:
        screen.tell(f"Written: {path}")


def _ask_over(screen: ConsoleScreen, path: Path, text: str) -> None:
    def answered(picked: str | None) -> None:
        if picked:
            screen.run_worker(_write_over(screen, path, text), exclusive=False)

    told = [safe_text(str(path), limit=300), "It is replaced as a whole; there is no way back."]
    choices = [Choice("n", "No, keep it", ""), Choice("y", "Yes, replace it", "y")]
    screen.app.push_screen(Question(screen.desk.look, "There is such a file", told, choices), answered)


async def _write_over(screen: ConsoleScreen, path: Path, text: str) -> None:
    try:
        await asyncio.to_thread(files.replace, path, text)
    except OSError as error:
        _not_written(screen, error)
    else:
        screen.tell(f"Written: {path}")


def _not_written(screen: ConsoleScreen, error: Exception) -> None:
    said = error.strerror if isinstance(error, OSError) else None
    screen.tell(f"Not written: {safe_text(said or str(error), limit=200)}", severity="error")


def _file_word(id: str) -> str:
    return "".join(one if one.isalnum() or one in "-_." else "-" for one in id)[:60].lstrip(".") or "row"
