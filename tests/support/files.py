"""Small looks at a directory, for tests that are coroutines."""

from __future__ import annotations

from pathlib import Path


def names_in(directory: Path) -> list[str]:
    """The names of what is in a directory, sorted."""
    return sorted(entry.name for entry in directory.iterdir())
