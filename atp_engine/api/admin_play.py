"""Requests of an operator: `POST /admin/plays`, and a recorded one sent or decided again."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import NoteAct, NotFound, answer, read_json
from atp_engine.api.auth import Call
from atp_engine.core.play_views import PlayAsk, ReplayAsk
from atp_engine.services.playground import Playground


class AdminPlay:
    """The handlers; what is sent leaves an act."""

    def __init__(self, playground: Playground, note: NoteAct) -> None:
        self._playground = playground
        self._note = note

    async def play(self, call: Call) -> Response:
        """Sends a prompt to a route or model."""
        ask = await read_json(call.request, PlayAsk)
        started = self._playground.play(ask)
        self._note(call.visitor.name, "request.played", started.request_id, ask.model)
        return answer(started)

    async def replay(self, call: Call) -> Response:
        """Sends a recorded request again."""
        request_id = str(call.request.path_params["id"])
        started = await self._playground.replay(request_id, (await read_json(call.request, ReplayAsk)).model)
        if started is None:
            raise NotFound("No such request.")
        self._note(call.visitor.name, "request.replayed", request_id, f"as {started.request_id} on {started.model}")
        return answer(started)

    async def decide(self, call: Call) -> Response:
        """How a recorded request would be routed now; `model` asks for another one."""
        request_id = str(call.request.path_params["id"])
        decision = await self._playground.decide(request_id, call.request.query_params.get("model", ""))
        if decision is None:
            raise NotFound("No such request.")
        return answer(decision)
