"""References to credentials turned into credentials that cannot be printed by accident.

The engine resolves each provider's `api_key` when a config goes live. A value never appears in a message,
a repr or a traceback's text; only `Secret.reveal` gives it away, to the code that sends it.
"""

from __future__ import annotations

import hmac
import importlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from atp_engine.config.load import Environment
from atp_engine.config.models import Config
from atp_engine.core.errors import ConfigError, ConfigProblem

MAX_SECRET_BYTES = 65_536
_SENDABLE = re.compile(r"[\x21-\x7e]+")

KeyringLookup = Callable[[str, str], str | None]
"""Service and name to the stored password, None when there is none; raises ConfigError."""


class Secret:
    """A credential; text forms of it are `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for the header it is sent in."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be copied or stored")


def resolve_all(
    config: Config, path: Path, environment: Environment
) -> tuple[dict[str, Secret], tuple[ConfigProblem, ...]]:
    """Every provider's credential by provider name, and a problem for each that cannot be had.

    `path` is the config file, from whose directory `file:` references count.
    """
    secrets: dict[str, Secret] = {}
    problems: list[ConfigProblem] = []
    for name, provider in config.providers.items():
        if provider.api_key is None:
            continue
        try:
            secrets[name] = resolve(provider.api_key, path.parent, environment)
        except ConfigError as wrong:
            problems.extend(
                ConfigProblem(str(path), 0, 0, f"providers.{name}.api_key", problem.message, problem.hint)
                for problem in wrong.problems
            )
    return secrets, tuple(problems)


def resolve(reference: str, directory: Path, environment: Environment, keyring: KeyringLookup | None = None) -> Secret:
    """The credential behind `env:NAME`, `file:PATH` (from `directory`) or `keyring:SERVICE/NAME`.

    Reads files and may ask the system's keyring, so not for the event loop. Raises ConfigError with a
    message that names the place, never the value.
    """
    scheme, _, place = reference.partition(":")
    if scheme == "env" and place:
        return _checked(environment.variables.get(place), f"environment variable {place}", "set it before the start")
    if scheme == "file" and place:
        return _checked(_read_file(secret_path(place, directory, environment.home)), f"file {place}", "")
    service, slash, name = place.partition("/")
    if scheme == "keyring" and service and slash and name:
        lookup = keyring or _system_keyring
        return _checked(lookup(service, name), f"keyring entry {place}", f"store it: keyring set {service} {name}")
    raise _problem("must be env:NAME, file:PATH or keyring:SERVICE/NAME")


def read_private(path: Path) -> str:
    """The text of a file that only its owner may read; raises ConfigError otherwise, FileNotFoundError
    when there is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _problem(f"{path} is not a file")
        if status.st_mode & 0o077:
            raise _problem(f"{path} can be read by other users", f"chmod 600 {path}")
        content = file.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise _problem(f"{path} is larger than 64 KiB, which no credential is")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        # Without a cause: the exception holds the bytes.
        raise _problem(f"{path} holds characters that no header can carry") from None


def secret_path(place: str, directory: Path, home: Path) -> Path:
    """The file that a `file:` reference names."""
    return home / place[2:] if place.startswith("~/") else directory / place


def _read_file(path: Path) -> str:
    try:
        content = read_private(path)
    except FileNotFoundError as missing:
        raise _problem(f"file {path} does not exist") from missing
    except OSError as failure:
        raise _problem(f"file {path} cannot be read ({failure.strerror})") from failure
    return content.removesuffix("\n").removesuffix("\r")


def _checked(value: str | None, place: str, hint: str) -> Secret:
    if value is None:
        raise _problem(f"{place} is not set" if place.startswith("env") else f"{place} does not exist", hint)
    if not value:
        raise _problem(f"{place} is empty", hint)
    if not _SENDABLE.fullmatch(value):
        raise _problem(f"{place} holds blanks or characters that no header can carry")
    return Secret(value)


def _system_keyring(service: str, name: str) -> str | None:
    # Loaded by name because it is optional, and only here because its import takes a tenth of a second.
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ImportError as missing:
        raise _problem("the keyring library is not installed", "pip install 'atp-console[keyring]'") from missing
    try:
        password: str | None = keyring.get_password(service, name)
    except (errors.KeyringError, RuntimeError, OSError) as failure:
        raise _problem(f"the system's keyring does not answer ({type(failure).__name__})") from failure
    return password


def _problem(message: str, hint: str = "") -> ConfigError:
    return ConfigError([ConfigProblem("", 0, 0, "", message, hint)])
