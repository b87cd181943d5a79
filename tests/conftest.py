"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one flag that may rewrite goldens under `snapshots/`."""
    parser.addoption("--update-snapshots", action="store_true", help="write what the tests see as the new goldens")
