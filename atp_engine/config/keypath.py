"""Key paths as people write them: `routes.auto.deployments[0]`, `providers."my.box".base_url`.

The config commands and the admin API take them; `config/edit` finds its way by them. Pure.
"""

from __future__ import annotations

import re

from atp_engine.config.positions import KeyPath
from atp_engine.core.errors import ConfigError, ConfigProblem

_PART = re.compile(
    r"""(?P<dot>\.)?(?:(?P<bare>[A-Za-z0-9_-]+)|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|\[(?P<place>[0-9]{1,4})\])"""
)
_LONGEST = 1_024


def keypath(text: str) -> KeyPath:
    """The parts of a dotted key. Raises ConfigError for what is none."""
    path: list[str | int] = []
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        is_place = part is not None and part["place"] is not None
        is_joined = part is not None and bool(part["dot"]) == (bool(path) and not is_place)
        if part is None or not is_joined or (is_place and not path) or len(text) > _LONGEST:
            raise _no_key(text)
        name = next((found for found in (part["bare"], part["double"], part["single"]) if found is not None), "")
        path.append(int(part["place"]) if is_place else name)
        at = part.end()
    if not path:
        raise _no_key(text)
    return tuple(path)


def _no_key(text: str) -> ConfigError:
    hint = 'such as limits.max_parallel or providers."my.box".base_url'
    return ConfigError([ConfigProblem("", 0, 0, text[:80], "is no key", hint)])
