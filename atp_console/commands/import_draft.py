"""A config in the making, from another gateway's: what fits becomes tables, what does not becomes a comment.

The readers of the single formats fill it; `import_config` prints its text. A credential that stood in the other
file is never copied: its provider gets a reference to an environment variable, and a comment says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Tree = Mapping[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._:/@+-]+")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Table:
    """One table with its values and the comments above it."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Draft:
    """Providers, deployments and routes by name, in order; `notes` are about the whole."""

    source: str
    sections: dict[str, Table] = field(default_factory=dict)
    providers: dict[str, Table] = field(default_factory=dict)
    deployments: dict[str, Table] = field(default_factory=dict)
    routes: dict[str, Table] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def section(self, name: str, key: str, value: Any) -> None:
        """States a value of a plain section."""
        self.sections.setdefault(name, Table()).values[key] = value

    def provider(self, wanted: str, kind: str, base_url: str = "", key: str = "") -> str:
        """A provider like this, the same one for the same things; returns its name."""
        values: dict[str, Any] = {"kind": kind}
        if base_url:
            values["base_url"] = base_url
        if key:
            values["api_key"] = key
        base = name_of(wanted).replace("/", "-")
        for name, table in self.providers.items():
            if table.values == values:
                return name
        return self._new(self.providers, base, Table(values))

    def deployment(self, wanted: str, provider: str, model: str, values: Mapping[str, Any]) -> str:
        """A deployment, the same one for the same things; returns its name."""
        full = {"provider": provider, "model": model, **values}
        for name, table in self.deployments.items():
            if table.values == full:
                return name
        return self._new(self.deployments, name_of(wanted), Table(full))

    def route(self, wanted: str, deployments: list[Any], strategy: str = "ordered") -> Table:
        """A route; one that is there already gets the deployments it does not have."""
        table = self.routes.setdefault(name_of(wanted), Table({"deployments": []}))
        table.values["deployments"] += [one for one in deployments if one not in table.values["deployments"]]
        if strategy != "ordered":
            table.values["strategy"] = strategy
        return table

    def leave(self, where: str, why: str) -> None:
        """Something that has no equivalent here."""
        self.notes.append(f"{where}: {why}")

    def text(self) -> str:
        """The config with its comments."""
        lines = [f"# Made from {_line(self.source)}. Check it with: atp-console check FILE"]
        if self.notes:
            lines += ["#", "# What has no equivalent, or works otherwise here:"]
            lines += [f"# - {_line(note)}" for note in dict.fromkeys(self.notes)]
        for name, table in self.sections.items():
            lines += _table([name], table)
        for section in ("providers", "deployments", "routes"):
            for name, table in getattr(self, section).items():
                lines += _table([section, name], table)
        return "\n".join(lines) + "\n"

    def _new(self, tables: dict[str, Table], base: str, table: Table) -> str:
        name, count = base, 2
        while name in tables:
            name, count = f"{base[:120]}-{count}", count + 1
        tables[name] = table
        return name


def name_of(text: str) -> str:
    """A name of ours that is as close as can be."""
    if _NAME.fullmatch(text):
        return text
    name = _NOT_IN_NAMES.sub("-", text).lstrip("._:/@+-")[:128]
    return name or "unnamed"


def variable_of(provider: str) -> str:
    """The environment variable that a provider's key is looked for in."""
    return re.sub(r"[^A-Za-z0-9]+", "_", provider).strip("_").upper() + "_API_KEY"


def reference(key: Any, provider: str, draft: Draft, *marks: str) -> str:
    """An `env:` reference for a key that was given as `marks` + variable, as `$VARIABLE`, or openly."""
    if not isinstance(key, str) or not key.strip():
        return ""
    for mark in (*marks, "$"):
        if key.startswith(mark):
            variable = key.removeprefix(mark).strip("{}")
            if _VARIABLE.fullmatch(variable):
                return f"env:{variable}"
    variable = variable_of(provider)
    if variable[:1].isdigit():
        variable = f"KEY_{variable}"
    draft.leave(f"the key of {provider}", f"stood in the file and was not copied; put it into the variable {variable}")
    return f"env:{variable}"


def number(value: Any) -> float | None:
    """A number that is one, also where it was written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and value == value and abs(value) < 1e12 else None


def _table(path: list[str], table: Table) -> list[str]:
    lines = ["", *(f"# {_line(note)}" for note in table.notes), f"[{'.'.join(_key(part) for part in path)}]"]
    return lines + [f"{_key(key)} = {_value(value)}" for key, value in table.values.items()]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:.10f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    return str(value) if isinstance(value, int) else _quoted(str(value))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL and what is beyond the first plane, which stay as they are.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:400]
