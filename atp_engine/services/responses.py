"""Conversations that the engine keeps for `/v1/responses`: `store`, `previous_response_id`, look-ups.

It stands before `completions`: a call that builds on a stored answer is made whole first, so that any
deployment can go on with it, and an answer that may be kept is kept as it leaves. The walk itself does
not know. Only where the one vendor that made the answer serves again does it get the bare id.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from atp_engine.core.errors import InvalidRequest, UnknownResponse
from atp_engine.core.ports import Clock
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, Dialect
from atp_engine.dialects import json_text, seals
from atp_engine.dialects.openai_responses_answers import BUILT_UPON
from atp_engine.dialects.sse import events
from atp_engine.services.attempt import RawCall, Sink
from atp_engine.services.completions import Completions
from atp_engine.services.live import LiveRequest
from atp_engine.services.runtime import RuntimeRef
from atp_engine.storage.responses import ResponseRepository, StoredResponse

_log = logging.getLogger("atp_engine.responses")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_ANYTHING: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[Any])
_ENDS = (b"response.completed", b"response.incomplete")
_ITEM_FIELDS_OF_VENDORS = ("id", "status")
_SWEEP_EVERY_S = 60.0
_HOUR_S = 3_600.0


class _Wish(msgspec.Struct, gc=False):
    model: str = ""
    previous_response_id: str | None = None
    store: bool | None = None


_WISH = msgspec.json.Decoder(_Wish)


class Responses:
    """Serves Responses calls and what is kept of them."""

    def __init__(
        self, completions: Completions, runtime: RuntimeRef, repository: ResponseRepository, clock: Clock
    ) -> None:
        self._completions = completions
        self._runtime = runtime
        self._repository = repository
        self._clock = clock
        self._sweep_at = 0.0
        self.lost = 0
        """Answers that could not be queued to be kept."""

    async def run(self, call: RawCall, caller: Caller, sink: Sink) -> None:
        """As `Completions.run`. Raises UnknownResponse for an answer that is not the caller's."""
        try:
            wish = json_text.decode(_WISH, call.body)
        except ValueError:
            wish = _Wish(store=False)  # the walk will say what is wrong, and record it
        previous = wish.previous_response_id or ""
        turn = _own_input(call.body) if wish.store is not False else b""
        if previous:
            call = msgspec.structs.replace(call, body=await self._whole(call.body, wish, caller))
        if wish.store is not False:
            sink = _Keeping(sink, self, caller.key_id, previous, turn)
        await self._completions.run(call, caller, sink)

    async def whole_body(self, body: bytes, caller: Caller) -> bytes:
        """A body with the conversation that it builds upon; raises UnknownResponse."""
        try:
            wish = json_text.decode(_WISH, body)
        except ValueError:
            return body
        return await self._whole(body, wish, caller) if wish.previous_response_id else body

    async def get(self, response_id: str, caller: Caller) -> StoredResponse:
        """One of the caller's answers; raises UnknownResponse (404)."""
        found = await self._repository.get(response_id, self._since())
        if found is None or found.key_id != caller.key_id:
            raise UnknownResponse(f"no response {safe_text(response_id, limit=80)!r} is stored")
        return found

    async def remove(self, response_id: str, caller: Caller) -> None:
        """Forgets one of the caller's answers; raises UnknownResponse (404)."""
        await self.get(response_id, caller)
        await self._repository.remove(response_id)

    def sweep(self) -> None:
        """Lets go what is too old or too much, once a minute; called on a tick."""
        now = self._clock.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_EVERY_S
        self._repository.sweep(self._since(), self._runtime.current.config.storage.max_responses_bytes)

    def keep(self, stored: StoredResponse) -> None:
        """Queues an answer to be kept."""
        if not self._repository.add(stored):
            self.lost += 1

    def _since(self) -> float:
        return self._clock.now() - self._runtime.current.config.storage.response_ttl_h * _HOUR_S

    async def _whole(self, body: bytes, wish: _Wish, caller: Caller) -> bytes:
        previous = wish.previous_response_id or ""
        chain = await self._repository.chain(previous, self._since())
        if chain and any(turn.key_id != caller.key_id for turn in chain):
            raise _not_found(previous)
        if not chain:
            if self._is_anywhere(wish.model, "") and await self._repository.get(previous, 0.0) is None:
                return body  # made by the vendor for somebody else than us, or before our time
            raise _not_found(previous)
        if chain[-1].dialect == Dialect.OPENAI_RESPONSES and self._is_anywhere(wish.model, chain[-1].provider):
            return body
        fields = _fields(body)
        items = [item for turn in chain for item in _items_of(turn)]
        fields[BUILT_UPON] = fields.pop("previous_response_id")
        own = json_text.decode(_ITEMS, _own_input(body))
        fields["input"] = msgspec.Raw(msgspec.json.encode([*items, *own]))
        return msgspec.json.encode(fields)

    def _is_anywhere(self, model: str, provider: str) -> bool:
        """True when whatever serves `model` keeps answers itself, all at `provider` if one is named."""
        route = self._runtime.current.table.resolve(model)
        return route is not None and all(
            spec.wire(Dialect.OPENAI_RESPONSES) is Dialect.OPENAI_RESPONSES and provider in ("", spec.provider)
            for spec in route.deployments
        )


