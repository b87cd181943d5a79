"""The config's files as text and as plain trees: whatever is on the disk becomes one, or a problem with its place.

`config/load.py` calls it for the main file and for each fragment. Nothing here blocks on pipes or devices, and
no text makes it take long.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from atp_engine.core.errors import ConfigError, ConfigProblem
from atp_engine.core.text import safe_text

MAX_FILE_BYTES = 1_048_576
"""Longest config file; a thousand deployments are far below."""
_MAX_DEPTH = 32
_MAX_DOTS = 64
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_LONG_NUMBER = re.compile(r"[0-9_]{4300,}")
_TOML_PLACE = re.compile(
    r"^(?P<message>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL
)


def read_text(path: Path) -> str:
    """The file's text; raises ConfigError with a plain reason when there is none to be had."""
    name = str(path)
    try:
        # Not blocking: opening a named pipe would otherwise wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise refusal(name, "is not a file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as failure:
        raise refusal(name, _reason(failure)) from failure
    if len(content) > MAX_FILE_BYTES:
        raise refusal(name, "is larger than 1 MiB, which no config file is")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise refusal(name, "is UTF-16 text", "save it as UTF-8", line=1)
    if b"\x00" in content:
        line = content.count(b"\n", 0, content.index(b"\x00")) + 1
        raise refusal(name, "is a binary file, not TOML text", line=line)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        before = content[: wrong.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ConfigError(
            [ConfigProblem(name, line, column, "", "this byte is not UTF-8 text", "save the file as UTF-8")]
        ) from wrong


def _reason(failure: OSError) -> str:
    reasons = {
        errno.ENOENT: "does not exist",
        errno.EACCES: "may not be read by this user",
        errno.EPERM: "may not be read by this user",
        errno.EISDIR: "is a directory",
        errno.ELOOP: "is a link that leads nowhere",
        errno.ENAMETOOLONG: "has too long a name",
    }
    return reasons.get(failure.errno or 0, f"cannot be read ({os.strerror(failure.errno or errno.EIO)})")


def read_toml(text: str, name: str) -> dict[str, Any]:
    """The tree of a text without byte order mark and with plain line ends; raises ConfigError."""
    for number, line in enumerate(text.split("\n"), 1):
        # tomllib's time for a dotted key grows with the square of its parts.
        if line.count(".") > _MAX_DOTS and _QUOTED.sub("", line).count(".") > _MAX_DOTS:
            raise ConfigError([ConfigProblem(name, number, 1, "", f"a key has more than {_MAX_DOTS} parts")])
    try:
        tree = tomllib.loads(text)
        if not _is_shallow(tree, _MAX_DEPTH):
            raise refusal(name, f"is nested deeper than {_MAX_DEPTH} levels", line=_deepest(text))
    except RecursionError as wrong:
        raise refusal(name, f"is nested deeper than {_MAX_DEPTH} levels", line=_deepest(text)) from wrong
    except ValueError as wrong:  # TOMLDecodeError, and int() on thousands of digits
        raise ConfigError([_syntax_problem(text, name, str(wrong))]) from wrong
    return tree


def _syntax_problem(text: str, name: str, said: str) -> ConfigProblem:
    place = _TOML_PLACE.match(said)
    if place is None:
        number = _LONG_NUMBER.search(text) if "digits" in said else None
        if number is None:
            return ConfigProblem(name, 1, 1, "", "is not valid TOML")
        at = text.count("\n", 0, number.start()) + 1
        return ConfigProblem(name, at, 1, "", "is not valid TOML: a number is too long")
    line, column = place["line"], place["column"]
    if line is None:
        lines = text.rstrip().split("\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    message = place["message"]
    message = safe_text(message[:1].lower() + message[1:], limit=200)
    hint = "text is written in quotes" if message.startswith("invalid value") else ""
    return ConfigProblem(name, int(line), int(column), "", f"not valid TOML: {message}", hint)


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    children = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(child, levels - 1) for child in children)


def _deepest(text: str) -> int:
    """About the line on which a text is nested deepest: the one with the most brackets or dots."""
    lines = text.split("\n")
    return 1 + max(range(len(lines)), key=lambda at: lines[at].count("[") + lines[at].count("{") + lines[at].count("."))


def refusal(name: str, message: str, hint: str = "", *, line: int = 0) -> ConfigError:
    """The error of a file as a whole, at a line where there is one."""
    return ConfigError([ConfigProblem(name, line, 1 if line else 0, "", message, hint)])
