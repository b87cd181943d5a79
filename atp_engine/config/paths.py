"""Where the product keeps its files, and how they stay private: directories 0700, files 0600.

`cli.py` and `engine.py` ask for `default_paths` once and hand the places down; `client/` finds a running
engine by the endpoint file. Nothing is created before `prepare` or `ensure_token`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from atp_engine.config.load import Environment
from atp_engine.config.secrets import read_private
from atp_engine.core.errors import ConfigError, ConfigProblem

_SOCKET_LIMIT = 100
"""Longest socket path in bytes that every system takes (the limits are 104 and 108)."""
_TOKEN = re.compile(r"[a-z_]*[a-z2-7]{52}")


@dataclass(frozen=True, slots=True)
class Paths:
    """Every place on disk that the product uses by itself."""

    config_file: Path
    data_dir: Path
    endpoint_file: Path
    """Written by a running engine: where it listens."""
    socket: Path
    """The running engine's local socket."""
    admin_token: Path
    client_key: Path
    """The key that the first run hands to the owner's own clients."""
    database: Path
    bodies_dir: Path
    log_file: Path


def default_paths(environment: Environment) -> Paths:
    """The places for this user: `ATP_CONFIG` and `ATP_DATA_DIR` first, then the XDG directories."""
    data_dir = environment.data_dir or environment.data_home / "atp-console"
    return Paths(
        config_file=environment.config_file or environment.config_home / "atp-console" / "atp.toml",
        data_dir=data_dir,
        endpoint_file=data_dir / "engine.json",
        socket=_socket(data_dir, environment),
        admin_token=data_dir / "admin.token",
        client_key=data_dir / "client.key",
        database=data_dir / "atp.db",
        bodies_dir=data_dir / "bodies",
        log_file=data_dir / "engine.log",
    )


def prepare(paths: Paths) -> None:
    """Makes the data directory and the socket's, private; raises ConfigError where that cannot be."""
    for directory in dict.fromkeys((paths.data_dir, paths.socket.parent)):
        make_private_dir(directory)


def make_private_dir(directory: Path) -> None:
    """Makes the directory with mode 0700, or checks that it is ours and closes it to others.

    A link, another owner or a file in its place raises ConfigError: others could then read or replace
    what is written there.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
        if {status.st_uid, directory.lstat().st_uid} != {os.geteuid()}:
            raise _problem(f"{directory} belongs to another user", "choose another with ATP_DATA_DIR")
        if status.st_mode & 0o077:
            directory.chmod(0o700)
    except FileExistsError as taken:
        raise _problem(f"{directory} is not a directory") from taken
    except OSError as failure:
        raise _problem(f"{directory} cannot be made or used ({failure.strerror})") from failure


def write_private(path: Path, content: bytes) -> None:
    """Replaces the file as a whole, mode 0600: a reader sees the old or the new one, never a part."""
    temporary = _write_temporary(path, content)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def create_private(path: Path, content: bytes) -> bool:
    """Makes the file, mode 0600, complete from its first moment; False if one is already there."""
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def ensure_token(path: Path, prefix: str) -> str:
    """The token kept in the file, made on the first call: `prefix` and 256 random bits in base32.

    Two callers at once get the same one. Raises ConfigError when others may read the file, or when what is
    in it is no token of this kind.
    """
    try:
        try:
            return _token_in(path, prefix)
        except FileNotFoundError:
            token = prefix + base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()
            make_private_dir(path.parent)
            create_private(path, f"{token}\n".encode())
            return _token_in(path, prefix)
    except OSError as failure:
        raise _problem(f"{path} cannot be read or made ({failure.strerror})") from failure


def _token_in(path: Path, prefix: str) -> str:
    token = read_private(path).strip()
    if not token.startswith(prefix) or not _TOKEN.fullmatch(token):
        raise _problem(f"{path} does not hold a token", "remove it: the next start makes a new one")
    return token


def _write_temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _socket(data_dir: Path, environment: Environment) -> Path:
    plain = data_dir / "engine.sock"
    if len(os.fsencode(plain)) <= _SOCKET_LIMIT:
        return plain
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    base = environment.runtime_dir or environment.temp_dir
    short = base / f"atp-console-{environment.uid}" / f"{name}.sock"
    if len(os.fsencode(short)) <= _SOCKET_LIMIT:
        return short
    return Path("/tmp") / f"atp-console-{environment.uid}" / f"{name}.sock"  # noqa: S108 - in a directory of our own, 0700


def _problem(message: str, hint: str = "") -> ConfigError:
    return ConfigError([ConfigProblem("", 0, 0, "", message, hint)])
