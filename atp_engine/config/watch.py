"""Notices that the config file has another text, however an editor saved it.

The engine starts one `Watch` and awaits `changed`. The directory is watched, because editors replace
files; a poll every two seconds stands behind it for mounts that tell nothing. Content decides, never
times: one new text is told once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

DEBOUNCE_S = 0.05
POLL_S = 2.0
_MOST_BYTES = 4 * 1024 * 1024
_TELLING = frozenset({"created", "modified", "moved", "closed", "deleted"})


class Watch:
    """Watches one file; use as a context manager inside a running loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._hint = asyncio.Event()
        self._digest = self._read()
        self._observer = Observer()
        self._is_observing = False

    def __enter__(self) -> Watch:
        self._observer.schedule(_Handler(self._path, self._told), str(self._path.parent))
        with contextlib.suppress(OSError):  # no inotify instances left: the poll serves alone
            self._observer.start()
            self._is_observing = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_observing:
            self._observer.stop()
            self._observer.join(2.0)

    async def changed(self) -> None:
        """Returns when the file has another text than the last time; cancel it to stop."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._hint.wait()
            if self._hint.is_set():
                await asyncio.sleep(DEBOUNCE_S)
                self._hint.clear()
            digest = await asyncio.to_thread(self._read)
            if digest != self._digest:
                self._digest = digest
                return

    def _told(self) -> None:
        """Called in the observer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hint.set)

    def _read(self) -> bytes:
        """A digest of the text; one of the failure where it cannot be read."""
        try:
            with self._path.open("rb") as file:
                return hashlib.sha256(file.read(_MOST_BYTES)).digest()
        except OSError as error:
            return f"unreadable: {error.errno}".encode()


class _Handler(FileSystemEventHandler):
    """Passes on what concerns the file, or a link on its way there."""

    def __init__(self, path: Path, told: Callable[[], None]) -> None:
        self._names = {path.name, "..data"}  # the link that a mounted ConfigMap swaps
        self._told = told

    def on_any_event(self, event: FileSystemEvent) -> None:
        """One event of the directory."""
        if event.event_type not in _TELLING:
            return
        ends = {Path(str(place)).name for place in (event.src_path, event.dest_path) if place}
        if ends & self._names:
            self._told()
