"""Where an engine answers: an address with its token, and the record that a running engine leaves.

The command line reads the record to attach; the token never appears in a repr.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from atp_engine.providers.transport import Origin

RECORD_NAME = "engine.json"
_RECORD_CAP_BYTES = 65_536
_PORTS = {"http": 80, "https": 443}


class EndpointError(ValueError):
    """The address is not one of an engine."""


class Endpoint(msgspec.Struct, frozen=True):
    """An engine's address. `socket` is a unix socket that is used instead of the URL's host when set."""

    url: str
    socket: str = ""
    token: str = ""
    ca_file: str = ""

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, socket={self.socket!r})"

    def origin(self) -> Origin:
        """The address for the transport. Raises EndpointError on anything but http(s)://host[:port]."""
        try:
            parts = urlsplit(self.url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise EndpointError(f"{self.url!r} is not an address: {error}") from None
        if not port or not parts.hostname or parts.username is not None:
            raise EndpointError(f"{self.url!r} is not an address such as http://127.0.0.1:7443")
        return Origin(
            scheme="http" if self.socket else parts.scheme,
            host=parts.hostname,
            port=port,
            unix_path=self.socket,
            ca_file=self.ca_file,
            max_connections=16,
        )

    @property
    def label(self) -> str:
        """Host and port for people."""
        return urlsplit(self.url).netloc or self.url


class EngineRecord(msgspec.Struct, frozen=True):
    """What a running engine writes into its data directory."""

    pid: int
    url: str
    socket: str = ""
    version: str = ""

    def endpoint(self, token: str) -> Endpoint:
        """The address with the credential to use there."""
        return Endpoint(url=self.url, socket=self.socket, token=token)


def read_engine_record(data_dir: Path) -> EngineRecord | None:
    """The record in `data_dir`, or None when there is none that can be read.

    A record proves nothing: its engine may have been killed. Ask it for its status.
    """
    try:
        with (data_dir / RECORD_NAME).open("rb") as file:
            return msgspec.json.decode(file.read(_RECORD_CAP_BYTES), type=EngineRecord)
    except (OSError, msgspec.DecodeError):
        return None
