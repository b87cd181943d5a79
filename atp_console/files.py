"""Files that the console writes: readable by their owner only, whole or not at all, never over another by accident."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_MOST_NAMES = 1_000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_new(folder: Path, file_name: str, text: str) -> Path:
    """A file that did not exist before, with a number in its name where that is needed. Raises OSError."""
    stem, dot, suffix = file_name.rpartition(".")
    for number in range(_MOST_NAMES):
        path = folder / (f"{stem}-{number}{dot}{suffix}" if number else file_name)
        with contextlib.suppress(FileExistsError):
            create(path, text)
            return path
    raise FileExistsError(f"too many files named {file_name}")


def create(path: Path, text: str) -> None:
    """A new file; raises FileExistsError where one is, also where a link stands there."""
    descriptor = os.open(path, _NEW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def replace(path: Path, text: str) -> None:
    """The file anew, a link itself and not what it points to. Raises OSError."""
    if path.is_dir():
        raise IsADirectoryError(0, "it is a directory")
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    create(temporary, text)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
