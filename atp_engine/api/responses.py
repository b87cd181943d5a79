"""What is kept of `/v1/responses`: one answer, its input, its end, and the size of an input.

The calls themselves are answered by `llm.ChatEndpoint` over `services/responses`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from atp_engine.api.asides import Told
from atp_engine.api.auth import Call
from atp_engine.core.errors import InvalidKey, InvalidRequest
from atp_engine.core.types import Caller, Dialect
from atp_engine.dialects import json_text
from atp_engine.services.attempt import RawCall
from atp_engine.services.counting import Counting
from atp_engine.services.responses import Responses

_ITEMS: msgspec.json.Decoder[list[dict[str, Any]]] = msgspec.json.Decoder(list[dict[str, Any]])
_MOST = 100
_USUAL = 20


class StoredResponses:
    """The endpoints."""

    def __init__(self, responses: Responses, counting: Counting) -> None:
        self._responses = responses
        self._counting = counting

    async def one(self, call: Call) -> Response:
        """The answer as its client got it."""
        stored = await self._responses.get(_id(call), _caller(call))
        return _answer(stored.body)

    async def remove(self, call: Call) -> Response:
        """Forgets it; what was built upon it cannot be gone on with."""
        await self._responses.remove(_id(call), _caller(call))
        return _answer(msgspec.json.encode({"id": _id(call), "object": "response", "deleted": True}))

    async def input_items(self, call: Call) -> Response:
        """The items that it answered, in pages; the newest first unless `order=asc`."""
        stored = await self._responses.get(_id(call), _caller(call))
        query = call.request.query_params
        limit, order = query.get("limit", str(_USUAL)), query.get("order", "desc")
        if not limit.isdigit() or not 1 <= int(limit) <= _MOST:
            raise InvalidRequest(f"`limit` must be a number from 1 to {_MOST}.", param="limit")
        if order not in ("asc", "desc"):
            raise InvalidRequest("`order` must be asc or desc.", param="order")
        items = json_text.decode(_ITEMS, stored.input)
        found = [_item(item, stored.id, place) for place, item in enumerate(items)]
        found = found if order == "asc" else found[::-1]
        after = query.get("after")
        if after:
            places = [place for place, item in enumerate(found) if item["id"] == after]
            found = found[places[0] + 1 :] if places else []
        page = found[: int(limit)]
        body = {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(found) > len(page),
        }
        return _answer(msgspec.json.encode(body))

    async def input_tokens(self, call: RawCall, caller: Caller) -> Told:
        """How many tokens an input has, the conversation before it included; estimated here."""
        body = await self._responses.whole_body(call.body, caller)
        tokens, how_sure = self._counting.count(Dialect.OPENAI_RESPONSES, body)
        return (
            {"object": "response.input_tokens", "input_tokens": tokens},
            [(b"x-atp-token-count", how_sure.encode())],
        )


def _item(item: dict[str, Any], response_id: str, place: int) -> dict[str, Any]:
    """An item as the vendor lists it: with an id, and a message's text as a part."""
    kind = item.get("type", "message")
    told = {"id": f"{'msg' if kind == 'message' else 'item'}_{response_id}_{place}", **item, "type": kind}
    if kind == "message" and isinstance(item.get("content"), str):
        name = "output_text" if item.get("role") == "assistant" else "input_text"
        told["content"] = [{"type": name, "text": item["content"]}]
        told.setdefault("status", "completed")
    return told


def _id(call: Call) -> str:
    return str(call.request.path_params["id"])


def _caller(call: Call) -> Caller:
    caller = call.visitor.caller
    if caller is None:
        raise InvalidKey("A client key is needed.")
    return caller


def _answer(body: bytes) -> Response:
    return Response(body, headers={"content-type": "application/json"})
