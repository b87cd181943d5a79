"""`/admin/ledger...`: lines for exports, sums, the comparison of both."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import answer
from atp_engine.api.auth import Call
from atp_engine.core.errors import InvalidRequest
from atp_engine.services.ledger import Ledger


class AdminLedger:
    """The handlers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def lines(self, call: Call) -> Response:
        """`after` (a line), `limit`, `since` and `until` (UTC epoch seconds, by the request's arrival)."""
        after, limit = _number(call, "after", 0), _number(call, "limit", 1_000)
        page = await self._ledger.lines(int(after), int(limit), _number(call, "since", 0), _number(call, "until", 0))
        return answer(page)

    async def sums(self, call: Call) -> Response:
        """`step` (minute, hour, day), `by` (key, project, session, route, deployment), `since`, `until`."""
        query = call.request.query_params
        since, until = _number(call, "since", 0), _number(call, "until", 0)
        return answer(await self._ledger.sums(query.get("step", "day"), query.get("by", "deployment"), since, until))

    async def verify(self, call: Call) -> Response:
        """What does not agree; reads every line."""
        return answer(await self._ledger.verify())


def _number(call: Call, name: str, default: float) -> float:
    text = call.request.query_params.get(name, "")
    try:
        number = float(text) if text else float(default)
    except ValueError:
        raise InvalidRequest(f"{name} is a number", param=name) from None
    if not 0 <= number <= 2.0**53:
        raise InvalidRequest(f"{name} is a number from 0", param=name)
    return number
