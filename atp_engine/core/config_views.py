"""What the faces see of the configuration's life: versions, changes, checks, and what an apply came to.

Made by `services/configuration`, encoded by `api/admin_config`, decoded by `client/config_client`.
"""

from __future__ import annotations

import msgspec


class ConfigChange(msgspec.Struct, frozen=True):
    """One thing that differs between two configs, in words of the config's nouns."""

    what: str
    """route, deployment, provider, window, or the name of a plain section."""
    name: str
    """Which one; empty for a plain section."""
    verb: str
    """added, removed or changed."""
    detail: str = ""
    """The keys with their values before and after, cut; no header values."""

    def __str__(self) -> str:
        words = " ".join(part for part in (self.what, self.name, self.verb) if part)
        return f"{words}: {self.detail}" if self.detail else words


class ConfigComplaint(msgspec.Struct, frozen=True):
    """One located complaint; line and column count from 1, 0 where there is none."""

    path: str
    line: int
    column: int
    key: str
    message: str
    hint: str
    text: str
    """All of it in one line."""


class RouteReplay(msgspec.Struct, frozen=True):
    """How recorded requests of one name would be routed."""

    asked: str
    requests: int
    differing: float
    """How many of them would be served differently; weighted routes count by their shares."""
    before: str
    """The deployment that comes first now, `none` when nothing can serve it."""
    after: str


class Replay(msgspec.Struct, frozen=True):
    """The latest recorded requests decided again, by both configs, as if every deployment were healthy."""

    requests: int
    differing: float
    routes: tuple[RouteReplay, ...]
    """Those that differ, the most first."""

    def __str__(self) -> str:
        if not self.requests:
            return "no recorded requests to try it on"
        return f"{100.0 * self.differing / self.requests:.1f} % of the last {self.requests} requests route differently"


class ConfigReport(msgspec.Struct, frozen=True):
    """What a text would do if it were applied."""

    is_valid: bool
    problems: tuple[ConfigComplaint, ...]
    warnings: tuple[str, ...] = ()
    changes: tuple[ConfigChange, ...] = ()
    replay: Replay = Replay(0, 0.0, ())
    waits: str = ""
    """What takes effect at the next start only, as a sentence."""


class ConfigApplied(msgspec.Struct, frozen=True):
    """A text that is live."""

    version: int
    report: ConfigReport
    guard_s: float = 0.0
    """For how long it is watched and rolled back by itself; 0 is not at all."""


class ConfigVersion(msgspec.Struct, frozen=True):
    """One applied text, without the text."""

    number: int
    at: float
    author: str
    """`file`, `start`, `guard`, or a face with who: `cli (an operator with a token)`."""
    reason: str
    outcome: str
    """`live` was applied; `prepared` is being applied; `void` never was: the process ended in between."""
    changes: tuple[str, ...]
    digest: str
    """SHA-256 of its texts."""
    is_current: bool = False


class ConfigHistory(msgspec.Struct, frozen=True):
    """The kept versions, newest first."""

    current: int
    versions: tuple[ConfigVersion, ...]


class ConfigFile(msgspec.Struct, frozen=True):
    """One file of a version; `name` counts from the main file's directory."""

    name: str
    text: str


class ConfigText(msgspec.Struct, frozen=True):
    """The texts of a version, the main file first; version 0 is what stands on the disk now."""

    version: int
    digest: str
    """Of all files: what `base` of an apply refers to."""
    files: tuple[ConfigFile, ...]


class ConfigDiff(msgspec.Struct, frozen=True):
    """What lies between two versions."""

    before: int
    after: int
    text: str
    """Unified diff of the files."""
    changes: tuple[ConfigChange, ...]
