"""What the validator says, put in plain words at a line and a column.

`config/load.py` hands over pydantic's findings and gets `ConfigProblem`s. A value from the file is never
repeated, as it may be a credential that was put in the wrong place.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from atp_engine.config.models import Config
from atp_engine.config.positions import KeyPath
from atp_engine.config.sources import Sources
from atp_engine.core.errors import ConfigProblem
from atp_engine.core.redact import holds_credential, redact
from atp_engine.core.text import safe_text

_NAME_RULE = "may hold letters, digits and . _ : / @ + - (at most 128, a letter or digit first)"
_PATTERNS = {
    "api_key": "must be env:NAME, file:PATH or keyring:SERVICE/NAME",
    "base_url": "must begin with http:// or https:// and hold no blanks",
    "proxy": "must begin with http://, https://, socks5:// or socks5h:// and hold no blanks",
    "host": "must be an IP address or a host name",
    "allowed_hosts": "must be a host name or address with an optional port, such as box.lan:7443",
    "models": "must be a model name or pattern without blanks, such as claude-*",
    "provider": _NAME_RULE,
    "deployment": _NAME_RULE,
    "deployments": _NAME_RULE,
}
_TYPES = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list in [ ]",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than_equal": ("must be at least", "ge"),
    "less_than_equal": ("must be at most", "le"),
    "greater_than": ("must be greater than", "gt"),
    "less_than": ("must be less than", "lt"),
}
_MOST_FINDINGS = 1_000
CREDENTIAL_HINT = "keep it out of the file and refer to it: env:NAME, file:PATH or keyring:SERVICE/NAME"


class Complaints:
    """Collects the problems of one config, each with its place; the same place and message count once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._found: dict[tuple[str, str], ConfigProblem] = {}

    def add(
        self, key: KeyPath, message: str, hint: str = "", *, at_key: bool = False, is_warning: bool = False
    ) -> None:
        """A problem at the value of `key`, or at the key itself with `at_key`."""
        file, spot = self._sources.key(key) if at_key else self._sources.value(key)
        problem = ConfigProblem(
            path=file,
            line=spot.line,
            column=spot.column,
            key=dotted(key),
            message=message,
            hint=hint,
            is_warning=is_warning,
        )
        self._found.setdefault((problem.key, message), problem)

    def add_findings(self, findings: list[ErrorDetails], tree: Mapping[str, Any]) -> None:
        """The validator's findings on `tree`, as problems; the first thousand will do."""
        for finding in findings[:_MOST_FINDINGS]:
            self._add_finding(finding, tree)

    def errors(self) -> list[ConfigProblem]:
        """What makes the file unusable, in the file's order."""
        return self._sorted(is_warning=False)

    def warnings(self) -> list[ConfigProblem]:
        """What works but is probably not meant, in the file's order."""
        return self._sorted(is_warning=True)

    def _sorted(self, *, is_warning: bool) -> list[ConfigProblem]:
        chosen = [problem for problem in self._found.values() if problem.is_warning is is_warning]
        return sorted(chosen, key=lambda problem: (problem.path, problem.line, problem.column, problem.key))

    def _add_finding(self, finding: ErrorDetails, tree: Mapping[str, Any]) -> None:
        kind, limits = finding["type"], finding.get("ctx", {})
        path, value = _locate(finding["loc"], tree, is_absent=kind == "missing")
        last = str(path[-1]) if path else ""
        if kind == "too_short" and len(value) >= int(limits.get("min_length", 0)):
            return  # counted without the entries that are wrong, which are told themselves
        if kind == "extra_forbidden":
            self.add(path, "unknown key", _near_key(path), at_key=True)
        elif kind == "missing":
            self.add(path, "is required", at_key=True)
        elif isinstance(value, str) and holds_credential(value):
            self.add(path, "holds a credential itself", CREDENTIAL_HINT)
        elif "[key]" in finding["loc"]:
            self.add(path, f"this name is not possible: it {_NAME_RULE}", at_key=True)
        elif kind in _TYPES:
            self.add(path, f"must be {_TYPES[kind]}, not {_type_name(value)}")
        elif kind in _BOUNDS:
            words, limit = _BOUNDS[kind]
            self.add(path, f"{words} {limits[limit]:g}" if limits[limit] < 1e6 else f"{words} {limits[limit]}")
        elif kind == "literal_error":
            choices = str(limits.get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
            self.add(path, f"must be one of {', '.join(choices)}", near(str(value), choices))
        else:
            self.add(path, _shape(kind, limits, last if not isinstance(path[-1], int) else str(path[-2])))


def near(word: str, known: list[str] | tuple[str, ...]) -> str:
    """A hint that names the one of `known` which looks like `word`, else an empty one."""
    found = get_close_matches(word[:80], list(known)[:1_000], n=1, cutoff=0.65)
    if not found:
        lowered = {name.lower().replace("-", "_"): name for name in known}
        found = [lowered[key] for key in [word.lower().replace("-", "_")] if key in lowered]
    return f"did you mean {shown(found[0])}?" if found else ""


def shown(name: str) -> str:
    """A name from the file, fit for a message."""
    return safe_text(redact(name), limit=128)


def dotted(path: KeyPath) -> str:
    """`routes.auto.deployments[0]`, with quotes around names that need them."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            name = shown(part)
            is_bare = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
            parts.append(("." if parts else "") + (name if is_bare else f'"{name}"'))
    return "".join(parts)


def _locate(loc: tuple[str | int, ...], tree: Mapping[str, Any], *, is_absent: bool) -> tuple[KeyPath, Any]:
    """The part of pydantic's location that is in the file (it also names union members), and the value."""
    path: KeyPath = ()
    value: Any = tree
    for part in loc:
        is_member = isinstance(value, Mapping) and part in value
        if is_member or (isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value)):
            value = value[part]
            path = (*path, part)
    if is_absent:
        path = (*path, loc[-1])
    return path, value


