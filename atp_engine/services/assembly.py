"""From a config to a `Runtime`: providers with their transports and credentials, and the routing table.

The engine assembles one at start and one per accepted config. Transports outlive configs, so open
connections are kept over a reload. The one for proxies is made by a function that the command line
passes in: its library takes a quarter of the start, and most configs never need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from atp_engine.config.models import Config, ProviderConfig
from atp_engine.config.secrets import Secret
from atp_engine.core.errors import ConfigError, ConfigProblem
from atp_engine.core.ports import Clock
from atp_engine.core.types import Dialect
from atp_engine.providers.http import HttpProvider
from atp_engine.providers.pooled import PooledTransport
from atp_engine.providers.provider import Provider
from atp_engine.providers.registry import Vendor, near_kinds, vendor
from atp_engine.providers.simulated import SimulatedProvider
from atp_engine.providers.simulated_models import simulated_prices
from atp_engine.providers.transport import Transport
from atp_engine.routing.table import RoutingTable, VendorFacts
from atp_engine.services.runtime import Runtime

SIMULATED = "simulated"

ProxiedTransport = Callable[[Clock, str | None], Transport]
"""Makes the transport for a proxy's URL, None for providers that merely ask for it."""


class Assembly:
    """Builds runtimes and owns the transports."""

    def __init__(self, clock: Clock, proxied: ProxiedTransport) -> None:
        self._clock = clock
        self._proxied = proxied
        self.pooled = PooledTransport(clock)
        self._others: dict[str | None, Transport] = {}

    def build(self, config: Config, version: int, secrets: Mapping[str, Secret]) -> Runtime:
        """A runtime for a checked config. Raises ConfigError for what only the whole tree shows."""
        table = RoutingTable(config, self._facts, self._clock.now)
        providers = {
            name: self._provider(name, settings, secrets.get(name)) for name, settings in config.providers.items()
        }
        return Runtime(config, version, table, providers)

    async def aclose(self) -> None:
        """Closes every connection to upstreams."""
        await self.pooled.aclose()
        for transport in self._others.values():
            await transport.aclose()

    def _provider(self, name: str, settings: ProviderConfig, secret: Secret | None) -> Provider:
        if settings.kind == SIMULATED:
            return SimulatedProvider(name, settings, self._clock, asyncio.sleep)
        row = _vendor(name, settings)
        key = None if secret is None else secret.reveal()
        return HttpProvider(name, row, settings, key, self._transport(settings))

    def _transport(self, settings: ProviderConfig) -> Transport:
        if settings.proxy is None and settings.transport == "pooled":
            return self.pooled
        if settings.proxy not in self._others:
            self._others[settings.proxy] = self._proxied(self._clock, settings.proxy)
        return self._others[settings.proxy]

    def _facts(self, name: str, settings: ProviderConfig) -> VendorFacts:
        if settings.kind == SIMULATED:
            dialect = Dialect(settings.dialect or Dialect.OPENAI_CHAT)
            prices, vectors = simulated_prices(settings), (Dialect.OPENAI_EMBEDDINGS,)
            return VendorFacts(dialect, is_local=True, catalog="", prices=prices, also=vectors)
        row = _vendor(name, settings)
        dialect = Dialect(settings.dialect) if settings.dialect else row.dialect
        is_openai = dialect in (row.dialect, Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES)
        also = tuple(one for one in row.also if one is not dialect) if is_openai else ()
        if dialect is Dialect.GEMINI:
            also = (Dialect.GEMINI_EMBEDDINGS,)
        return VendorFacts(dialect, is_local=row.is_local, catalog=row.kind, also=also)


def _vendor(name: str, settings: ProviderConfig) -> Vendor:
    row = vendor(settings.kind)
    if row is None:
        near = near_kinds(settings.kind)
        hint = f"did you mean {', '.join(near)}?" if near else ""
        problem = ConfigProblem(
            "", 0, 0, f"providers.{name}.kind", f"no provider kind is called {settings.kind!r}", hint
        )
        raise ConfigError([problem])
    return row
