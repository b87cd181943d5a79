"""Every key and value of a TOML text is found where it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.config.positions import KeyPath, Positions, Spot

TEXT = '''# comment = "not a key"
title = "a # b"  # really

[server]
port = 7443
allowed_hosts = [
    "one",  # first
    'two',
]

[providers."odd.name"]
kind = """
multi"""
price = { input = 1.5, "out put" = [ 1, { x = 2 } ] }
a.b.c = 1979-05-27 07:32:00

[[fruit]]
name = "apple"
[fruit.peel]
colour = "red"
[[fruit]]
name = "pear"
'''


def test_places_are_lines_and_columns_from_one() -> None:
    positions = Positions(TEXT)
    assert positions.value(("title",)) == Spot(2, 9)
    assert positions.key(("server",)) == Spot(4, 2)
    assert positions.value(("server", "port")) == Spot(5, 8)
    assert positions.value(("server", "allowed_hosts", 1)) == Spot(8, 5)
    assert positions.key(("providers", "odd.name")) == Spot(11, 12)
    assert positions.value(("providers", "odd.name", "price", "out put", 1, "x")) == Spot(14, 47)
    assert positions.key(("providers", "odd.name", "a", "b", "c")) == Spot(15, 5)
    assert positions.key(("fruit", 0, "peel", "colour")) == Spot(20, 1)
    assert positions.value(("fruit", 1, "name")) == Spot(22, 8)


def test_a_missing_key_is_placed_at_the_table_around_it() -> None:
    positions = Positions(TEXT)
    assert positions.value(("providers", "odd.name", "base_url")) == Spot(11, 12)
    assert positions.value(("nowhere",)) == Spot(1, 1)


scalars = st.one_of(
    st.text(max_size=8), st.integers(-999, 999), st.floats(allow_nan=False), st.booleans(), st.datetimes(), st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def paths(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key), child
        yield from paths(child, (*path, key))


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=6), values, max_size=4))
def test_every_value_that_tomllib_reads_is_found_exactly(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    parsed = tomllib.loads(text)
    positions = Positions(text)
    lines = text.split("\n")
    for path, value in paths(parsed):
        if isinstance(value, bool):
            spot = positions.value(path)
            assert lines[spot.line - 1][spot.column - 1 :].startswith("true" if value else "false")
        elif isinstance(value, int):
            spot = positions.value(path)
            assert lines[spot.line - 1][spot.column - 1 :].startswith(str(value))
