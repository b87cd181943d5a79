"""The engine's present configuration, compiled: one snapshot behind one reference.

`engine.apply` builds a `Runtime` and swaps it; a request reads the reference once and keeps what it
read until its end. Nothing in a runtime changes after it was built.
"""

from __future__ import annotations

import msgspec

from atp_engine.config.models import Config
from atp_engine.providers.provider import Provider
from atp_engine.routing.table import RoutingTable


class Runtime(msgspec.Struct, frozen=True):
    """A configuration ready to serve."""

    config: Config
    version: int
    table: RoutingTable
    providers: dict[str, Provider]


class RuntimeRef:
    """The one mutable reference to the current `Runtime`."""

    __slots__ = ("current",)

    def __init__(self, runtime: Runtime) -> None:
        self.current = runtime
