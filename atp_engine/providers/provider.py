"""What a provider can do for an attempt; implemented by `http` (real vendors) and `simulated`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from atp_engine.core.errors import UpstreamError
from atp_engine.core.types import DeploymentSpec, Dialect
from atp_engine.providers.transport import UpstreamResponse


class ProviderCall(msgspec.Struct, frozen=True):
    """One upstream call, ready to send."""

    deployment: DeploymentSpec
    body: bytes
    is_stream: bool
    request_id: str
    forward_headers: tuple[tuple[bytes, bytes], ...]
    """Client headers the vendor may see (an allow-list was applied): `anthropic-beta` and the like."""
    query: bytes
    """The client's query string (`beta=true`), passed on only for the same dialect."""
    connect_s: float
    deadline_at: float
    deadline_limit: str
    is_retry: bool = False
    """This deployment failed the same request a moment ago."""
    wire: Dialect | None = None
    """One of the vendor's further dialects that the body is in; None is its usual one."""


@runtime_checkable
class ModelLister(Protocol):
    """A provider with a free list of models: the one thing that may be asked without being paid for."""

    async def models(self) -> list[str]:
        """The names, empty when the vendor has no such list. Raises UpstreamError."""
        ...


class Told(msgspec.Struct, frozen=True):
    """A call as it leaves, for people: credentials and the values of the config's own headers are `***`."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@runtime_checkable
class Teller(Protocol):
    """A provider that can show a call without sending it."""

    def told(self, call: ProviderCall) -> Told:
        """What `open` would send."""
        ...


class Provider(Protocol):
    """A vendor or server behind one config table."""

    name: str

    async def open(self, call: ProviderCall) -> UpstreamResponse:
        """Sends the call and returns the answer with its headers; any status. Errors as Transport.open."""
        ...

    def classify(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> UpstreamError:
        """The error class of a non-200 answer, with the vendor's public reason and its Retry-After."""
        ...

    async def aclose(self) -> None:
        """Releases connections."""
        ...
