"""A program in a real terminal, tmux's: keys as a person presses them, screens as a person sees them.

with tmux(folder, ["atp-console", "attach"], environment, size=(100, 30)) as terminal:
    terminal.see("Live")
    terminal.press("j", "Enter")

Every screen that was seen is kept with the step that led to it; a wait that ends in vain shows them all.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TMUX = shutil.which("tmux") or ""
_DEADLINE_S = 20.0
_LOOK_S = 0.05
_KEPT = 12


@dataclass
class Terminal:
    """A running program and the screens of it that were seen."""

    socket: Path
    seen: list[tuple[str, str]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def press(self, *keys: str) -> None:
        """Presses keys by tmux's names: `j`, `Enter`, `Escape`, `C-q`."""
        self.steps.append(" ".join(keys))
        self._run("send-keys", "-t", "walk", *keys)

    def type(self, text: str) -> None:
        """Types text as it is."""
        self.steps.append(repr(text))
        self._run("send-keys", "-t", "walk", "-l", text)

    def resize(self, columns: int, rows: int) -> None:
        """Makes the terminal another size."""
        self.steps.append(f"{columns}x{rows}")
        self._run("resize-window", "-t", "walk", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """What stands in the terminal now."""
        return self._run("capture-pane", "-p", "-t", "walk")

    def see(self, *wanted: str, without: str = "") -> str:
        """Waits until all of it is on the screen, and `without` is not; returns the screen."""
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            screen = self.screen()
            if all(text in screen for text in wanted) and not (without and without in screen):
                self.seen.append((", ".join(self.steps) or "start", screen))
                self.steps.clear()
                return screen
            assert time.monotonic() < deadline, self._report(wanted, screen)
            time.sleep(_LOOK_S)

    def _report(self, wanted: Sequence[str], screen: str) -> str:
        """The last screens that were right, and the one that is not."""
        parts = [f"after {steps}:\n{text}" for steps, text in self.seen[-_KEPT:]]
        return "\n".join([*parts, f"after {', '.join(self.steps)} there should be {wanted}:\n{screen}"])

    def _run(self, *arguments: str) -> str:
        command = [TMUX, "-S", str(self.socket), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)  # noqa: S603
        assert ran.returncode == 0, f"{arguments}: {ran.stderr}"
        return ran.stdout


@contextmanager
def tmux(
    folder: Path, command: Sequence[str], environment: Mapping[str, str], *, size: tuple[int, int]
) -> Iterator[Terminal]:
    """A terminal with the command running in it under a shell that stays; ended with the block."""
    terminal = Terminal(folder / "tmux")
    shell = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), "PS1=READY$ ", "sh"]
    start = ["-f", os.devnull, "new-session", "-d", "-s", "walk", "-x", str(size[0]), "-y", str(size[1])]
    terminal._run(*start, shlex.join(shell))
    try:
        terminal._run("set-option", "-t", "walk", "window-size", "manual")
        terminal.see("READY$")
        terminal.type(shlex.join(command))
        terminal.press("Enter")
        yield terminal
    finally:
        subprocess.run([TMUX, "-S", str(terminal.socket), "kill-server"], check=False, timeout=20)  # noqa: S603
