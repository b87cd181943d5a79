"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the flag that may rewrite goldens under `snapshots/`, and the one that runs the long tests."""
    parser.addoption("--update-snapshots", action="store_true", help="write what the tests see as the new goldens")
    parser.addoption("--long", action="store_true", help="run also what takes minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the long tests out unless they are asked for."""
    if config.getoption("--long"):
        return
    skipped = pytest.mark.skip(reason="takes minutes: run with --long")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skipped)
