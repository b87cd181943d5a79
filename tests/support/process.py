"""The `atp-console` command as a process of its own, in a home of its own: run to its end, or served and ended.

with serving(home, "--port", "0") as engine:
    answer = await engine.calls.post("/v1/chat/completions", {...})

Nothing of the caller's environment reaches it but the path. Commands are forked from one that has its
imports done (`zygote`); `is_cold=True` starts an interpreter instead, as a person's shell does.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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


class Process(Protocol):
    """What there is to know of and to do to a process; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def poll(self) -> int | None:
        """Its exit code, negative for the signal that killed it; None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the exit code. Raises subprocess.TimeoutExpired."""
        ...

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""
        ...


class Forked:
    """A command that the zygote forked."""

    def __init__(self, pid: int, codes: dict[int, int], changed: threading.Condition) -> None:
        self.pid = pid
        self._codes = codes
        self._changed = changed

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._codes.get(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the exit code. Raises subprocess.TimeoutExpired."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.pid in self._codes, timeout):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            return self._codes[self.pid]

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class Zygote:
    """The process that forks commands, and what it said of their ends."""

    def __init__(self) -> None:
        environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._said: queue.Queue[dict[str, int]] = queue.Queue()
        self._codes: dict[int, int] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        assert "ready" in self._said.get(timeout=DEADLINE_S)

    def fork(self, home: Home, arguments: tuple[str, ...], out: Path, err: Path) -> Forked:
        """Starts a command."""
        job = {
            "arguments": arguments,
            "environment": home.environment,
            "directory": str(home.path),
            "out": str(out),
            "err": str(err),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return Forked(self._said.get(timeout=DEADLINE_S)["pid"], self._codes, self._changed)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = json.loads(line)
            if "ended" not in words:
                self._said.put(words)
                continue
            with self._changed:
                self._codes[words["ended"]] = words["code"]
                self._changed.notify_all()


@functools.cache
def zygote() -> Zygote:
    """The one of this run of tests; it ends with it, when its input closes."""
    return Zygote()


def _begin(home: Home, arguments: tuple[str, ...], out: Path, *, is_cold: bool) -> Process:
    if not is_cold:
        return zygote().fork(home, arguments, out, out.with_suffix(".err"))
    with out.open("wb") as output, out.with_suffix(".err").open("wb") as errors:
        return subprocess.Popen(  # noqa: S603 - our own program
            [*COMMAND, *arguments],
            env=home.environment,
            cwd=home.path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both outputs, for messages."""
        return self.out + self.err


def run(home: Home, *arguments: str, is_cold: bool = False) -> Ran:
    """Runs the command to its end."""
    out = home.path / ".run.out"
    code = _begin(home, arguments, out, is_cold=is_cold).wait(DEADLINE_S)
    ran = Ran(code, out.read_text(), out.with_suffix(".err").read_text())
    out.unlink()
    out.with_suffix(".err").unlink()
    return ran


class Served:
    """A running `atp-console serve`."""

    def __init__(self, home: Home, process: Process, output: Path, data_dir: Path) -> None:
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
        return self._output.read_text() if self._output.exists() else ""

    def err(self) -> str:
        """Its standard error so far."""
        return self._output.with_suffix(".err").read_text()

    def log(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.err().splitlines()]

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait(self, within_s: float = DEADLINE_S) -> int:
        """Waits for its end and returns the exit code; negative is the signal that killed it."""
        return self.process.wait(within_s)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)


def start(home: Home, *arguments: str, data_dir: Path | None = None, is_cold: bool = False) -> Served:
    """Starts `serve` with the arguments and waits until it listens; blocks.

    Raises AssertionError with what it said when it ends instead.
    """
    output = home.path / "serve.out"
    output.unlink(missing_ok=True)
    process = _begin(home, ("serve", *arguments), output, is_cold=is_cold)
    served = Served(home, process, output, data_dir or home.data_dir)
    deadline = time.monotonic() + DEADLINE_S
    while "listens on" not in served.out():
        if process.poll() is not None:
            raise AssertionError(served.out() + served.err())
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.005)
    return served


@contextmanager
def serving(home: Home, *arguments: str, data_dir: Path | None = None, is_cold: bool = False) -> Iterator[Served]:
    """A running engine for the time of the block; whatever is left of it then is killed."""
    served = start(home, *arguments, data_dir=data_dir, is_cold=is_cold)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.send(signal.SIGTERM)
            try:
                served.wait(5.0)
            except subprocess.TimeoutExpired:
                served.kill()
