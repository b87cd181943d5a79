"""What a single value of a window cannot tell: one that limits nothing, names nobody has, odd combinations.

`checks` calls it on the plain tree. Values of a wrong type are skipped: the validator tells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from atp_engine.config.positions import KeyPath
from atp_engine.config.problems import Complaints, near, shown

_LIMITS = ("max_parallel", "max_tokens", "max_usd", "requests_per_minute")
_NAMED = {"route": "routes", "deployment": "deployments"}


def check_windows(tree: Mapping[str, Any], complaints: Complaints) -> None:
    """Adds every problem of `[windows]` and of the time zone they follow."""
    limits = tree.get("limits")
    zone = limits.get("time_zone") if isinstance(limits, Mapping) else None
    if isinstance(zone, str) and zone and not is_zone(zone):
        hint = near(zone, sorted(available_timezones())) or "a name of the time zone database, such as Europe/Berlin"
        complaints.add(("limits", "time_zone"), "is no time zone that is known here", hint)
    windows = tree.get("windows")
    if isinstance(windows, Mapping):
        for name, window in windows.items():
            if isinstance(window, Mapping):
                _check_window(("windows", name), window, tree, complaints)


def is_zone(name: str) -> bool:
    """True for a time zone that this machine knows."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return False
    return True


def _check_window(path: KeyPath, window: Mapping[str, Any], tree: Mapping[str, Any], complaints: Complaints) -> None:
    if not any(limit in window for limit in _LIMITS):
        complaints.add(path, "limits nothing", f"set one of {', '.join(_LIMITS)}", at_key=True)
    if str(path[-1]).startswith("key:"):
        complaints.add(path, "names that begin with key: are for the windows of keys", at_key=True)
    scope = window.get("scope", "everything")
    of = window.get("of")
    if scope == "everything" and of:
        complaints.add((*path, "of"), "names subjects, but the scope is everything", 'set scope = "key" or another')
    if scope == "deployment" and window.get("on_exceed", "refuse") != "refuse":
        complaints.add(
            (*path, "on_exceed"), "a deployment's window can only refuse", "the route's other deployments are tried"
        )
    known = tree.get(_NAMED.get(str(scope), ""))
    if isinstance(scope, str) and scope in _NAMED and isinstance(of, (list, tuple)):
        names = list(known) if isinstance(known, Mapping) else []
        for place, name in enumerate(of):
            if isinstance(name, str) and name not in names and "/" not in name:
                hint = near(name, names) or f"define [{_NAMED[scope]}.{shown(name)}]"
                complaints.add((*path, "of", place), f'there is no {scope} "{shown(name)}"', hint)
