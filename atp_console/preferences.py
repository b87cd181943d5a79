"""What a person has set up in the console and finds again at the next start: columns and saved views.

One small JSON file, private to its owner. A file that cannot be used is left aside with a word about why,
never fatal. Changes are seen at once and written by `write`, which first reads what another console may
have written meanwhile; call it off the loop.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from atp_console.files import replace

FILE_CAP = 256 * 1_024
VIEWS_CAP = 100
VIEW_NAME_CAP = 40
_COLUMNS_CAP = 100
_LISTS_CAP = 50
_TEXT_CAP = 512


class ColumnChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns of one list by name, in their order from left to right."""

    shown: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Those of them that go last when there is no room: a person asked for them."""


class SavedView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way to look at the request list, under a name."""

    name: str
    query: str = ""
    sort: str = "time"
    is_ascending: bool = False
    is_errors_only: bool = False
    columns: ColumnChoice | None = None
    """None is the default columns."""


class Kept(msgspec.Struct, frozen=True):
    """The whole file. Fields of a later version are read over."""

    columns: dict[str, ColumnChoice] = {}
    views: tuple[SavedView, ...] = ()


Change = Callable[[Kept], Kept]


class Preferences:
    """The present settings; without a path they last as long as the console."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pending: list[Change] = []
        self.problem = ""
        """Why the file is not used; empty when it is, or when there is none."""
        self._kept = Kept()
        try:
            self._kept = _read(path) if path is not None else Kept()
        except ValueError as error:
            self.problem = f"{path} is not used: {error}"

    def columns(self, list_name: str) -> ColumnChoice | None:
        """What was chosen for a list, None when nothing was."""
        return self._kept.columns.get(list_name)

    @property
    def views(self) -> tuple[SavedView, ...]:
        """Saved views by name."""
        return self._kept.views

    def view(self, name: str) -> SavedView | None:
        """The view of this name."""
        return next((one for one in self._kept.views if one.name == name), None)

    def set_columns(self, list_name: str, choice: ColumnChoice | None) -> None:
        """Chooses the columns of a list; None gives it the default ones again."""

        def change(kept: Kept) -> Kept:
            columns = {name: one for name, one in kept.columns.items() if name != list_name}
            if choice is not None:
                columns[list_name] = choice
            return msgspec.structs.replace(kept, columns=columns)

        self._change(change)

    def set_view(self, view: SavedView) -> bool:
        """Saves a view in place of one with its name; False when there is no room for another."""
        if self.view(view.name) is None and len(self.views) >= VIEWS_CAP:
            return False

        def change(kept: Kept) -> Kept:
            others = [one for one in kept.views if one.name != view.name]
            views = sorted([*others, view], key=lambda one: one.name.lower())
            return msgspec.structs.replace(kept, views=tuple(views[:VIEWS_CAP]))

        self._change(change)
        return True

    def drop_view(self, name: str) -> None:
        """Forgets a view."""
        self._change(
            lambda kept: msgspec.structs.replace(kept, views=tuple(one for one in kept.views if one.name != name))
        )

    def _change(self, change: Change) -> None:
        self._kept = change(self._kept)
        if self._path is not None:
            self._pending.append(change)

    def write(self) -> None:
        """Writes what was changed. Raises OSError; the changes then wait for the next time."""
        path = self._path
        if path is None:
            return
        with self._lock:
            changes = list(self._pending)
            if not changes:
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                kept = _read(path)
            except ValueError:
                with contextlib.suppress(OSError):
                    path.replace(path.with_name(path.name + ".broken"))
                kept = Kept()
            for change in changes:
                kept = change(kept)
            replace(path, msgspec.json.format(msgspec.json.encode(kept), indent=2).decode() + "\n")
            del self._pending[: len(changes)]


def _read(path: Path) -> Kept:
    """The file, an empty one when there is none. Raises ValueError on anything that is not a sound file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Kept()
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from None
    try:
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("it is not a file")
            text = file.read(FILE_CAP + 1)
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from None
    if len(text) > FILE_CAP:
        raise ValueError("it is too long")
    try:
        kept = msgspec.json.decode(text, type=Kept)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    _check(kept)
    return kept


def _check(kept: Kept) -> None:
    """Raises ValueError where a bound is broken that types cannot state."""
    if len(kept.views) > VIEWS_CAP or len(kept.columns) > _LISTS_CAP:
        raise ValueError("it holds too much")
    if len({one.name for one in kept.views}) < len(kept.views):
        raise ValueError("two views have one name")
    for view in kept.views:
        if not 0 < len(view.name) <= VIEW_NAME_CAP or len(view.query) > _TEXT_CAP or len(view.sort) > _TEXT_CAP:
            raise ValueError("a view's text is too long or missing")
    choices = [*kept.columns.values(), *(one.columns for one in kept.views if one.columns is not None)]
    for choice in choices:
        names = (*choice.shown, *choice.kept)
        if len(names) > _COLUMNS_CAP or any(len(one) > _TEXT_CAP for one in names):
            raise ValueError("a list has too many columns")
