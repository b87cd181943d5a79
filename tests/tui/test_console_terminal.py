"""The terminal afterwards: restored after a quit, a signal and a crash, in a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

_RUN = (
    "from atp_console.app import run; from atp_engine.client.endpoint import Endpoint;"
    "print('CHOICE', run(Endpoint('http://127.0.0.1:9', token='tok-secret-1'), is_readonly=False))"
)
_CRASH = (
    "from atp_console.app import ConsoleApp; from atp_engine.client.engine_client import connect;"
    "from atp_engine.client.endpoint import Endpoint\n"
    "def fail(self):\n    secret = 'prompt-' + 'secret-2'\n    raise RuntimeError('broken on purpose')\n"
    "ConsoleApp.do_help = fail\n"
    "app = ConsoleApp(connect(Endpoint('http://127.0.0.1:9', token='tok-secret-1')))\n"
    "app.run(); print('CODE', app.return_code)"
)
_ALTERNATE_ON, _ALTERNATE_OFF, _CURSOR_ON = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


@dataclass
class Terminal:
    """A child process on a pseudo-terminal, and everything that it wrote."""

    pid: int
    descriptor: int
    written: bytes = b""
    status: int | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + 20)

    def read_until(self, wanted: bytes) -> None:
        """Reads until the bytes were written; fails the test when they never are."""
        while wanted not in self.written:
            assert time.monotonic() < self.deadline, f"never saw {wanted!r} in {self.written[-600:]!r}"
            if not self._read():
                raise AssertionError(f"ended without {wanted!r}: {self.written[-2000:]!r}")

    def read_to_end(self) -> int:
        """Reads until the process ended; its exit code."""
        while self._read():
            assert time.monotonic() < self.deadline, "the console did not end"
        _, status = os.waitpid(self.pid, 0)
        self.status = status
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], 0.2)
        if not ready:
            return True
        try:
            piece = os.read(self.descriptor, 65_536)
        except OSError:  # the other side is closed
            return False
        self.written += piece
        return bool(piece)


@contextmanager
def _terminal(code: str) -> Iterator[Terminal]:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execv(sys.executable, [sys.executable, "-c", code])  # noqa: S606 - our own interpreter
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    terminal = Terminal(pid, descriptor)
    try:
        yield terminal
    finally:
        if terminal.status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(descriptor)


def _assert_restored(terminal: Terminal) -> None:
    assert terminal.written.count(_ALTERNATE_ON) == 1
    assert terminal.written.rindex(_ALTERNATE_OFF) > terminal.written.rindex(_ALTERNATE_ON)
    assert _CURSOR_ON in terminal.written
    for mouse in (b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?2004l"):
        assert mouse in terminal.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_restores_the_terminal(number: signal.Signals) -> None:
    with _terminal(_RUN) as terminal:
        terminal.read_until(b"Engine away")
        os.kill(terminal.pid, number)
        assert terminal.read_to_end() == 0
        _assert_restored(terminal)
        assert b"CHOICE leave" in terminal.written


@pytest.mark.parametrize("is_told", [True, False], ids=["hang-up", "only the end of the file"])
def test_a_terminal_that_is_closed_ends_the_console(is_told: bool) -> None:
    code = _RUN if is_told else "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\n" + _RUN
    with _terminal(code) as terminal:
        terminal.read_until(b"Engine away")
        os.close(terminal.descriptor)
        terminal.descriptor = os.open(os.devnull, os.O_RDONLY)
        while (ended := os.waitpid(terminal.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < terminal.deadline, "the console goes on without a terminal"
            time.sleep(0.02)
        terminal.status = ended[1]


def test_quitting_by_key_restores_the_terminal() -> None:
    with _terminal(_RUN) as terminal:
        terminal.read_until(b"Engine away")
        os.write(terminal.descriptor, b"\x11")
        assert terminal.read_to_end() == 0
        _assert_restored(terminal)


def test_a_crash_restores_the_terminal_and_shows_no_values() -> None:
    with _terminal(_CRASH) as terminal:
        terminal.read_until(b"Engine away")
        os.write(terminal.descriptor, b"?")
        terminal.read_to_end()
        _assert_restored(terminal)
        assert b"broken on purpose" in terminal.written
        assert b"CODE 1" in terminal.written
        assert b"prompt-secret-2" not in terminal.written
        assert b"tok-secret-1" not in terminal.written


def test_the_first_frame_comes_within_a_second_or_so() -> None:
    started = time.monotonic()
    with _terminal(_RUN) as terminal:
        terminal.read_until(b"Live")
        assert time.monotonic() - started < 6, "the bar is 1 s on an idle machine"
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.read_to_end()
