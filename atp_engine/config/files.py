"""Where a running engine's config stands, and how its texts become a config: the command line's wishes on top.

`engine` makes one; `services/configuration` reads, parses and replaces through it. Everything here blocks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from atp_engine.config.legacy import Alias
from atp_engine.config.load import Loaded, parse, read_fragments
from atp_engine.config.reading import read_text
from atp_engine.config.replace import Replacement, sweep
from atp_engine.config.sources import SourceFile
from atp_engine.core.config_views import ConfigFile
from atp_engine.core.errors import ConfigError, ConfigProblem

Amend = Callable[[Loaded], Loaded]
"""Puts what the command line says over a config."""
TextEdit = Callable[[str, str, str | None], str]
"""A text with one key stating another value, None to take it out; see `config.edit.edited`."""

_STATES = re.compile(r"^\ufeff?[ \t]*[^\s#\ufeff]", re.MULTILINE)
"""A line that states something."""


def digest(files: Sequence[SourceFile] | Sequence[ConfigFile], directory: Path | None = None) -> str:
    """SHA-256 over names and texts; names count from `directory`."""
    whole = hashlib.sha256()
    for file in files:
        name = file.name if isinstance(file, ConfigFile) else short_name(file.path, directory)
        whole.update(f"{name}\0{file.text}\0".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def short_name(path: Path, directory: Path | None) -> str:
    """The name within a config's directory."""
    return str(path.relative_to(directory)) if directory and path.is_relative_to(directory) else str(path)


class ConfigFiles:
    """The main file and its fragments."""

    def __init__(self, path: Path, kinds: Collection[str], old: Sequence[Alias], amend: Amend, edit: TextEdit) -> None:
        self.path = path
        self.edit = edit
        self._kinds = kinds
        self._old = tuple(old)
        self._amend = amend

    def texts(self) -> tuple[SourceFile, ...]:
        """What stands on the disk, the main file first. Raises ConfigError where one cannot be read."""
        return (SourceFile(self.path, read_text(self.path)), *read_fragments(self.path))

    def is_there(self) -> bool:
        """True when something has the main file's name, be it what it may."""
        return self.path.is_symlink() or self.path.exists()

    def fragments(self) -> tuple[SourceFile, ...]:
        """The fragments on the disk. Raises ConfigError where one cannot be read."""
        return read_fragments(self.path)

    def parse(self, files: Sequence[SourceFile]) -> Loaded:
        """The config that these texts make. Raises ConfigError with every problem, and for texts that say
        nothing: editors and deploy scripts empty a file before they fill it."""
        loaded = parse(files[0].text, self.path, self._kinds, tuple(files[1:]), self._old)
        if not any(_STATES.search(file.text) for file in files):
            raise ConfigError([ConfigProblem(str(self.path), 1, 1, "", "is empty")])
        return self._amend(loaded)

    def read(self) -> Loaded:
        """The config on the disk. Raises ConfigError."""
        return self.parse(self.texts())

    def sweep(self) -> None:
        """Takes away what a killed process had prepared beside the files."""
        for path in (self.path, *(file.path for file in self.fragments())):
            sweep(path)

    def prepare(self, file: SourceFile, expected: str | None) -> Replacement:
        """A new text beside its file, ready to be put in place; see `Replacement`."""
        return Replacement(file.path, file.text, expected)

    def named(self, files: Sequence[SourceFile]) -> tuple[ConfigFile, ...]:
        """The files under their names within the config's directory."""
        return tuple(ConfigFile(short_name(file.path, self.path.parent), file.text) for file in files)

    def placed(self, files: Sequence[ConfigFile]) -> tuple[SourceFile, ...]:
        """The reverse of `named`."""
        return tuple(SourceFile(self.path.parent / file.name, file.text) for file in files)

    def digest(self, files: Sequence[SourceFile]) -> str:
        """What tells these texts from others."""
        return digest(self.named(files))
