"""What a command module is: `declare` its arguments, `run` them. `cli` lists the modules and loads one at a time.

A command prints its result to standard output and raises `Refused` with one plain line when it cannot be done.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from atp_engine.client.endpoint import Endpoint


class Refused(Exception):
    """The command cannot be done; the message says why and what to do. Code 2: the call or a config is wrong."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = 2 if code == 2 else 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works: the data directory, the config file, and the engine that answers there."""

    data_dir: Path
    config_file: Path
    endpoint: Callable[[], Endpoint]
    """The running engine; raises Refused when none answers."""
    editor: str = ""
    """What the person edits text with, empty when the environment does not say."""
    settings_file: Path = Path("console.toml")
    """The console's own settings: the person's, whichever engine is meant."""


class Command(Protocol):
    """A module of this package."""

    def declare(self, parser: ArgumentParser) -> None:
        """Adds the command's arguments."""
        ...

    def run(self, place: Place, arguments: Namespace) -> int:
        """Does it and returns the exit code; may raise Refused, EngineError or ATPError."""
        ...
