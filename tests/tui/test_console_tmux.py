"""A walk through the console in a real terminal with real keys, on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import COMMAND, Home, serving
from tests.support.running import SIMULATED
from tests.support.tmux import TMUX, tmux

pytestmark = pytest.mark.skipif(not TMUX, reason="no tmux on PATH (Debian: apt-get install tmux)")


async def test_a_walk_in_a_real_terminal(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_config(SIMULATED)
    with serving(home, "--port", "0") as engine:
        for model in ("auto", "sim-fast", "nowhere"):
            body = {"model": model, "messages": [{"role": "user", "content": "the walk"}]}
            await engine.calls.post("/v1/chat/completions", body)
        with tmux(tmp_path, [*COMMAND, "attach", "--rw"], home.environment, size=(110, 32)) as terminal:
            terminal.see("ATP Live", "auto → sim-instant", "✗ 404")
            terminal.press("/")
            terminal.type("state:ok route:auto")
            terminal.see("1 of 3")
            terminal.press("Enter")
            terminal.press("Enter")
            terminal.see("Timeline", "sim-instant", "Why")
            terminal.press("q")
            terminal.see("1 of 3", without="Timeline")
            terminal.press("Escape")
            terminal.see("Requests 3", without="state:ok")
            for key, title in (("2", "Sessions"), ("3", "Metrics"), ("4", "Models"), ("5", "Config"), ("7", "Logs")):
                terminal.press(key)
                terminal.see(f"ATP {title}")
            terminal.press("4")
            terminal.see("sim-instant", "closed")
            terminal.press("d")
            terminal.see("Drain", "No")
            terminal.press("Escape")
            terminal.see("ATP Models", without="Drain it?")
            terminal.press("?")
            terminal.type("playground")
            terminal.press("Enter")
            terminal.see("ATP Playground")
            terminal.press("Escape")
            terminal.press("F1")
            terminal.see("Keys in Playground")
            terminal.press("Escape")
            terminal.see("ATP Playground", without="Keys in")
            terminal.press("1")
            terminal.see("ATP Live")
            terminal.resize(60, 16)
            terminal.see("ATP Live", "nowhere")
            terminal.resize(140, 40)
            terminal.see("Sessions", "auto → sim-instant")
            terminal.press("C-q")
            terminal.see("READY$", without="ATP Live")