def _near_key(path: KeyPath) -> str:
    """What the misspelt key at the end of `path` was probably meant to be, or where it belongs."""
    name = str(path[-1])
    known = _fields_at(path[:-1])
    if hint := near(name, known):
        return hint
    homes = [section for section, field in Config.model_fields.items() if name in _fields_of(field.annotation)]
    if len(homes) == 1:
        return f"it belongs to [{homes[0]}]"
    return f"known here: {', '.join(known)}" if len(known) <= 16 else ""


def _fields_at(path: KeyPath) -> list[str]:
    annotation: Any = Config
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:
            annotation = next((found for found in _models_in(annotation)), None)
    models = _models_in(annotation)
    return list(models[0].model_fields) if models else []


def _fields_of(annotation: Any) -> list[str]:
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return list(annotation.model_fields) if is_section else []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = [getattr(annotation, "__origin__", None), *getattr(annotation, "__args__", ())]
    return [model for part in inner if part is not None and part is not annotation for model in _models_in(part)]


def _type_name(value: Any) -> str:
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        (str, "text"),
        (int, "a whole number"),
        (float, "a number with a point"),
        ((list, tuple), "a list"),
        (dict, "a table"),
        ((datetime.date, datetime.time), "a date or time"),
    )
    return next((name for kinds, name in names if isinstance(value, kinds)), "that")


def _shape(kind: str, limits: Mapping[str, Any], field: str) -> str:
    if kind == "finite_number":
        return "must be a finite number"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(field, "has a form that is not possible here")
    if kind in ("too_short", "string_too_short"):
        return "must not be empty" if limits.get("min_length") == 1 else f"needs at least {limits.get('min_length')}"
    if kind in ("too_long", "string_too_long"):
        unit = "characters" if kind == "string_too_long" else "entries"
        return f"must have at most {limits.get('max_length')} {unit}"
    if kind in ("int_parsing_size", "int_from_float", "int_parsing"):
        return "must be a whole number of ordinary size"
    return "is not possible here"
