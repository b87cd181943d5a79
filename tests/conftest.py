"""Options of the whole test suite."""

from __future__ import annotations

import gc

import hypothesis
import pytest

_SHARE = 4
_LEAST_EXAMPLES = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the flag that may rewrite goldens under `snapshots/`, and the one that runs the long tests."""
    parser.addoption("--update-snapshots", action="store_true", help="write what the tests see as the new goldens")
    parser.addoption("--long", action="store_true", help="run also what takes minutes, and every example")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the long tests out unless they are asked for, and tries a quarter of the generated examples."""
    if config.getoption("--long"):
        return
    skipped = pytest.mark.skip(reason="takes minutes: run with --long")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skipped)
        if isinstance(item, pytest.Function) and hypothesis.is_hypothesis_test(item.obj):
            _shorten(getattr(item.obj, "__func__", item.obj))


def _shorten(test: object) -> None:
    """Fewer examples of a generated test; `settings` leaves its choice at this name of the function."""
    asked = test._hypothesis_internal_use_settings or hypothesis.settings()  # type: ignore[attr-defined]
    if not hasattr(test, "_is_shortened"):
        count = min(asked.max_examples, max(_LEAST_EXAMPLES, asked.max_examples // _SHARE))
        test._hypothesis_internal_use_settings = hypothesis.settings(asked, max_examples=count)  # type: ignore[attr-defined]
        test._is_shortened = True  # type: ignore[attr-defined]


def pytest_collection_finish() -> None:
    """What collecting made stays: no collection of garbage has to walk it again."""
    gc.collect()
    gc.freeze()
