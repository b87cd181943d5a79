"""`POST /admin/deployments/{key}/{act}`: acting on a deployment from outside."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import NotFound, answer
from atp_engine.api.auth import Call
from atp_engine.core.deployment_views import ACTS
from atp_engine.core.text import safe_text
from atp_engine.services.switches import Switches


class AdminDeployments:
    """The handler."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    async def act(self, call: Call) -> Response:
        """open, close, drain, enable, disable: the deployment's new view; probe: what it told."""
        key, act = str(call.request.path_params["key"]), str(call.request.path_params["act"])
        by = call.visitor.name
        if act == "probe":
            reply = await self._switches.probe(key, by)
            if reply is not None:
                return answer(reply)
        elif act in ACTS:
            view = self._switches.act(key, act, by)
            if view is not None:
                return answer(view)
        else:
            raise NotFound(f"No such act {safe_text(act, limit=40)!r}; there are {', '.join(ACTS)} and probe.")
        raise NotFound("No such deployment.")
