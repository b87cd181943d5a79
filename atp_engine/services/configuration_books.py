"""The history of what was live: numbers given out, versions prepared and settled, each with its audit entry.

`configuration` is its only writer. The newest version that is not void has the text that is live; a start finds
out which of the two happened when a process ended in the middle of an apply.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from atp_engine.config.files import digest
from atp_engine.core.config_views import ConfigFile, ConfigVersion
from atp_engine.core.errors import InvalidRequest
from atp_engine.core.ports import Clock
from atp_engine.storage.audit import AuditEntry
from atp_engine.storage.config_history import KEPT, ConfigRepository

LIVE, PREPARED, VOID, REFUSED = "live", "prepared", "void", "refused"
_LOOKED_BACK = 50
_LONGEST_DIFF = 200_000


class Books:
    """Numbers and keeps versions."""

    def __init__(self, repository: ConfigRepository, clock: Clock) -> None:
        """Reads where the history stands; blocks for a moment."""
        self._repository = repository
        self.clock = clock
        self._latest = repository.latest_now(_LOOKED_BACK)
        self._number = self._latest[0].number if self._latest else 0

    def version_of(self, files: Sequence[ConfigFile]) -> int:
        """At a start: the number of the version with these texts if it is the newest, else the next one."""
        newest = next((one for one in self._latest if one.outcome in (LIVE, PREPARED)), None)
        if newest is not None and newest.outcome == PREPARED and newest.digest != digest(files):
            newest = next((one for one in self._latest if one.outcome == LIVE), None)
        if newest is not None and newest.digest == digest(files):
            return newest.number
        return self._number + 1

    async def open(self, number: int, files: Sequence[ConfigFile]) -> None:
        """Brings the history in line with what the engine started with. Raises StorageError."""
        for one in self._latest:
            if one.outcome == PREPARED:
                outcome = LIVE if one.number == number else VOID
                await self._repository.settle(
                    one.number, outcome, self._entry("engine", f"config.{outcome}", one.number)
                )
        if number > self._number:
            await self.add(number, files, "start", "the text that the engine started with", (), LIVE)

    def next_number(self) -> int:
        """The number of the version after the newest."""
        return self._number + 1

    async def add(
        self,
        number: int,
        files: Sequence[ConfigFile],
        author: str,
        reason: str,
        changes: tuple[str, ...],
        outcome: str,
    ) -> None:
        """Puts a version on the disk. Raises StorageError."""
        version = ConfigVersion(number, self.clock.now(), author, reason, outcome, changes, digest(files))
        verb = {LIVE: "config.applied", PREPARED: "config.prepared", REFUSED: "config.kept"}[outcome]
        detail = "; ".join(part for part in (reason, *changes[:8]) if part)
        await self._repository.add(version, tuple(files), self._entry(author, verb, number, detail))
        self._number = max(self._number, number)

    async def settle(self, number: int, outcome: str, author: str) -> None:
        """A prepared version is live, or void. Raises StorageError."""
        verb = "config.applied" if outcome == LIVE else "config.void"
        await self._repository.settle(number, outcome, self._entry(author, verb, number))

    async def versions(self, limit: int) -> tuple[ConfigVersion, ...]:
        """The newest versions, newest first."""
        return await self._repository.latest(min(limit, KEPT))

    async def texts(self, number: int) -> tuple[ConfigFile, ...]:
        """The files of a version. Raises InvalidRequest when it is not kept."""
        files = await self._repository.texts(number)
        if files is None:
            raise InvalidRequest(f"there is no version {number} of the config in the history", param="version")
        return files

    def _entry(self, actor: str, action: str, number: int, detail: str = "") -> AuditEntry:
        return AuditEntry(self.clock.now(), actor, action, f"version {number}", detail)


def unified(before: Sequence[ConfigFile], after: Sequence[ConfigFile], names: tuple[str, str]) -> str:
    """A unified diff of all files, cut where it gets longer than anybody reads."""
    old, new = ({file.name: file.text for file in files} for files in (before, after))
    lines: list[str] = []
    for name in dict.fromkeys([*old, *new]):
        lines += difflib.unified_diff(
            old.get(name, "").splitlines(),
            new.get(name, "").splitlines(),
            f"{name} ({names[0]})",
            f"{name} ({names[1]})",
            lineterm="",
        )
    return "\n".join(lines)[:_LONGEST_DIFF]
