"""What differs between two configs, in the config's own nouns, and which names that touches.

`configuration` shows it before and after an apply, keeps it in the history, and watches what is touched. Pure.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from atp_engine.config.models import Config, RouteConfig, WeightedTarget
from atp_engine.core.config_views import ConfigChange
from atp_engine.core.text import safe_text

_LONGEST_VALUE = 60
_LONGEST_DETAIL = 300
_HIDDEN = frozenset({"headers", "proxy", "base_url"})
"""Free text that may hold a secret in spite of the checks: told as changed, not shown."""
_LOCAL = frozenset({"providers", "deployments", "routes", "server", "logging", "storage", "sessions", "cache"})
"""Sections whose changes touch only the routes that name them, or none; any other section touches all."""


def changes(before: Config, after: Config) -> tuple[ConfigChange, ...]:
    """Every table that was added, removed or changed, in the file's order."""
    found: list[ConfigChange] = []
    for section in type(after).model_fields:
        old, new = getattr(before, section), getattr(after, section)
        if old is new or old == new:
            continue
        if isinstance(new, dict):
            found += _of_tables(section.removesuffix("s"), old, new)
        else:
            found.append(ConfigChange(section, "", "changed", _detail(old, new)))
    return tuple(found)


def touched(before: Config, after: Config) -> frozenset[str]:
    """The names clients may ask for whose requests could go another way now, removed ones too."""
    names = {*before.routes, *after.routes, *before.deployments, *after.deployments}
    sections = {name for name in type(after).model_fields if getattr(before, name) != getattr(after, name)}
    if sections - _LOCAL:
        return frozenset(names)
    providers = _differing(before.providers, after.providers)
    deployments = set(_differing(before.deployments, after.deployments))
    for config in (before, after):
        deployments |= {name for name, one in config.deployments.items() if one.provider in providers}
    routes = set(_differing(before.routes, after.routes))
    for config in (before, after):
        routes |= {name for name, route in config.routes.items() if deployments & set(_targets(route))}
    return frozenset(routes | deployments)


def _targets(route: RouteConfig) -> list[str]:
    return [target.deployment if isinstance(target, WeightedTarget) else target for target in route.deployments]


def _differing(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _of_tables(noun: str, old: dict[str, Any], new: dict[str, Any]) -> list[ConfigChange]:
    found = [ConfigChange(noun, name, "removed") for name in old if name not in new]
    for name, table in new.items():
        if name not in old:
            found.append(ConfigChange(noun, name, "added"))
        elif old[name] != table:
            found.append(ConfigChange(noun, name, "changed", _detail(old[name], table)))
    return found


def _detail(old: Any, new: Any) -> str:
    return safe_text("; ".join(_lines(old, new, "")), limit=_LONGEST_DETAIL)


def _lines(old: Any, new: Any, prefix: str) -> list[str]:
    if not (isinstance(old, BaseModel) and isinstance(new, BaseModel) and type(old) is type(new)):
        return [f"{prefix} {_shown(old)} -> {_shown(new)}".strip()]
    found: list[str] = []
    for key in type(new).model_fields:
        before, after = getattr(old, key), getattr(new, key)
        name = f"{prefix}.{key}" if prefix else key
        if before == after:
            continue
        if key in _HIDDEN:
            found.append(name)
        elif isinstance(before, BaseModel) and isinstance(after, BaseModel):
            found += _lines(before, after, name)
        else:
            found.append(f"{name} {_shown(before)} -> {_shown(after)}")
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        text = "[" + ", ".join(_shown(part) for part in value) + "]"
    elif isinstance(value, WeightedTarget):
        text = f"{value.deployment} {value.weight:g}"
    elif isinstance(value, BaseModel):
        text = ", ".join(f"{key} {_shown(part)}" for key, part in value if part is not None)
    elif isinstance(value, dict):
        text = ", ".join(value)
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