class _Keeping:
    """A sink that keeps the answer as its last bytes leave; all else goes straight on."""

    def __init__(self, sink: Sink, responses: Responses, key_id: str, previous: str, turn: bytes) -> None:
        self._sink = sink
        self._responses = responses
        self._key_id = key_id
        self._previous = previous
        self._turn = turn
        self.open = sink.open
        self.write = sink.write
        self.push = sink.push

    @property
    def is_open(self) -> bool:
        """As of the client's sink."""
        return self._sink.is_open

    @is_open.setter
    def is_open(self, is_open: bool) -> None:
        self._sink.is_open = is_open

    @property
    def live(self) -> LiveRequest | None:
        """As of the client's sink."""
        return self._sink.live

    @live.setter
    def live(self, live: LiveRequest | None) -> None:
        self._sink.live = live

    @property
    def task(self) -> asyncio.Task[None] | None:
        """As of the client's sink."""
        return self._sink.task

    @task.setter
    def task(self, task: asyncio.Task[None] | None) -> None:
        self._sink.task = task

    def close(self, live: LiveRequest, last: bytes) -> None:
        """Keeps the answer and hands it on; it is never withheld because it could not be kept."""
        body = _last_response(last) if live.is_stream else last
        if body is not None and live.served is not None:
            self._keep(live, body)
        self._sink.close(live, last)

    def _keep(self, live: LiveRequest, body: bytes) -> None:
        try:
            response_id = json_text.decode(_OBJECT, body).get("id")
        except ValueError:
            response_id = None
        if not isinstance(response_id, str) or not 0 < len(response_id) <= 256 or live.served is None:
            _log.warning("an answer without an id cannot be kept", extra={"request_id": live.id})
            return
        spec = live.served
        wire = spec.wire(Dialect.OPENAI_RESPONSES)
        self._responses.keep(
            StoredResponse(
                response_id,
                self._key_id,
                spec.key,
                spec.provider,
                wire,
                self._previous,
                live.started_at,
                self._turn,
                body,
            )
        )


def _not_found(response_id: str) -> InvalidRequest:
    shown = safe_text(response_id, limit=80)
    error = InvalidRequest(
        f"`previous_response_id`: no response {shown!r} is stored here.", param="previous_response_id"
    )
    error.code = "previous_response_not_found"
    return error


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    return json_text.decode(_FIELDS, body)


def _own_input(body: bytes) -> bytes:
    """The call's own input as a list of items; what is no input is told by the walk."""
    raw = bytes(_fields(body).get("input", b"[]"))
    if raw[:1] == b'"':
        raw = b'[{"role":"user","content":%b}]' % raw
    return raw if raw[:1] == b"[" else b"[]"


def _items_of(turn: StoredResponse) -> list[dict[str, Any]]:
    """A turn's items for another vendor: without ids that only its maker knows, and without thinking
    that its maker alone can read."""
    asked = json_text.decode(_ANYTHING, turn.input)
    answered = json_text.decode(_OBJECT, turn.body).get("output") or []
    items: list[dict[str, Any]] = []
    for item in (*asked, *answered):
        if not isinstance(item, dict):
            continue
        if item.get("type") == "reasoning":
            sealed = item.get("encrypted_content")
            if not isinstance(sealed, str) or not seals.is_marked(sealed):
                continue
        items.append({name: value for name, value in item.items() if name not in _ITEM_FIELDS_OF_VENDORS})
    return items


def _last_response(last: bytes) -> bytes | None:
    """The response object in a stream's terminal event."""
    for event in reversed(events(last)):
        if event.data is not None and (event.name in _ENDS or any(end in event.data[:120] for end in _ENDS)):
            try:
                return bytes(json_text.decode(_FIELDS, event.data)["response"])
            except (ValueError, KeyError):
                return None
    return None
