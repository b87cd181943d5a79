"""What an operator does to a session: end, pause, resume, drop, pin, service class, budget.

`api/admin_sessions` calls it. Every act is audited and announced; its effect lasts as long as the session does in
this process: a session that is held to something does not end by being idle.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from atp_engine.config.models import WindowConfig
from atp_engine.core.errors import InvalidRequest
from atp_engine.core.session_views import SessionAsk
from atp_engine.core.text import safe_text
from atp_engine.core.types import QoS
from atp_engine.core.views import SessionView
from atp_engine.services.live import LiveRequests
from atp_engine.services.runtime import RuntimeRef
from atp_engine.services.session import Session
from atp_engine.services.session_control import DROPPED, PAUSED, Control
from atp_engine.services.sessions import Sessions
from atp_engine.services.windows import Windows

Note = Callable[[str, str, str, str], None]
"""Adds an audit entry: actor, action, target, detail."""
Tell = Callable[[str, str, str], None]
"""Raises a notice: severity, code, text."""
_EMPTY = Control()


class SessionActs:
    """The acting side of the sessions."""

    def __init__(
        self, sessions: Sessions, live: LiveRequests, windows: Windows, runtime: RuntimeRef, note: Note, tell: Tell
    ) -> None:
        self._sessions = sessions
        self._live = live
        self._windows = windows
        self._runtime = runtime
        self._note = note
        self._tell = tell
        sessions.on_end = self._ended

    def act(self, id: str, act: str, ask: SessionAsk, by: str) -> SessionView | None:
        """Does one of `ACTS`; None when the session is not going on. Raises InvalidRequest on a wrong value."""
        session = self._sessions.live(id)
        if session is None:
            return None
        control = session.control or _EMPTY
        said = ""
        match act:
            case "pause":
                control, said = _with(control, hold=PAUSED), "paused it: new requests are refused for now"
            case "resume":
                control, said = _with(control, hold=""), "lets it go on"
            case "pin":
                control, said = (
                    _with(control, pinned=self._deployment(ask.deployment)),
                    f"pinned it to {ask.deployment}",
                )
                said = said if ask.deployment else "took its pin away"
            case "qos":
                control = _with(control, qos=_qos(ask.qos))
                said = f"gave it the class {ask.qos}" if ask.qos else "gave it its key's class again"
            case "budget":
                control = _with(control, max_usd=ask.max_usd)
                said = "took its budget away" if ask.max_usd is None else f"capped it at ${ask.max_usd:g} a month"
            case "drop":
                control = _with(control, hold=DROPPED)
                said = f"dropped it: {self._cancel(session, by)} requests cancelled, new ones are refused"
            case _:
                said = f"ended it: {self._cancel(session, by)} requests cancelled"
        view = self._sessions.hold(session, None if control == _EMPTY else control)
        if act == "end":
            self._sessions.end(session)
        elif act == "budget":
            self._set_windows()
        self._note(by, f"session.{act}", id, said)
        self._tell("info", f"session_{act}", f"session {id}: {by} {said}")
        return view

    def _deployment(self, key: str) -> str:
        if key and key not in self._runtime.current.table:
            known = ", ".join(list(self._runtime.current.table.deployments)[:8])
            raise InvalidRequest(f"no deployment is called {safe_text(key, limit=128)!r}; known: {known}")
        return key

    def _cancel(self, session: Session, by: str) -> int:
        """Ends what is in flight; how many."""
        number = 0
        for live in self._live.open_requests():
            if live.session is session and live.cancel is not None and not live.cancelled_by:
                live.cancelled_by = by
                live.cancel()
                number += 1
        return number

    def _ended(self, session: Session) -> None:
        """A session left: its window goes with it."""
        if session.control is not None and session.control.max_usd is not None:
            self._set_windows()

    def _set_windows(self) -> None:
        limits = [
            (f"session:{session.id}", WindowConfig(scope="session", of=(session.id,), period="month", max_usd=usd))
            for session in self._sessions.held()
            if session.control is not None and (usd := session.control.max_usd) is not None
        ]
        self._windows.apply_sessions(limits)


def _with(control: Control, **changes: object) -> Control:
    return msgspec.structs.replace(control, **changes)


def _qos(text: str) -> QoS | None:
    if not text:
        return None
    try:
        return QoS(text)
    except ValueError:
        raise InvalidRequest(
            f"no service class is called {safe_text(text, limit=16)!r}: gold, silver or bronze"
        ) from None
