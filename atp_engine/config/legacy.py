"""Names that were used before there was one file: `ROUTER_*` variables, each standing for a key of the config.

`config/load.py` reads them with the rest of the environment. The file wins; every variable that is still set is
told with the key that replaces it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from atp_engine.config.models import Config
from atp_engine.config.positions import KeyPath

PREFIX = "ROUTER_"
_NAMES: Mapping[str, tuple[str, str]] = {
    "ROUTER_HOST": ("server", "host"),
    "ROUTER_PORT": ("server", "port"),
    "ROUTER_DRAIN_TIMEOUT": ("server", "drain_s"),
    "ROUTER_MAX_BODY_BYTES": ("server", "max_body_bytes"),
    "ROUTER_CONNECT_TIMEOUT": ("timeouts", "connect_s"),
    "ROUTER_REQUEST_TIMEOUT": ("timeouts", "total_s"),
    "ROUTER_MAX_PARALLEL": ("limits", "max_parallel"),
    "ROUTER_MAX_CONCURRENCY": ("limits", "max_parallel"),
    "ROUTER_MAX_QUEUE": ("limits", "max_queued"),
    "ROUTER_QUEUE_TIMEOUT": ("limits", "queue_timeout_s"),
    "ROUTER_RATE_LIMIT_RPM": ("limits", "requests_per_minute"),
    "ROUTER_MAX_RETRIES": ("limits", "max_attempts"),
    "ROUTER_SESSION_TTL": ("sessions", "ttl_s"),
    "ROUTER_LOG_LEVEL": ("logging", "level"),
    "ROUTER_LOG_FILE": ("logging", "file"),
}
_NAMED_SECTIONS = frozenset({"providers", "deployments", "routes"})


class Alias(NamedTuple):
    """A variable that is set, the key it stands for, and its value as TOML would have it."""

    variable: str
    key: KeyPath
    value: Any


def aliases(variables: Mapping[str, str]) -> tuple[Alias, ...]:
    """Every old variable that is set: those of the table, and `ROUTER_<SECTION>_<KEY>` of any plain section."""
    return tuple(
        Alias(name, key, _value(variables[name]))
        for name in sorted(variables)
        if name.startswith(PREFIX) and variables[name] and (key := _NAMES.get(name) or _spelt_out(name))
    )


def _spelt_out(name: str) -> tuple[str, str] | None:
    words = name.removeprefix(PREFIX).lower()
    for section, field in Config.model_fields.items():
        key = words.removeprefix(f"{section}_")
        fields = getattr(field.annotation, "model_fields", {})
        if key != words and key in fields and section not in _NAMED_SECTIONS:
            return section, key
    return None


def _value(text: str) -> Any:
    """Numbers and truth values as such, everything else as text."""
    try:
        value = tomllib.loads(f"value = {text.strip().lower()}")["value"]
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float)) else text
