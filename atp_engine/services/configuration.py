"""The config's life in a running engine: read, checked, tried, made live, kept, watched, and taken back.

The watch calls `reload`; the admin API calls the rest. One change at a time. What is live is replaced as a whole
or not at all, and whatever was refused is told where people look. What takes time runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from atp_engine.config.files import ConfigFiles, digest
from atp_engine.config.keypath import keypath
from atp_engine.config.sources import SourceFile
from atp_engine.core.config_views import (
    ConfigApplied,
    ConfigChange,
    ConfigComplaint,
    ConfigFile,
    ConfigHistory,
    ConfigReport,
    Replay,
)
from atp_engine.core.errors import ATPError, ConfigConflict, ConfigError, ConfigProblem, ConfigRefused, StorageError
from atp_engine.services.configuration_books import LIVE, PREPARED, REFUSED, VOID, Books, unified
from atp_engine.services.configuration_diff import changes
from atp_engine.services.configuration_guard import Guard, what_is_worse
from atp_engine.services.configuration_replay import REQUESTS, replay
from atp_engine.services.configuration_stage import Draft, Stage
from atp_engine.storage.config_traffic import ConfigTraffic

Tell = Callable[[str, str, str], None]
"""Severity, code and text of a notice for people and the log."""
Say = Callable[[tuple[str, ...], tuple[str, ...]], None]
"""Why the newest text is not live, and what the live one lacks: for where people look."""
ON_FILE = "file"
_BY_GUARD = "guard"
_KEYRING_S = 60.0
_BASELINE_REQUESTS = 4_000


class Wish(msgspec.Struct, frozen=True):
    """Who wants a change and why."""

    author: str
    reason: str = ""
    guard_s: float = 0.0
    """For how long the change is watched; 0 is not at all."""


def _no_step(step: str) -> None:
    """Where tests end the process."""


class Configuration:
    """Changes what is live; see the module."""

    def __init__(
        self, files: ConfigFiles, stage: Stage, books: Books, traffic: ConfigTraffic, say: Say, tell: Tell
    ) -> None:
        self.files = files
        self.books = books
        self.on_step: Callable[[str], None] = _no_step
        self._stage = stage
        self._traffic = traffic
        self._say = say
        self._tell = tell
        self._lock = asyncio.Lock()
        self._guard: Guard | None = None
        self._told: tuple[str, ...] = ()
        self._say_what_is_wanting()

    @property
    def version(self) -> int:
        """The live one."""
        return self._stage.runtime.current.version

    @property
    def live_files(self) -> tuple[ConfigFile, ...]:
        """The texts that are live."""
        return self.files.named(self._stage.loaded.files)

    def secret_files(self) -> tuple[Path, ...]:
        """Further files whose content counts for what is live."""
        return self._stage.secret_files()

    @property
    def reread_s(self) -> float | None:
        """After what time to reload although no file has changed; None when files are all there is."""
        return _KEYRING_S if self._stage.asks_keyring else None

    async def open(self) -> None:
        """Writes into the history what the engine started with; a disk that refuses is told, not fatal."""
        with contextlib.suppress(ConfigError):  # a fragment that cannot be read is told by the next reload
            await asyncio.to_thread(self.files.sweep)
        try:
            await self.books.open(self.version, self.live_files)
        except StorageError as error:
            self._tell("error", "config_history", f"the config history is behind: {error.public_message}")

    async def reload(self) -> None:
        """Reads the files again and applies them; bad ones change nothing and are told where people look."""
        async with self._lock:
            await self._reload()

    async def history(self, limit: int) -> ConfigHistory:
        """The newest versions. Raises StorageError."""
        versions = await self.books.versions(limit)
        marked = [msgspec.structs.replace(one, is_current=one.number == self.version) for one in versions]
        return ConfigHistory(self.version, tuple(marked))

    async def texts(self, number: int) -> tuple[ConfigFile, ...]:
        """The files of a version; 0 is what stands on the disk now. Raises InvalidRequest, ConfigRefused."""
        if number == self.version:
            return self.live_files
        if number:
            return await self.books.texts(number)
        return self.files.named(await asyncio.to_thread(self._present))

    async def compare(
        self, before: tuple[ConfigFile, ...], after: tuple[ConfigFile, ...]
    ) -> tuple[str, tuple[ConfigChange, ...]]:
        """A unified diff, and what it means where both sides are valid."""
        return await asyncio.to_thread(self._compared, before, after)

    def digest_of(self, files: Sequence[ConfigFile]) -> str:
        """What `base` of a change refers to."""
        return digest(files)

    def _compared(
        self, before: tuple[ConfigFile, ...], after: tuple[ConfigFile, ...]
    ) -> tuple[str, tuple[ConfigChange, ...]]:
        text = unified(before, after, ("before", "after"))
        try:
            old, new = (self.files.parse(self.files.placed(side)).config for side in (before, after))
        except ConfigError:
            return text, ()
        return text, changes(old, new)

    async def check(self, text: str) -> ConfigReport:
        """What a text would do in the main file's place; nothing changes."""
        try:
            fragments = self._stage.loaded.fragments
            loaded = await asyncio.to_thread(self.files.parse, (SourceFile(self.files.path, text), *fragments))
            draft = await asyncio.to_thread(self._stage.draft, loaded, self.books.next_number())
        except ConfigError as error:
            return ConfigReport(is_valid=False, problems=tuple(_complaint(problem) for problem in error.problems))
        return await self._report(draft)

    async def apply(self, text: str, base: str, wish: Wish) -> ConfigApplied:
        """Writes the text into the main file and makes it live.

        `base` is the digest of the files that its author started from; the live ones when empty. Raises
        ConfigConflict when others stand on the disk, ConfigRefused when the text is wrong, StorageError when
        the history cannot be written; nothing has changed then.
        """
        async with self._lock:
            present = await asyncio.to_thread(self._present)
            mine = (SourceFile(self.files.path, text), *(one for one in present if one.path != self.files.path))
            await self._check_base(base, present, mine)
            return await self._replace(present, mine[0], wish)

    async def set(self, key: str, value: str | None, wish: Wish) -> ConfigApplied:
        """Changes one value in the file that states it, or takes it out with None; see `apply`."""
        async with self._lock:
            present = await asyncio.to_thread(self._present)
            if self.files.digest(present) != self._live_digest():
                problems = await self._reload()
                if problems:
                    raise ConfigRefused(problems)
            file = await asyncio.to_thread(self._edited, key, value)
            return await self._replace(self._stage.loaded.files, file, wish)

    async def rollback(self, number: int, base: str, wish: Wish) -> ConfigApplied:
        """Makes the texts of a kept version live again, as a new version; see `apply`."""
        wanted = self.files.placed(await self.books.texts(number))
        async with self._lock:
            present = await asyncio.to_thread(self._present)
            await self._check_base(base, present, wanted)
            file = self._only_difference(present, wanted, number)
            return await self._replace(present, file, wish)

    async def watch_guard(self) -> None:
        """Takes a guarded apply back when it made its routes worse; called every few seconds."""
        guard = self._guard
        if guard is None or guard.version != self.version:
            return
        try:
            until = await self._traffic.last_number()
            seen = await self._traffic.outcomes(guard.names, guard.after, until)
            worse = what_is_worse(guard.before, [one for one in seen if one.config_version == guard.version])
            if worse:
                await self._take_back(guard, worse)
            elif self.books.clock.monotonic() >= guard.ends_at:
                self._guard = None
                self._tell("info", "config_guard", f"config version {guard.version} stays: nothing got worse")
        except ATPError as error:
            self._guard = None
            self._tell("error", "config_guard", f"version {guard.version} is not guarded any more: {error}")

    async def _take_back(self, guard: Guard, worse: str) -> None:
        self._guard = None
        listed = ", ".join(sorted(guard.names & self._stage.config.routes.keys())[:4]) or "what it touched"
        reason = f"version {guard.version} made {listed} worse: {worse}"
        await self.rollback(guard.fallback, self._live_digest(), Wish(_BY_GUARD, reason))
        self._tell("error", "config_rolled_back", f"went back to the text of version {guard.fallback}: {reason}")

    async def _reload(self) -> list[ConfigProblem]:
        """See `reload`; returns why the files were refused."""
        try:
            loaded = await asyncio.to_thread(self.files.read)
            is_same = self.files.digest(loaded.files) == self._live_digest()
            number = self.version if is_same else self.books.next_number()
            draft = await asyncio.to_thread(self._stage.draft, loaded, number)
        except ConfigError as error:
            self._refuse(error)
            return error.problems
        if is_same:
            self._refresh(draft)
        else:
            await self._make_live(draft, Wish(ON_FILE))
        return []

    def _refresh(self, draft: Draft) -> None:
        """The text is the live one; what its references stand for may be new."""
        has_new = self._stage.has_new_credentials(draft)
        if has_new or draft.wanting != self._stage.wanting:
            self._stage.go_live(draft)
        if has_new:
            self._tell("info", "config_credentials", "credentials have changed where they are kept and were read again")
        self._say_what_is_wanting()

    async def _replace(self, present: Sequence[SourceFile], file: SourceFile, wish: Wish) -> ConfigApplied:
        """Applies the files with one of them replaced."""
        others = [one for one in present if one.path != self.files.path]
        main = next((one for one in (file, *present) if one.path == self.files.path), file)
        files = (main, *(file if one.path == file.path else one for one in others))
        try:
            loaded = await asyncio.to_thread(self.files.parse, files)
            draft = await asyncio.to_thread(self._stage.draft, loaded, self.books.next_number())
        except ConfigError as error:
            raise ConfigRefused(error.problems) from error
        if len(others) < len(present) and self.files.digest(present) != self._live_digest():
            draft = await self._keep_unapplied(present, draft)
        expected = next((one.text for one in present if one.path == file.path), None)
        return await self._make_live(draft, wish, file, expected)

    async def _make_live(
        self, draft: Draft, wish: Wish, file: SourceFile | None = None, expected: str | None = None
    ) -> ConfigApplied:
        """Into the history, into the file where there is one to write, and live: in this order, so that each
        step that can fail has changed nothing yet."""
        report = await self._report(draft)
        number, fallback = draft.runtime.version, self.version
        guard = await self._guard_of(draft, wish, fallback)
        told = tuple(str(change) for change in draft.changes)
        named = self.files.named(draft.loaded.files)
        self.on_step("drafted")
        if file is None:
            await self._add_or_tell(number, named, wish, told)
        else:
            replacement = await asyncio.to_thread(self.files.prepare, file, expected)
            self.on_step("written beside")
            try:
                await self.books.add(number, named, wish.author, wish.reason, told, PREPARED)
            except StorageError:
                replacement.discard()
                raise
            self.on_step("prepared")
            try:
                await asyncio.to_thread(replacement.commit)
            except ConfigError:
                await self.books.settle(number, VOID, wish.author)
                raise
            self.on_step("in place")
        self._stage.go_live(draft)
        self._guard = guard
        self._say_what_is_wanting()
        self.on_step("live")
        if file is not None:
            await self._settle_or_tell(number, wish)
        self.on_step("settled")
        self._tell("info", "config_applied", f"config version {number} is live, by {wish.author}{_listed(told)}")
        return ConfigApplied(number, report, wish.guard_s if guard is not None else 0.0)

    async def _add_or_tell(self, number: int, named: tuple[ConfigFile, ...], wish: Wish, told: tuple[str, ...]) -> None:
        """The file on the disk is the truth already: a history that cannot be written does not stop it."""
        try:
            await self.books.add(number, named, wish.author, wish.reason, told, LIVE)
        except StorageError as error:
            self._tell("error", "config_history", f"version {number} is not in the history: {error.public_message}")

    async def _settle_or_tell(self, number: int, wish: Wish) -> None:
        try:
            await self.books.settle(number, LIVE, wish.author)
        except StorageError as error:
            self._tell("error", "config_history", f"version {number} is live, the history is behind: {error}")

    async def _keep_unapplied(self, present: Sequence[SourceFile], draft: Draft) -> Draft:
        """A text on the disk that never was live goes into the history before it is replaced."""
        number = self.books.next_number()
        named = self.files.named(present)
        await self.books.add(number, named, ON_FILE, "never applied; kept when it was replaced", (), REFUSED)
        return await asyncio.to_thread(self._stage.draft, draft.loaded, self.books.next_number())

    async def _guard_of(self, draft: Draft, wish: Wish, fallback: int) -> Guard | None:
        if not wish.guard_s or not draft.touched:
            return None
        last = await self._traffic.last_number()
        before = await self._traffic.outcomes(draft.touched, max(0, last - _BASELINE_REQUESTS), last)
        ends_at = self.books.clock.monotonic() + wish.guard_s
        return Guard(draft.runtime.version, fallback, draft.touched, ends_at, last, before)

    async def _report(self, draft: Draft) -> ConfigReport:
        warnings = (*draft.wanting, *(str(problem) for problem in draft.loaded.warnings))
        return ConfigReport(True, (), warnings, draft.changes, await self._replay(draft), draft.waits)

    async def _replay(self, draft: Draft) -> Replay:
        try:
            decided = await self._traffic.decided(REQUESTS)
        except StorageError:
            return Replay(0, 0.0, ())
        return await asyncio.to_thread(replay, self._stage.runtime.current.table, draft.runtime.table, decided)

    def _present(self) -> tuple[SourceFile, ...]:
        """What stands on the disk, without the main file where there is none. Raises ConfigRefused for what
        cannot be read: it may be a text that counts."""
        try:
            return self.files.texts() if self.files.is_there() else self.files.fragments()
        except ConfigError as error:
            raise ConfigRefused(error.problems) from error

    def _edited(self, key: str, value: str | None) -> SourceFile:
        loaded = self._stage.loaded
        try:
            name = loaded.sources.main_or_holder(keypath(key))
            file = next((one for one in loaded.files if str(one.path) == name), loaded.files[0])
            return SourceFile(file.path, self.files.edit(file.text, key, value))
        except ConfigError as error:
            raise ConfigRefused(error.problems) from error

    async def _check_base(self, base: str, present: Sequence[SourceFile], mine: Sequence[SourceFile]) -> None:
        if self.files.digest(present) == (base or self._live_digest()):
            return
        ancestor, theirs, yours = self.live_files, self.files.named(present), self.files.named(mine)
        name = f"version {self.version}"
        sides = await asyncio.to_thread(
            lambda: (
                f"what the file has instead:\n{unified(ancestor, theirs, (name, 'on the disk'))}\n"
                f"what you asked for:\n{unified(ancestor, yours, (name, 'yours'))}"
            )
        )
        message = "was changed underneath, nothing is overwritten"
        raise ConfigConflict([ConfigProblem(str(self.files.path), 0, 0, "", message)], sides)

    def _only_difference(self, present: Sequence[SourceFile], wanted: Sequence[SourceFile], number: int) -> SourceFile:
        """The one file that a rollback has to write: one can be replaced in a single step, several cannot."""
        old = {file.path: file.text for file in present}
        differing = [file for file in wanted if old.get(file.path) != file.text]
        gone = old.keys() - {file.path for file in wanted}
        path = str(self.files.path)
        if len(differing) == 1 and not gone:
            return differing[0]
        if not differing and not gone:
            raise ConfigRefused([ConfigProblem(path, 0, 0, "", f"has the text of version {number} already")])
        names = ", ".join(sorted(path.name for path in gone | {file.path for file in differing}))
        message = f"version {number} differs in several files ({names}), which cannot be replaced in one step"
        hint = f"look at them with: atp-console config diff {number}"
        raise ConfigRefused([ConfigProblem(path, 0, 0, "", message, hint)])

    def _live_digest(self) -> str:
        return self.files.digest(self._stage.loaded.files)

    def _refuse(self, error: ConfigError) -> None:
        problems = tuple(str(problem) for problem in error.problems)
        self._say(problems, self._wanting)
        if problems != self._told:
            self._told = problems
            self._tell("error", "config_refused", f"the config was not applied: {problems[0]}")

    def _say_what_is_wanting(self) -> None:
        self._told = ()
        self._say((), self._wanting)

    @property
    def _wanting(self) -> tuple[str, ...]:
        return (*self._stage.wanting, *([self._stage.waits] if self._stage.waits else ()))


def _complaint(problem: ConfigProblem) -> ConfigComplaint:
    return ConfigComplaint(
        problem.path, problem.line, problem.column, problem.key, problem.message, problem.hint, str(problem)
    )


def _listed(changes: tuple[str, ...]) -> str:
    if not changes:
        return ""
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return f": {'; '.join(changes[:3])}{more}"
