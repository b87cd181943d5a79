"""However a file is saved, its final text is told once; notifications and the poll tell the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from atp_engine.config.watch import QUIET_S, Watch


def rewrite(file: Path, text: str) -> None:
    """As most programs save: the file is emptied and filled."""
    file.write_text(text)


def replace(file: Path, text: str) -> None:
    """As editors save: a new file takes the place of the old one."""
    swap = file.with_suffix(".swp")
    swap.write_text(text)
    swap.replace(file)


def move_away(file: Path, text: str) -> None:
    """As vim saves: the old file becomes a backup, a new one is made."""
    file.replace(file.with_suffix(".bak"))
    file.write_text(text)


def by_and_by(file: Path, text: str) -> None:
    """A slow writer: the text comes in pieces."""
    with file.open("w") as out:
        for letter in text:
            out.write(letter)
            out.flush()


def again_and_again(file: Path, text: str) -> None:
    """Somebody who saves with every key."""
    for count in range(30):
        file.write_text(f"{text} {count}")
    file.write_text(text)


def swapped(file: Path, text: str) -> None:
    """A mounted ConfigMap: the file links into `..data`, a link that is swapped for one to a new directory."""
    folder = file.parent
    made = folder / f"..made-{text}"
    made.mkdir()
    (made / file.name).write_text(text)
    link = folder / "..link"
    link.symlink_to(made.name)
    link.replace(folder / "..data")
    if not file.is_symlink():
        file.unlink()
        file.symlink_to(Path("..data") / file.name)


SAVES = [rewrite, replace, move_away, by_and_by, again_and_again, swapped]


async def is_quiet(watch: Watch, within_s: float = 4 * QUIET_S) -> bool:
    """True when nothing more is told for a while."""
    try:
        async with asyncio.timeout(within_s):
            await watch.changed()
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("is_told", [True, False], ids=["notified", "polled"])
async def test_each_way_to_save_is_one_change_to_the_final_text(tmp_path: Path, is_told: bool) -> None:
    file = tmp_path / "atp.toml"
    file.write_text("start")
    with Watch(file, poll_s=2.0 if is_told else 0.02, is_told=is_told) as watch:
        for save in SAVES:
            waiting = asyncio.create_task(watch.changed())
            await asyncio.sleep(0)
            await asyncio.to_thread(save, file, save.__name__)
            async with asyncio.timeout(2.0):
                await waiting
            while not is_told and not await is_quiet(watch, 0.1):
                pass  # a poll may look between two steps of a save
            assert file.read_text() == save.__name__
        assert await is_quiet(watch)


async def test_the_same_text_is_no_change_whatever_its_times_and_places(tmp_path: Path) -> None:
    file = tmp_path / "atp.toml"
    file.write_text("text")
    with Watch(file, poll_s=0.05) as watch:
        os.utime(file, (0, 0))
        replace(file, "text")
        rewrite(file, "text")
        (tmp_path / "other.toml").write_text("other")
        os.utime(file, (4e9, 4e9))  # a clock that jumps
        assert await is_quiet(watch)


Act = Callable[[Path], object]
UNUSUAL: dict[str, Act] = {
    "deleted": lambda file: file.unlink(),
    "back": lambda file: file.write_text("back"),
    "a fragment": lambda file: (file.parent / "conf.d" / "a.toml").write_text("a"),
    "a changed fragment": lambda file: (file.parent / "conf.d" / "a.toml").write_text("b"),
    "no fragment": lambda file: (file.parent / "conf.d" / "a.toml").unlink(),
    "a secret": lambda file: (file.parent / "key").write_text("new"),
    "no secret": lambda file: (file.parent / "key").unlink(),
}


async def test_what_belongs_to_a_config_counts_and_what_is_missing_too(tmp_path: Path) -> None:
    file = tmp_path / "atp.toml"
    file.write_text("start")
    (tmp_path / "key").write_text("old")
    with Watch(file, lambda: [tmp_path / "key"], poll_s=0.1) as watch:
        (tmp_path / "conf.d").mkdir()
        for act in UNUSUAL.values():
            act(file)
            async with asyncio.timeout(3.0):
                await watch.changed()
        assert await is_quiet(watch)
