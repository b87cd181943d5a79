"""From a checked text to a runtime that only waits to be swapped in: secrets, build, and the swap itself.

`configuration` drafts in a thread and goes live on the loop in one step. A credential that was there and is gone
keeps serving: what cannot be read again does not take down what works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from atp_engine.config.keypath import keypath
from atp_engine.config.load import Environment, Loaded
from atp_engine.config.models import Config
from atp_engine.config.restart import until_restart
from atp_engine.config.secrets import Secret, resolve, secret_path
from atp_engine.core.config_views import ConfigChange
from atp_engine.core.errors import ConfigError, ConfigProblem
from atp_engine.services.assembly import Assembly
from atp_engine.services.configuration_diff import changes, touched
from atp_engine.services.runtime import Runtime, RuntimeRef

Credentials = Mapping[str, tuple[str, Secret]]
"""By provider: the reference and what it stood for when it was last read."""
Take = Callable[[Runtime], None]
"""Gives the settings of a runtime to everything that keeps some of its own; neither waits nor fails."""


class Draft(msgspec.Struct, frozen=True):
    """A config that can go live at once."""

    loaded: Loaded
    runtime: Runtime
    credentials: Credentials
    changes: tuple[ConfigChange, ...]
    touched: frozenset[str]
    waits: str
    """What takes effect at the next start only."""
    wanting: tuple[str, ...]
    """What works but needs somebody."""


class Stage:
    """Builds drafts and holds what is live."""

    def __init__(self, environment: Environment, assembly: Assembly, loaded: Loaded, version: int, take: Take) -> None:
        """Builds the first runtime. Blocks; raises ConfigError."""
        self._environment = environment
        self._assembly = assembly
        self._take = take
        self._credentials, wanting = self._resolve(loaded, {})
        config = loaded.config
        self.runtime = RuntimeRef(assembly.build(config, version, _secrets(self._credentials)))
        self.loaded = loaded
        self.wanting = (*loaded.notices, *(str(problem) for problem in wanting))
        self.waits = ""

    @property
    def config(self) -> Config:
        """The live one."""
        return self.runtime.current.config

    def secret_files(self) -> tuple[Path, ...]:
        """The files that `file:` references of the live config name."""
        home, directory = self._environment.home, self.loaded.path.parent
        places = [reference.removeprefix("file:") for reference in self._references() if reference.startswith("file:")]
        return tuple(secret_path(place, directory, home) for place in places)

    @property
    def asks_keyring(self) -> bool:
        """True when a credential is in the system's keyring, which tells nobody when it changes."""
        return any(reference.startswith("keyring:") for reference in self._references())

    def _references(self) -> list[str]:
        return [provider.api_key for provider in self.config.providers.values() if provider.api_key is not None]

    def draft(self, loaded: Loaded, version: int) -> Draft:
        """Everything that takes time, for a thread. Raises ConfigError with the place of what is wrong."""
        config, waits = until_restart(self.config, loaded.config)
        credentials, wanting = self._resolve(loaded, self._credentials)
        try:
            runtime = self._assembly.build(config, version, _secrets(credentials))
        except ConfigError as error:
            raise ConfigError([_located(loaded, problem) for problem in error.problems]) from error
        told = (*loaded.notices, *(str(problem) for problem in wanting))
        return Draft(
            loaded, runtime, credentials, changes(self.config, config), touched(self.config, config), waits, told
        )

    def go_live(self, draft: Draft) -> None:
        """Swaps the one reference; requests in flight keep what they began with."""
        self.runtime.current = draft.runtime
        self.loaded, self._credentials = draft.loaded, draft.credentials
        self.wanting, self.waits = draft.wanting, draft.waits
        self._take(draft.runtime)

    def has_new_credentials(self, draft: Draft) -> bool:
        """True when a secret was changed where it is kept, under the same reference or not."""
        return _secrets(draft.credentials) != _secrets(self._credentials)

    def _resolve(self, loaded: Loaded, known: Credentials) -> tuple[Credentials, list[ConfigProblem]]:
        """What the references stand for now. A reference that is new to a provider which had a credential
        must resolve: raises ConfigError; other failures are told and served with what there is."""
        found: dict[str, tuple[str, Secret]] = {}
        wanting: list[ConfigProblem] = []
        refused: list[ConfigProblem] = []
        for name, provider in loaded.config.providers.items():
            if provider.api_key is None:
                continue
            reference, secret = known.get(name, ("", None))
            try:
                found[name] = (provider.api_key, resolve(provider.api_key, loaded.path.parent, self._environment))
            except ConfigError as error:
                (problem,) = error.problems
                problem = _at(loaded, ("providers", name, "api_key"), problem)
                if secret is not None and reference == provider.api_key:
                    found[name] = (reference, secret)
                    wanting.append(replace(problem, hint="what was read before serves on"))
                elif secret is not None:
                    refused.append(problem)
                else:
                    wanting.append(problem)
        if refused:
            raise ConfigError(refused)
        return found, wanting


def _secrets(credentials: Credentials) -> dict[str, Secret]:
    return {name: secret for name, (_, secret) in credentials.items()}


def _located(loaded: Loaded, problem: ConfigProblem) -> ConfigProblem:
    """A problem that knows its key alone, with the key's place."""
    if problem.line or not problem.key:
        return problem
    return _at(loaded, keypath(problem.key), problem)


def _at(loaded: Loaded, path: tuple[str | int, ...], problem: ConfigProblem) -> ConfigProblem:
    file, spot = loaded.sources.value(path)
    key = ".".join(map(str, path))
    return ConfigProblem(file, spot.line, spot.column, key, problem.message, problem.hint, problem.is_warning)
