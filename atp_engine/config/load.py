"""From a TOML file to the frozen tree, with every problem named at once; the only reader of the environment.

`engine.py` and the config commands call `load` and `parse`; `cli.py` calls `environment` once and hands it
down. A file either becomes a whole `Config` or raises; nothing is applied in part.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from atp_engine.config.checks import check
from atp_engine.config.legacy import Alias, aliases
from atp_engine.config.models import Config
from atp_engine.config.problems import Complaints
from atp_engine.config.reading import MAX_FILE_BYTES, read_text, read_toml, refusal
from atp_engine.config.sources import FRAGMENTS, MAX_FRAGMENTS, SourceFile, Sources, merged, plain
from atp_engine.core.errors import ConfigError, ConfigProblem

_MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Environment:
    """What the process was started with; read once, never again."""

    home: Path
    config_home: Path
    """Where config directories lie (XDG)."""
    data_home: Path
    """Where data directories lie (XDG)."""
    state_home: Path
    """Where what a person set up while looking is kept (XDG)."""
    runtime_dir: Path | None
    """For sockets, private to the user, gone after logout (XDG); None where the system has none."""
    temp_dir: Path
    uid: int
    is_color_off: bool
    """NO_COLOR is set."""
    config_file: Path | None
    """ATP_CONFIG: another config file."""
    data_dir: Path | None
    """ATP_DATA_DIR: another data directory."""
    url: str
    """ATP_URL: an engine to attach to, empty when not set."""
    editor: str
    """VISUAL or EDITOR: what a person edits text with, empty when not set."""
    variables: Mapping[str, str] = field(repr=False)
    """Everything, for `env:NAME` references; not for printing."""

    @property
    def aliases(self) -> tuple[Alias, ...]:
        """Old `ROUTER_*` variables that stand for keys of the file."""
        return aliases(self.variables)

    def has(self, name: str) -> bool:
        """True if the variable is set and not empty."""
        return bool(self.variables.get(name))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config that can go live, with the text it came from."""

    config: Config
    path: Path
    text: str
    """The main file, as it stands on the disk."""
    warnings: tuple[ConfigProblem, ...]
    sources: Sources
    fragments: tuple[SourceFile, ...] = ()
    notices: tuple[str, ...] = ()
    """What still works and has a new name."""

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """Every file, the main one first."""
        return (SourceFile(self.path, self.text), *self.fragments)


def environment() -> Environment:
    """The process's environment as a value."""
    variables = dict(os.environ)
    home = Path(variables.get("HOME") or "~").expanduser()
    return Environment(
        home=home,
        config_home=_absolute(variables.get("XDG_CONFIG_HOME")) or home / ".config",
        data_home=_absolute(variables.get("XDG_DATA_HOME")) or home / ".local" / "share",
        state_home=_absolute(variables.get("XDG_STATE_HOME")) or home / ".local" / "state",
        runtime_dir=_absolute(variables.get("XDG_RUNTIME_DIR")),
        temp_dir=Path(tempfile.gettempdir()),
        uid=os.getuid(),
        is_color_off=bool(variables.get("NO_COLOR")),
        config_file=_chosen(variables.get("ATP_CONFIG") or variables.get("ROUTER_CONFIG"), home),
        data_dir=_chosen(variables.get("ATP_DATA_DIR") or variables.get("ROUTER_DATA_DIR"), home),
        url=variables.get("ATP_URL", ""),
        editor=variables.get("VISUAL") or variables.get("EDITOR", ""),
        variables=variables,
    )


def load(path: Path, kinds: Collection[str] | None = None, old: Sequence[Alias] = ()) -> Loaded:
    """Reads and checks the file and its fragments; raises ConfigError with every problem that was found.

    `kinds` are the provider kinds that the registry knows; None skips that check. `old` are variables that
    stand for keys which the files do not state.
    """
    return parse(read_text(path), path, kinds, read_fragments(path), old)


