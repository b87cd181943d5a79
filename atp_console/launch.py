"""Finding the engine of a data directory, or starting one as a process of its own.

The command line calls it for everything that attaches. The child is a plain `atp-console serve`; it
outlives the console unless the person chooses otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from atp_engine.client.endpoint import Endpoint, read_engine_record
from atp_engine.client.engine_client import EngineClient, connect
from atp_engine.client.errors import EngineError
from atp_engine.core.views import EngineView

START_LIMIT_S = 20.0
_PREFIX = "atp-console: "
_T = TypeVar("_T")


class CannotStart(Exception):
    """The engine's process ended before it answered; the message is what it said, `code` how it ended."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def ask(endpoint: Endpoint, question: Callable[[EngineClient], Awaitable[_T]]) -> _T:
    """Asks an engine one thing. Raises EngineError when it cannot answer."""

    async def once() -> _T:
        client = connect(endpoint)
        try:
            return await question(client)
        finally:
            await client.aclose()

    return asyncio.run(once())


def running(data_dir: Path) -> tuple[Endpoint, EngineView] | None:
    """The engine that answers for the data directory, None when none does."""
    record = read_engine_record(data_dir)
    if record is None:
        return None
    endpoint = record.endpoint(_token(data_dir))
    try:
        return endpoint, ask(endpoint, lambda client: client.status())
    except EngineError:
        return None


def serve_arguments(given: Mapping[str, object]) -> list[str]:
    """What of a command line is meant for the engine as well, with absolute paths."""
    passed: list[str] = []
    for name in ("config", "data_dir", "host", "port", "log_level"):
        value = given.get(name)
        if value is not None:
            value = value.expanduser().absolute() if isinstance(value, Path) else value
            passed += [f"--{name.replace('_', '-')}", str(value)]
    return passed


def start(data_dir: Path, arguments: list[str]) -> Endpoint:
    """Starts `atp-console serve` with `arguments` and waits until it answers.

    Raises CannotStart with the engine's own words when it ends or stays silent for 20 s.
    """
    said = data_dir / "start.log"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        said.touch(0o600)
    except OSError as error:
        raise CannotStart(f"{data_dir} cannot be made or used ({error.strerror})") from None
    with said.open("wb") as output:
        said.chmod(0o600)
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "atp_console", "serve", *arguments, "--log-file", str(data_dir / "engine.log")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        record = read_engine_record(data_dir)
        if record is not None and record.pid == process.pid:
            found = running(data_dir)
            if found is not None:
                return found[0]
        if process.poll() is not None:
            words = said.read_text(errors="replace").strip().removeprefix(_PREFIX)
            raise CannotStart(words or "the engine ended without a word", process.returncode)
        time.sleep(0.01)
    process.terminate()
    raise CannotStart(f"the engine did not answer within {START_LIMIT_S:g} s; see {said}")


def stop(data_dir: Path) -> None:
    """Ends the engine that answers for the data directory in an orderly way; none is no matter."""
    found = running(data_dir)  # a record alone may name a process that is somebody else's by now
    if found is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[1].pid, signal.SIGTERM)


def _token(data_dir: Path) -> str:
    try:
        return (data_dir / "admin.token").read_text().strip()
    except OSError:
        return ""
