"""What diskcache may write and read: bytes under text keys, in the row, whatever the file says.

diskcache unpickles rows that are marked so and opens the file that a row names (CVE-2025-69872, no release
fixes it). Here a row that is not plain bytes is refused as if it were missing, and no file beside the
database is ever written, read or deleted.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any, NoReturn

import diskcache

_log = logging.getLogger(__name__)

_RAW = 1


class RefusedRow(OSError):
    """A row that this store cannot have written; diskcache takes it for a missing one."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Values are bytes and stay in the row."""

    def put(self, key: Any) -> tuple[str, bool]:
        """The key as it is stored."""
        if type(key) is not str:
            raise TypeError("keys of the body store are text")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """The key of a row. Raises RefusedRow for a pickled one."""
        if not raw or type(key) is not str:
            _refuse("a key")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, Any]:
        """Size, mode, file name and value of a new row."""
        if read or type(value) is not bytes:
            raise TypeError("values of the body store are bytes")
        return 0, _RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        """The bytes of a row. Raises RefusedRow for every row that is not exactly what `store` makes."""
        if read or mode != _RAW or filename is not None or type(value) is not bytes:
            _refuse("a value")
        return value

    def remove(self, file_path: Any) -> None:
        """Deletes nothing: no row of ours has a file."""
        if file_path is not None:
            _log.error("a row of the body store names a file, which is left alone")


def _refuse(what: str) -> NoReturn:
    _log.error("%s in the body store was not written by it and is ignored", what)
    raise RefusedRow(f"{what} in the body store was not written by it")
