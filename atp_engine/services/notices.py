"""Things people should know that no single request explains: into the log and to every face, in one call."""

from __future__ import annotations

import logging

from atp_engine.bus import EventBus
from atp_engine.core.events import Notice
from atp_engine.core.ports import Clock

_log = logging.getLogger("atp_engine")
_LEVELS = {"info": logging.INFO, "warn": logging.WARNING}


class Notices:
    """Tells them."""

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    def tell(self, severity: str, code: str, text: str) -> None:
        """`severity` is info, warn or error; `code` is for machines."""
        _log.log(_LEVELS.get(severity, logging.WARNING), text, extra={"code": code})
        self._bus.publish(lambda seq: Notice(seq, self._clock.now(), severity, code, text))
