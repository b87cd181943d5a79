"""A config file replaced as a whole, or not at all: what stood there before is what the writer had read.

`services/configuration` writes with it. A reader, and a machine that loses its power, sees the old text or the
new one. Links stay links; mode and owner stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from pathlib import Path

from atp_engine.config.reading import read_text
from atp_engine.core.errors import ConfigConflict, ConfigError, ConfigProblem

_NEW_MODE = 0o600
_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}")
_LEFT_AFTER_S = 60.0


def sweep(path: Path) -> None:
    """Takes away what a process that was killed had prepared beside the file; what is younger than a minute
    may be another engine's, and stays."""
    target = path.resolve()
    with contextlib.suppress(OSError):
        for entry in target.parent.iterdir():
            found = _LEFT_OVER.fullmatch(entry.name)
            if found and found["name"] == target.name and time.time() - entry.lstat().st_mtime > _LEFT_AFTER_S:
                entry.unlink()


class Replacement:
    """A text that lies ready beside its file; `commit` puts it in place, `discard` takes it away."""

    def __init__(self, path: Path, text: str, expected: str | None) -> None:
        """Writes and syncs the new text. `expected` is the text that the file must still have, None for a file
        that must not exist. Raises ConfigError when it cannot be written there with its mode and owner."""
        self._target = path.resolve()
        self._path = path
        self._expected = expected
        self._temporary = self._target.with_name(f".{self._target.name}.{secrets.token_hex(6)}")
        try:
            self._write(text.encode("utf-8"))
        except OSError as failure:
            self.discard()
            raise _problem(path, f"cannot be replaced ({failure.strerror})") from failure
        except ConfigError:
            self.discard()
            raise

    def commit(self) -> None:
        """Puts the text in place. Raises ConfigConflict when the file has another text by now."""
        present = self._present()
        if present != self._expected:
            self.discard()
            message = "was changed meanwhile by somebody else"
            raise ConfigConflict([ConfigProblem(str(self._path), 0, 0, "", message)])
        try:
            self._temporary.replace(self._target)
            _sync(self._target.parent)
        except OSError as failure:
            self.discard()
            raise _problem(self._path, f"cannot be replaced ({failure.strerror})") from failure

    def discard(self) -> None:
        """Takes the prepared text away."""
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def _present(self) -> str | None:
        try:
            return read_text(self._path)
        except ConfigError:
            return None

    def _write(self, content: bytes) -> None:
        try:
            old: os.stat_result | None = self._target.stat()
        except FileNotFoundError:
            old = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._temporary, flags, _NEW_MODE), "wb") as file:
            if old is not None:
                self._take_over(file.fileno(), old)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _take_over(self, descriptor: int, old: os.stat_result) -> None:
        """Gives the new file the owner and then the mode of the old one."""
        new = os.fstat(descriptor)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            try:
                os.fchown(descriptor, old.st_uid, old.st_gid)
            except PermissionError as refused:
                owner = f"belongs to another user or group ({old.st_uid}:{old.st_gid})"
                raise _problem(self._path, owner, "edit it as its owner; the change is seen at once") from refused
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _sync(directory: Path) -> None:
    """Forces the directory's entry to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _problem(path: Path, message: str, hint: str = "") -> ConfigError:
    return ConfigError([ConfigProblem(str(path), 0, 0, "", message, hint)])
