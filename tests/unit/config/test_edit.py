"""An edit changes what was meant and nothing else; a file is replaced whole, as it was, or not at all."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from atp_engine.config.edit import edited, toml_value, with_value
from atp_engine.config.keypath import keypath
from atp_engine.config.replace import Replacement, sweep
from atp_engine.core.errors import ConfigConflict, ConfigError
from tests.support.source_tree import ROOT

FULL = (ROOT / "sample_config" / "full.toml").read_text()
STYLED = """\
# top
title.a.b = 1
[limits] # of the day
max_parallel   =  3    # why
'quoted key' = "x"

[routes.auto]
deployments = [
  "a", # first
  "b",
]
inline = { x = 1, y = "t" }   # one line

[limits.adaptive]
on = false
"""


def differing(before: str, after: str) -> list[str]:
    """The lines of `after` that are not in their old place; both have as many."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(old) == len(new)
    return [line for line, other in zip(new, old, strict=True) if line != other]


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif not isinstance(tree, (list, Mapping)):
        yield path, tree


def test_any_one_value_of_the_full_sample_is_one_line() -> None:
    values = list(leaves(tomllib.loads(FULL)))
    assert len(values) > 60
    for key, value in values[::8]:
        new = not value if isinstance(value, bool) else value + 1 if isinstance(value, (int, float)) else f"{value}x"
        (line,) = differing(FULL, with_value(FULL, key, new))
        assert line.startswith(f"{key.rpartition('.')[2]} = "), key


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("limits.max_parallel", "64", "max_parallel   =  64    # why\n"),
        ("limits.'quoted key'", "y", "'quoted key' = \"y\"\n"),
        ("routes.auto.deployments[1]", '"c"', '  "c",\n'),
        ("routes.auto.inline.y", "u", 'inline = { x = 1, y = "u" }   # one line\n'),
        ("title.a.b", "2", "title.a.b = 2\n"),
        ("limits.adaptive.on", "true", "on = true\n"),
    ],
)
def test_comments_blanks_and_style_stay(key: str, value: str, line: str) -> None:
    assert differing(STYLED, edited(STYLED, key, value)) == [line]
    windows = STYLED.replace("\n", "\r\n")
    assert differing(windows, edited(windows, key, value)) == [line.replace("\n", "\r\n")]
    assert edited("\ufeff" + STYLED, key, value) == "\ufeff" + edited(STYLED, key, value)


def test_keys_are_added_where_they_belong_and_taken_out_alone() -> None:
    more = edited(STYLED, "limits.max_queued", "7")
    assert more.replace("max_queued = 7\n", "") == STYLED and tomllib.loads(more)["limits"]["max_queued"] == 7
    assert edited(more, "limits.max_queued", None) == STYLED
    assert edited("", "limits.max_parallel", "5") == "[limits]\nmax_parallel = 5\n"
    table = edited(STYLED, "routes.fast", '{ deployments = ["a"] }')
    assert tomllib.loads(table)["routes"]["fast"] == {"deployments": ["a"]}
    assert table.startswith(STYLED[: STYLED.index("[limits.adaptive]")])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (STYLED, "limits.max_parallel.x"),
        (STYLED, "routes.auto.deployments[9]"),
        (STYLED, "routes.auto.deployments.x"),
        (STYLED, "limits..x"),
        (STYLED, ""),
        (STYLED, "[0]"),
        (STYLED, "a" * 2000),
        ("a = [", "a"),
    ],
)
def test_what_cannot_be_edited_is_refused(text: str, key: str) -> None:
    with pytest.raises(ConfigError):
        edited(text, key, "1")
    with pytest.raises(ConfigError):
        edited(text, key, None)


def test_values_and_keys_are_read_as_people_write_them() -> None:
    assert [toml_value(text) for text in ("1", "1.5", "true", '"1"', "plain text", "[1, 2]", "1\nx = 2", "a = b")] == [
        1, 1.5, True, "1", "plain text", [1, 2], "1\nx = 2", "a = b",
    ]  # fmt: skip
    assert keypath("a.b-c.\"d.e\".'f'[3]") == ("a", "b-c", "d.e", "f", 3)


def test_a_replaced_file_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    real = tmp_path / "mounted" / "atp.toml"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o604)
    link = tmp_path / "atp.toml"
    link.symlink_to(real)
    Replacement(link, "new", "old").commit()
    assert (link.is_symlink(), real.read_text(), real.stat().st_mode & 0o777) == (True, "new", 0o604)
    with pytest.raises(ConfigConflict, match="changed meanwhile"):
        Replacement(link, "newer", "old").commit()
    assert (real.read_text(), names(real.parent)) == ("new", ["atp.toml"])
    Replacement(link, "newer", "new").discard()
    assert names(real.parent) == ["atp.toml"]
    made = tmp_path / "made.toml"
    Replacement(made, "new", None).commit()
    assert made.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="cannot be replaced"):
        Replacement(tmp_path / "nowhere" / "x.toml", "new", None)


def test_what_a_killed_writer_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "atp.toml"
    file.write_text("text")
    for name, age_s in (
        (".atp.toml.0123456789ab", 99),
        (".atp.toml.ba9876543210", 1),
        (".other.toml.0123456789ab", 99),
    ):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, time.time() - age_s))
    sweep(file)
    assert sorted(names(tmp_path)) == [".atp.toml.ba9876543210", ".other.toml.0123456789ab", "atp.toml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "atp.toml"
    file.write_text("old")
    os.chown(file, 12345, 54321)
    Replacement(file, "new", "old").commit()
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 54321)
