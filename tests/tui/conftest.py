"""Goldens of the console: `snapshots/tui/<name>@<cols>x<rows>.txt`, and pictures of the chosen ones.

A text golden holds every character; a picture (`.svg`) holds the colours as well and is kept for one
size of each kind of screen.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from atp_console import shots
from tests.support.console_driver import Driver

GOLDENS = Path(__file__).parents[2] / "snapshots" / "tui"

_PICTURES = {
    "live",
    "request",
    "sessions",
    "models",
    "metrics",
    "first-run",
    "engine-away",
    "help",
    "cancel",
    "filter",
    "light",
    "list-marked",
}
_PICTURE_WIDTH = 140

Golden = Callable[[Driver, str], None]


def pytest_collection_finish() -> None:
    """Consoles make much and let go of it in bulk: garbage is looked for seldom, as in a real console."""
    gc.set_threshold(20_000, 10, 50)


@pytest.fixture(autouse=True)
def colours_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's wish for no colours would change every picture."""
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares the screen with its golden text and picture; `--update-snapshots` accepts what is seen."""
    is_update = bool(request.config.getoption("--update-snapshots"))

    def compare(driver: Driver, name: str) -> None:
        size = driver.app.size
        seen_by_suffix = {"txt": shots.text(driver.app)}
        if name in _PICTURES and size.width == _PICTURE_WIDTH:
            seen_by_suffix["svg"] = shots.svg(driver.app)
        for suffix, seen in seen_by_suffix.items():
            path = GOLDENS / f"{name}@{size.width}x{size.height}.{suffix}"
            if is_update:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(seen, encoding="utf-8")
                continue
            assert path.exists(), f"no golden {path.name}; look at it and accept it with --update-snapshots"
            assert seen == path.read_text(encoding="utf-8"), f"{path.name} differs"

    return compare
