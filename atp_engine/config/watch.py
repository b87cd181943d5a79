"""Notices that the config has another text, however an editor saved it: the file, its fragments, its key files.

The engine starts one `Watch` and awaits `changed`. The directories are watched, because editors replace
files; a poll every two seconds stands behind it for mounts that tell nothing. Content decides, never
times: one new text is told once, when it has stood still for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from atp_engine.config.sources import FRAGMENTS, MAX_FRAGMENTS

QUIET_S = 0.1
"""How long the files must stand still: several saves in a row are one change."""
LONGEST_S = 1.0
"""Longest wait for that: who writes for ever does not keep a text from being seen."""
POLL_S = 2.0
_MOST_BYTES = 4 * 1024 * 1024
_TELLING = frozenset({"created", "modified", "moved", "closed", "deleted"})
_MOUNT_LINK = "..data"
"""The link that is swapped when a mounted ConfigMap changes."""


def _nothing() -> Iterable[Path]:
    return ()


class Watch:
    """Watches one config; use as a context manager inside a running loop."""

    def __init__(
        self, path: Path, also: Callable[[], Iterable[Path]] = _nothing, *, poll_s: float = POLL_S, is_told: bool = True
    ) -> None:
        """`also` are further files whose content counts, asked for at each look. `is_told` False uses the poll
        alone, as on a mount without notifications."""
        self._path = path
        self._fragments = path.parent / FRAGMENTS
        self._also = also
        self._poll_s = poll_s
        self._loop = asyncio.get_running_loop()
        self._hint = asyncio.Event()
        self._digest = self._read()
        self._observer = Observer() if is_told else None
        self._handler = _Handler(path, self._told)
        self._is_observing = False
        self._watched: set[Path] = set()

    def __enter__(self) -> Watch:
        if self._observer is not None:
            with contextlib.suppress(OSError):  # no inotify instances left: the poll serves alone
                self._observer.start()
                self._is_observing = True
            self._observe()
        return self

    def __exit__(self, *_: object) -> None:
        if self._observer is not None and self._is_observing:
            self._observer.stop()
            self._observer.join(2.0)

    async def changed(self) -> None:
        """Returns when the config has another text than the last time; cancel it to stop."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._hint.wait()
            await self._until_quiet()
            digest = await asyncio.to_thread(self._settled)
            if digest != self._digest:
                self._digest = digest
                return

    async def _until_quiet(self) -> None:
        """Waits for a pause in what is told."""
        ends_at = self._loop.time() + LONGEST_S
        while self._hint.is_set() and self._loop.time() < ends_at:
            self._hint.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await self._hint.wait()
        self._hint.clear()

    def _settled(self) -> bytes:
        """The digest, after watching directories that are new."""
        self._observe()
        return self._read()

    def _observe(self) -> None:
        """Watches the directories of the file, of what it links to, and of the fragments, as far as they exist."""
        if self._observer is None or not self._is_observing:
            return
        for directory in {self._path.parent, self._fragments, *_links(self._path)}:
            if directory not in self._watched and directory.is_dir():
                with contextlib.suppress(OSError):
                    self._observer.schedule(self._handler, str(directory))
                    self._watched.add(directory)
            elif directory in self._watched and not directory.is_dir():
                self._watched.discard(directory)

    def _told(self) -> None:
        """Called in the observer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hint.set)

    def _read(self) -> bytes:
        """A digest of all texts; of the failure where one cannot be read."""
        whole = hashlib.sha256()
        for path in (self._path, *self._fragment_files(), *self._also()):
            whole.update(str(path).encode("utf-8", "surrogateescape") + b"\0" + _digest(path))
        return whole.digest()

    def _fragment_files(self) -> list[Path]:
        try:
            return sorted(path for path in self._fragments.iterdir() if path.suffix == ".toml")[:MAX_FRAGMENTS]
        except OSError:
            return []


def _digest(path: Path) -> bytes:
    try:
        if path.is_fifo():
            return b"unreadable: a pipe"
        with path.open("rb") as file:
            return hashlib.sha256(file.read(_MOST_BYTES)).digest()
    except OSError as error:
        return f"unreadable: {error.errno}".encode()


def _links(path: Path) -> list[Path]:
    """The directories on the way from a link to its file."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        while path.is_symlink() and len(found) < 8:
            path = path.parent / path.readlink()
            found.append(path.parent)
    return found


class _Handler(FileSystemEventHandler):
    """Passes on what concerns the file, a fragment, or a link on its way there."""

    def __init__(self, path: Path, told: Callable[[], None]) -> None:
        self._names = {path.name, _MOUNT_LINK}
        self._told = told

    def on_any_event(self, event: FileSystemEvent) -> None:
        """One event of a directory."""
        if event.event_type not in _TELLING:
            return
        ends = {Path(str(place)) for place in (event.src_path, event.dest_path) if place}
        if any(end.name in self._names or end.suffix == ".toml" or end.name == FRAGMENTS for end in ends):
            self._told()
