"""A process that has imported the product and forks commands of it: a start takes milliseconds, not its imports.

`process` runs this module as `python -m tests.support.zygote` and speaks to it in JSON lines: a job in,
`{"pid": ...}` out, later `{"ended": pid, "code": ...}`. A forked command is a process of its own with its
own environment, signals and exit, and differs from a cold one by its imports alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import sys
from typing import Any

from atp_console.cli import main as command

MODULES = (
    "atp_console.launch",
    "atp_console.summary",
    "atp_engine.config.first_run",
    "atp_engine.config.schema",
    "atp_engine.config.secrets",
    "atp_engine.engine",
    "atp_engine.logs",
)


def fork(job: dict[str, Any]) -> int:
    """Forks; returns in the parent only. The child ends by SystemExit, as an interpreter does."""
    pid = os.fork()
    if pid:
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["directory"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, path in enumerate((os.devnull, job["out"], job["err"])):
        descriptor = os.open(path, flags if number else os.O_RDONLY, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["atp-console", *job["arguments"]]
    raise SystemExit(command(job["arguments"]))


def say(**words: int) -> None:
    """One line to the tests."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def reap() -> None:
    """Tells which commands have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        say(ended=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Serves until its input ends."""
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    say(ready=1)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == woken:
                    os.read(woken, 4_096)
                    reap()
                    continue
                line = sys.stdin.buffer.readline()  # one at a time: the tests wait for the answer
                if not line:
                    return
                say(pid=fork(json.loads(line)))


if __name__ == "__main__":
    main()
