"""`POST /admin/sessions/{id}/{act}`: acting on a session from outside."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import NotFound, answer, read_json
from atp_engine.api.auth import Call
from atp_engine.core.session_views import ACTS, SessionAsk
from atp_engine.core.text import safe_text
from atp_engine.services.session_acts import SessionActs


class AdminSessions:
    """The handler."""

    def __init__(self, acts: SessionActs) -> None:
        self._acts = acts

    async def act(self, call: Call) -> Response:
        """One of `ACTS`: the session's new view."""
        session_id, act = str(call.request.path_params["id"]), str(call.request.path_params["act"])
        if act not in ACTS:
            raise NotFound(f"No such act {safe_text(act, limit=40)!r}; there are {', '.join(ACTS)}.")
        ask = await read_json(call.request, SessionAsk)
        view = self._acts.act(session_id, act, ask, call.visitor.name)
        if view is None:
            raise NotFound("No such session is going on.")
        return answer(view)
