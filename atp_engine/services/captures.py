"""Which bodies are kept: what the client sent (with its headers) and what it got, redacted, within a rate and a size.

The recorder asks at the begin and the end of each request. Above `storage.bodies_per_s` bodies are
skipped and counted; traffic never waits for them.
"""

from __future__ import annotations

from atp_engine.config.models import CacheConfig, StorageConfig
from atp_engine.core.redact import redact
from atp_engine.core.types import RequestState
from atp_engine.services.attempt import RawCall
from atp_engine.services.capture import Capture
from atp_engine.services.kept_heads import written
from atp_engine.services.live import LiveRequest
from atp_engine.storage.bodies import BodyStore

_ERRORS = (RequestState.FAILED, RequestState.TRUNCATED, RequestState.REJECTED)
"""Ends whose bodies are kept longer."""
_CUT = "\n… cut: the body is longer than storage.body_max_bytes"


class Captures:
    """Decides and hands bodies to the store."""

    def __init__(self, store: BodyStore, config: StorageConfig) -> None:
        self._store = store
        self._config = config

    def apply(self, config: StorageConfig, cache: CacheConfig) -> None:
        """Takes the settings of a new config."""
        self._config = config
        self._store.configure(
            max_bytes=cache.max_body_store_bytes,
            ttl_s=config.body_ttl_h * 3600.0,
            error_ttl_s=config.error_body_ttl_h * 3600.0,
            bodies_per_s=config.bodies_per_s,
        )

    def begin(self) -> Capture | None:
        """A place to copy an answer into, or None when bodies are off or come too fast."""
        if not self._config.is_bodies_kept:
            return None
        if not self._store.has_room():
            self._store.skipped += 1
            return None
        return Capture(self._config.body_max_bytes)

    def finish(self, live: LiveRequest, call: RawCall) -> bool:
        """Stores both bodies of a finished request; True when they were taken."""
        capture, live.capture = live.capture, None
        if capture is None:
            return False
        cap, put, is_error = self._config.body_max_bytes, self._store.put, live.state in _ERRORS
        request = _text(call.body[:cap], is_cut=len(call.body) > cap)
        is_kept = put(live.id, "request", request, is_error=is_error) and put(
            live.id, "response", _text(capture.whole(), is_cut=capture.is_cut), is_error=is_error
        )
        if is_kept:
            put(live.id, "head", written(call.head, call.query), is_error=is_error)
        return is_kept


def _text(body: bytes, *, is_cut: bool) -> bytes:
    text = redact(body.decode("utf-8", "replace"))
    return (text + _CUT if is_cut else text).encode()
