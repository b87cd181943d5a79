"""From a TOML file to the frozen tree, with every problem named at once; the only reader of the environment.

`engine.py` and the config commands call `load` and `parse`; `cli.py` calls `environment` once and hands it
down. A file either becomes a whole `Config` or raises; nothing is applied in part.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from atp_engine.config.checks import check
from atp_engine.config.models import Config
from atp_engine.config.positions import Positions
from atp_engine.config.problems import Complaints
from atp_engine.core.errors import ConfigError, ConfigProblem
from atp_engine.core.text import safe_text

MAX_FILE_BYTES = 1_048_576
"""Longest config file; a thousand deployments are far below."""
_MAX_PROBLEMS = 100
_MAX_DEPTH = 32
_MAX_DOTS = 64
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_TOML_PLACE = re.compile(
    r"^(?P<message>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the process was started with; read once, never again."""

    home: Path
    config_home: Path
    """Where config directories lie (XDG)."""
    data_home: Path
    """Where data directories lie (XDG)."""
    runtime_dir: Path | None
    """For sockets, private to the user, gone after logout (XDG); None where the system has none."""
    temp_dir: Path
    uid: int
    is_color_off: bool
    """NO_COLOR is set."""
    config_file: Path | None
    """ATP_CONFIG: another config file."""
    data_dir: Path | None
    """ATP_DATA_DIR: another data directory."""
    url: str
    """ATP_URL: an engine to attach to, empty when not set."""
    variables: Mapping[str, str] = field(repr=False)
    """Everything, for `env:NAME` references; not for printing."""

    def has(self, name: str) -> bool:
        """True if the variable is set and not empty."""
        return bool(self.variables.get(name))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config that can go live, with the text it came from."""

    config: Config
    path: Path
    text: str
    warnings: tuple[ConfigProblem, ...]


def environment() -> Environment:
    """The process's environment as a value."""
    variables = dict(os.environ)
    home = Path(variables.get("HOME") or "~").expanduser()
    return Environment(
        home=home,
        config_home=_absolute(variables.get("XDG_CONFIG_HOME")) or home / ".config",
        data_home=_absolute(variables.get("XDG_DATA_HOME")) or home / ".local" / "share",
        runtime_dir=_absolute(variables.get("XDG_RUNTIME_DIR")),
        temp_dir=Path(tempfile.gettempdir()),
        uid=os.getuid(),
        is_color_off=bool(variables.get("NO_COLOR")),
        config_file=_chosen(variables.get("ATP_CONFIG"), home),
        data_dir=_chosen(variables.get("ATP_DATA_DIR"), home),
        url=variables.get("ATP_URL", ""),
        variables=variables,
    )


def load(path: Path, kinds: Collection[str] | None = None) -> Loaded:
    """Reads and checks the file; raises ConfigError with every problem that was found.

    `kinds` are the provider kinds that the registry knows; None skips that check.
    """
    return parse(_read(path), path, kinds)


def parse(text: str, path: Path, kinds: Collection[str] | None = None) -> Loaded:
    """Checks a text as if it stood in the file at `path`; raises ConfigError with every problem.

    Paths in it (`ca_file`, `logging.file`) become absolute, from the directory of `path`.
    """
    name = str(path)
    if len(text) > MAX_FILE_BYTES:
        raise _refusal(name, "is larger than 1 MiB, which no config file is")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    tree = _read_toml(text, name)
    complaints = Complaints(name, Positions(text))
    check(tree, complaints, kinds)
    try:
        config = Config.model_validate(_in_place(tree, path.parent), strict=True)
    except ValidationError as wrong:
        complaints.add_findings(wrong.errors(include_url=False, include_input=False), tree)
        config = None
    errors = complaints.errors()
    if config is None or errors:
        raise ConfigError(_at_most(errors, name))
    return Loaded(config=config, path=path, text=text, warnings=tuple(complaints.warnings()[:_MAX_PROBLEMS]))


def _read(path: Path) -> str:
    """The file's text; raises ConfigError with a plain reason when there is none to be had."""
    name = str(path)
    try:
        # Not blocking: opening a named pipe would otherwise wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refusal(name, "is not a file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as failure:
        raise _refusal(name, _reason(failure)) from failure
    if len(content) > MAX_FILE_BYTES:
        raise _refusal(name, "is larger than 1 MiB, which no config file is")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refusal(name, "is UTF-16 text", "save it as UTF-8")
    if b"\x00" in content:
        raise _refusal(name, "is a binary file, not TOML text")
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


def _read_toml(text: str, name: str) -> dict[str, Any]:
    for number, line in enumerate(text.split("\n"), 1):
        # tomllib's time for a dotted key grows with the square of its parts.
        if line.count(".") > _MAX_DOTS and _QUOTED.sub("", line).count(".") > _MAX_DOTS:
            raise ConfigError([ConfigProblem(name, number, 1, "", f"a key has more than {_MAX_DOTS} parts")])
    try:
        tree = tomllib.loads(text)
        if not _is_shallow(tree, _MAX_DEPTH):
            raise _refusal(name, f"is nested deeper than {_MAX_DEPTH} levels")
    except RecursionError as wrong:
        raise _refusal(name, f"is nested deeper than {_MAX_DEPTH} levels") from wrong
    except ValueError as wrong:  # TOMLDecodeError, and int() on thousands of digits
        raise ConfigError([_syntax_problem(text, name, str(wrong))]) from wrong
    return tree


def _syntax_problem(text: str, name: str, said: str) -> ConfigProblem:
    place = _TOML_PLACE.match(said)
    if place is None:
        return ConfigProblem(
            name, 0, 0, "", "is not valid TOML: a number is too long" if "digits" in said else "is not valid TOML"
        )
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


def _in_place(tree: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The tree for the strict validator: lists as tuples, paths absolute."""
    frozen: dict[str, Any] = _frozen(tree)
    providers = frozen.get("providers")
    tables = list(providers.values()) if isinstance(providers, dict) else []
    for table, key in [*((table, "ca_file") for table in tables), (frozen.get("logging"), "file")]:
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
            table[key] = str(directory.absolute() / Path(table[key]).expanduser())
    return frozen


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(child) for key, child in value.items()}
    return tuple(_frozen(child) for child in value) if isinstance(value, list) else value


def _refusal(name: str, message: str, hint: str = "") -> ConfigError:
    return ConfigError([ConfigProblem(name, 0, 0, "", message, hint)])


def _at_most(problems: list[ConfigProblem], name: str) -> list[ConfigProblem]:
    left = len(problems) - _MAX_PROBLEMS
    if left <= 0:
        return problems
    return [*problems[:_MAX_PROBLEMS], ConfigProblem(name, 0, 0, "", f"and {left} further problems")]


def _absolute(text: str | None) -> Path | None:
    # The XDG rules: a relative path is to be ignored.
    return Path(text) if text and Path(text).is_absolute() else None


def _chosen(text: str | None, home: Path) -> Path | None:
    if not text:
        return None
    if text.startswith("~/"):
        return home / text[2:]
    return Path(text).absolute()