def read_fragments(path: Path) -> tuple[SourceFile, ...]:
    """The `conf.d/*.toml` beside the main file, by name; raises ConfigError for one that cannot be read."""
    try:
        found = sorted(
            entry for entry in (path.parent / FRAGMENTS).iterdir() if entry.suffix == ".toml" and entry.name[0] != "."
        )
    except OSError:  # there is none, or it is no directory
        return ()
    if len(found) > MAX_FRAGMENTS:
        raise refusal(str(path.parent / FRAGMENTS), f"holds more than {MAX_FRAGMENTS} fragments")
    return tuple(SourceFile(entry, read_text(entry)) for entry in found)


def parse(
    text: str,
    path: Path,
    kinds: Collection[str] | None = None,
    fragments: Sequence[SourceFile] = (),
    old: Sequence[Alias] = (),
) -> Loaded:
    """Checks a text as if it stood in the file at `path`; raises ConfigError with every problem.

    Paths in it (`ca_file`, `logging.file`) become absolute, from the directory of `path`.
    """
    name = str(path)
    if sum(len(file.text) for file in fragments) + len(text) > MAX_FILE_BYTES:
        raise refusal(name, "is larger than 1 MiB, which no config file is")
    texts = [(str(file.path), plain(file.text)) for file in (SourceFile(path, text), *fragments)]
    trees = [(file, read_toml(content, file)) for file, content in texts]
    sources = Sources(texts)
    tree = merged(trees, sources) if fragments else trees[0][1]
    notices = _with_old(tree, old)
    complaints = Complaints(sources)
    check(tree, complaints, kinds)
    try:
        config = Config.model_validate(_in_place(tree, path.parent), strict=True)
    except ValidationError as wrong:
        complaints.add_findings(wrong.errors(include_url=False, include_input=False), tree)
        config = None
    errors = complaints.errors()
    if config is None or errors:
        raise ConfigError(_at_most(errors, name))
    warnings = tuple(complaints.warnings()[:_MAX_PROBLEMS])
    return Loaded(config, path, text, warnings, sources, tuple(fragments), notices)


def _with_old(tree: dict[str, Any], old: Sequence[Alias]) -> tuple[str, ...]:
    """Puts old variables where the files say nothing, and says what to write instead."""
    notices = []
    for alias in old:
        section, key = str(alias.key[0]), str(alias.key[-1])
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            continue
        if key in table:
            notices.append(f"{alias.variable} is ignored: the file states {section}.{key}; remove the variable")
            continue
        table[key] = alias.value
        notices.append(f"{alias.variable} is an old name; state {section}.{key} in the file instead")
    return tuple(notices)


def _in_place(tree: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The tree for the strict validator: lists as tuples, paths absolute."""
    frozen: dict[str, Any] = _frozen(tree)
    providers = frozen.get("providers")
    tables = list(providers.values()) if isinstance(providers, dict) else []
    for table, key in [*((table, "ca_file") for table in tables), (frozen.get("logging"), "file")]:
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
            table[key] = str(directory.absolute() / Path(table[key]).expanduser())
    return frozen


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(child) for key, child in value.items()}
    return tuple(_frozen(child) for child in value) if isinstance(value, list) else value


def _at_most(problems: list[ConfigProblem], name: str) -> list[ConfigProblem]:
    left = len(problems) - _MAX_PROBLEMS
    if left <= 0:
        return problems
    return [
        *problems[:_MAX_PROBLEMS],
        ConfigProblem(name, problems[_MAX_PROBLEMS].line, 1, "", f"and {left} further problems"),
    ]


def _absolute(text: str | None) -> Path | None:
    # The XDG rules: a relative path is to be ignored.
    return Path(text) if text and Path(text).is_absolute() else None


def _chosen(text: str | None, home: Path) -> Path | None:
    if not text:
        return None
    if text.startswith("~/"):
        return home / text[2:]
    return Path(text).absolute()
