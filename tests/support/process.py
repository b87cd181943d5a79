"""The `atp-console` command as a process of its own, in a home of its own: run to its end, or served and ended.

with serving(home, toml) as engine:
    answer = await engine.calls.post("/v1/chat/completions", {...})

Nothing of the caller's environment reaches it but the path.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.calls import Calls
from tests.support.source_tree import ROOT

COMMAND = [sys.executable, "-m", "atp_console"]
DEADLINE_S = 30.0
"""For everything that a process does; a loaded machine may take this long, an idle one a tenth."""


@dataclass(frozen=True)
class Home:
    """An empty home directory and what the command finds in its environment."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        return {
            "HOME": str(self.path),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            **self.variables,
        }

    @property
    def config_file(self) -> Path:
        """Where the command looks for its config by itself."""
        return self.path / ".config" / "atp-console" / "atp.toml"

    @property
    def data_dir(self) -> Path:
        """Where it keeps its files by itself."""
        return self.path / ".local" / "share" / "atp-console"

    def write_config(self, toml: str) -> Path:
        """Puts a config where the command looks for it."""
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(toml)
        return self.config_file


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """Both outputs, for messages."""
        return self.out + self.err


def run(home: Home, *arguments: str) -> Ran:
    """Runs the command to its end."""
    started = time.monotonic()
    ended = subprocess.run(  # noqa: S603 - our own program
        [*COMMAND, *arguments],
        env=home.environment,
        cwd=home.path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - started)


class Served:
    """A running `atp-console serve`."""

    def __init__(self, home: Home, process: subprocess.Popen[bytes], output: Path, data_dir: Path) -> None:
        self.home = home
        self.process = process
        self.data_dir = data_dir
        self._output = output

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def record(self) -> dict[str, Any]:
        """What it says of itself in the data directory."""
        found: dict[str, Any] = json.loads((self.data_dir / "engine.json").read_text())
        return found

    @property
    def url(self) -> str:
        """Root address without `/v1`."""
        found: str = self.record["url"]
        return found

    @property
    def calls(self) -> Calls:
        """HTTP calls to it, with its first key and its admin token."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        key = (self.data_dir / "client.key").read_text().strip()
        token = (self.data_dir / "admin.token").read_text().strip()
        return Calls(int(port), key, token, host.strip("[]"))

    def out(self) -> str:
        """Its standard output so far."""
        return self._output.read_text()

    def log(self) -> list[dict[str, Any]]:
        """Its log so far."""
        text = self._output.with_suffix(".err").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait(self, within_s: float = DEADLINE_S) -> int:
        """Waits for its end and returns the exit code; negative is the signal that killed it."""
        return self.process.wait(within_s)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.kill()
        self.process.wait(DEADLINE_S)


def start(home: Home, *arguments: str, data_dir: Path | None = None) -> Served:
    """Starts `serve` with the arguments and waits until it listens; blocks.

    Raises AssertionError with what it said when it ends instead.
    """
    output = home.path / "serve.out"
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*COMMAND, "serve", *arguments],
            env=home.environment,
            cwd=home.path,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    served = Served(home, process, output, data_dir or home.data_dir)
    deadline = time.monotonic() + DEADLINE_S
    while "listens on" not in served.out():
        if process.poll() is not None:
            raise AssertionError(served.out() + output.with_suffix(".err").read_text())
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.005)
    return served


@contextmanager
def serving(home: Home, *arguments: str, data_dir: Path | None = None) -> Iterator[Served]:
    """A running engine for the time of the block; whatever is left of it then is killed."""
    served = start(home, *arguments, data_dir=data_dir)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.send(signal.SIGTERM)
            try:
                served.wait(5.0)
            except subprocess.TimeoutExpired:
                served.kill()
