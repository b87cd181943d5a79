"""The engine's log: one JSON object per line, without credentials, control characters or floods.

`engine.py` calls `configure` once and closes what it gets. Rooms log through the standard library and name
the request with `extra={"request_id": ...}`: that costs nothing until something is logged. A record is
never more than one line; a traceback is kept only for our own bugs, as a field.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import islice
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

import msgspec

from atp_engine.core.errors import ATPError, ConfigError, ConfigProblem
from atp_engine.core.log_views import LogLine
from atp_engine.core.redact import MARK, redact
from atp_engine.core.text import safe_text

__all__ = ["LEVELS", "LogRing", "LogSink", "configure", "redact"]

LEVELS = ("debug", "info", "warning", "error", "critical")

MAX_TEXT = 4_096
"""Longest message or field, in characters."""
_MAX_ERROR_TEXT = 400
_MAX_FRAMES = 24
_FLOOD_RECORDS = 20
_FLOOD_WINDOW_S = 10.0
_FLOOD_SITES = 512
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
_CREDENTIAL_FIELD = re.compile(r"(?i)api[-_]?key|authorization|cookie|password|secret|(?:^|_)token$")
# Ends of connections and refusals that come from outside: told in one clause, never with a traceback.
_EXPECTED = (ATPError, ConnectionError, TimeoutError)
# Libraries that tell every step below this level.
_QUIET = ("aiohttp", "asyncio", "httpx2", "uvicorn", "uvicorn.access", "watchdog")


class LogSink:
    """The handlers that `configure` put in; `close` takes them out and restores the levels."""

    def __init__(self, handler: _Handler, flood: FloodFilter, before: Mapping[str, int]) -> None:
        self._handler = handler
        self._flood = flood
        self._before = before

    @property
    def dropped(self) -> int:
        """Records lost because the file or stream could not take them."""
        return self._handler.dropped

    @property
    def suppressed(self) -> int:
        """Records left out because their place in the code had just written many."""
        return self._flood.suppressed

    def close(self) -> None:
        """Ends logging through this sink; the file is complete afterwards."""
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()
        logging.captureWarnings(False)
        for name, level in self._before.items():
            logging.getLogger(name).setLevel(level)


def configure(
    level: str,
    file: Path | None = None,
    *,
    max_file_bytes: int = 10_485_760,
    kept_files: int = 3,
    stream: TextIO | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> LogSink:
    """Sends every record of the process to `file`, or to `stream` (standard error when None).

    The file is made with mode 0600 and set aside at `max_file_bytes`. Raises ConfigError when it cannot be
    opened.
    """
    handler = _stream_handler(stream) if file is None else _file_handler(file, max_file_bytes, kept_files)
    flood = FloodFilter(monotonic)
    handler.addFilter(flood)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in ("", *_QUIET)}
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    root.addHandler(handler)
    logging.captureWarnings(True)
    return LogSink(handler, flood, before)


class JsonFormatter(logging.Formatter):
    """A record as one JSON line: at, level, logger, event, request_id, the caller's fields, error, trace."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without its end. Never raises on what a caller passed."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _clean(_message(record)),
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in line:
                line[_clean(name)] = MARK if _CREDENTIAL_FIELD.search(name) else _plain(value)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["error"] = _told(error)
            if error.__cause__ is not None:
                line["cause"] = _told(error.__cause__)
            if not isinstance(error, _EXPECTED):
                line["trace"] = _frames(error)
        return msgspec.json.encode(line).decode()


class FloodFilter(logging.Filter):
    """Lets a place in the code write 20 records in 10 s; the next one after that says how many were left out."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._sites: dict[tuple[str, int], tuple[float, int, int]] = {}
        self.suppressed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the record may be written."""
        site, now = (record.pathname, record.lineno), self._monotonic()
        since, written, skipped = self._sites.get(site, (now, 0, 0))
        if now - since >= _FLOOD_WINDOW_S:
            if skipped:
                record.__dict__["suppressed"] = skipped
            since, written, skipped = now, 0, 0
        is_let_through = written < _FLOOD_RECORDS
        if len(self._sites) >= _FLOOD_SITES and site not in self._sites:
            self._sites.clear()
        self._sites[site] = (since, written + 1, skipped) if is_let_through else (since, written, skipped + 1)
        self.suppressed += not is_let_through
        return is_let_through


class LogRing(logging.Handler):
    """The latest records in memory, as the log writes them; for people who look at a running engine."""

    def __init__(self, most: int = 2_000, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._lines: deque[tuple[int, int, str]] = deque(maxlen=most)
        self._count = 0
        self.addFilter(FloodFilter(monotonic))
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one record."""
        self._count += 1
        self._lines.append((self._count, record.levelno, self.format(record)))

    @property
    def dropped(self) -> int:
        """Records that had to make room."""
        return self._count - len(self._lines)

    def latest(self, level: str, limit: int) -> tuple[LogLine, ...]:
        """The newest records at least as severe as `level`, newest first."""
        least = logging.getLevelNamesMapping()[level.upper()]
        with self.lock or nullcontext():
            kept = list(self._lines)
        found = (line for line in reversed(kept) if line[1] >= least)
        return tuple(_line_of(number, text) for number, _, text in islice(found, limit))


def _line_of(number: int, text: str) -> LogLine:
    fields = msgspec.json.decode(text, type=dict[str, Any])
    named = {name: str(fields.pop(name, "")) for name in ("at", "level", "logger", "event", "request_id")}
    return LogLine(number, **named, fields=fields)


class _Handler(logging.Handler):
    """Counts what it cannot write: the standard library would print a traceback for each."""

    dropped = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        self.dropped += 1


class _StreamHandler(_Handler, logging.StreamHandler[TextIO]):
    pass


class _FileHandler(_Handler, RotatingFileHandler):
    def _open(self) -> Any:
        path = Path(self.baseFilename)
        path.touch(mode=0o600, exist_ok=True)
        path.chmod(0o600)
        return super()._open()


def _stream_handler(stream: TextIO | None) -> _Handler:
    return _StreamHandler(stream or sys.stderr)


def _file_handler(file: Path, max_bytes: int, kept: int) -> _Handler:
    try:
        return _FileHandler(file, maxBytes=max_bytes, backupCount=kept, encoding="utf-8")
    except OSError as failure:
        message = f"{file} cannot be written ({failure.strerror})"
        raise ConfigError([ConfigProblem("", 0, 0, "logging.file", message)]) from failure


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError, AttributeError):
        return f"{record.msg} (its arguments do not fit)"


def _told(error: BaseException) -> str:
    return safe_text(_clean(f"{type(error).__name__}: {error}"), limit=_MAX_ERROR_TEXT)


def _clean(text: str) -> str:
    # Redacted before it is cut: half a key would not be recognised.
    return safe_text(redact(text[: 4 * MAX_TEXT]), limit=MAX_TEXT)


def _plain(value: object) -> object:
    """A field that JSON can hold; anything that is not a number, a flag or flat text becomes text."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else _clean(f"an integer of {value.bit_length()} bits")
    return _clean(value if isinstance(value, str) else repr(value))


def _frames(error: BaseException) -> list[str]:
    """`file:line function`, outermost first, of the last frames: places without source or values."""
    walk = traceback.walk_tb(error.__traceback__)
    frames = traceback.StackSummary.extract(walk, limit=-_MAX_FRAMES, lookup_lines=False)
    return [f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}" for frame in frames]
