"""Notices that the terminal is gone, and sees to it that the console then ends.

Textual writes to the terminal from a thread which ends at the first failing write, whereafter the
program waits for it for ever while its input thread spins on the end of file. A thread of our own asks
the terminal once a second and does not rely on any of that.
"""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import threading
import time
from collections.abc import Callable

_ASK_S = 1.0
_GRACE_S = 2.0


def watch(leave: Callable[[], object]) -> None:
    """Calls `leave`, from another thread, once the terminal of standard input is gone; what has not ended
    two seconds later is ended hard. Does nothing where standard input is no terminal."""
    try:
        descriptor = sys.stdin.fileno()
        termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return
    threading.Thread(target=_ask, args=(descriptor, leave), name="atp-terminal", daemon=True).start()


def _ask(descriptor: int, leave: Callable[[], object]) -> None:
    while True:
        time.sleep(_ASK_S)
        try:
            termios.tcgetattr(descriptor)
        except (OSError, termios.error):
            break
    with contextlib.suppress(RuntimeError):  # the loop is closed: the console is ending already
        leave()
    time.sleep(_GRACE_S)
    os._exit(1)
