"""What callers say about their answers: checked against who asked, then kept with the request."""

from __future__ import annotations

from typing import Annotated

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.ports import Clock
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller
from atp_engine.core.views import FeedbackView
from atp_engine.dialects.reading import decode_body
from atp_engine.services.live import LiveRequests
from atp_engine.storage.feedback import FeedbackRepository
from atp_engine.storage.requests import RequestRepository

_Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Observation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/observe`."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    labels: Annotated[list[_Label], msgspec.Meta(max_length=32)] = []
    accepted: bool | None = None
    regenerated: bool | None = None
    comment: Annotated[str, msgspec.Meta(max_length=2_000)] = ""


class UnknownRequest(InvalidRequest):
    """No request of this caller has this id."""

    code = "not_found"
    http_status = 404


_OBSERVATION = msgspec.json.Decoder(Observation)


class Feedback:
    """Takes feedback."""

    def __init__(
        self, repository: FeedbackRepository, requests: RequestRepository, live: LiveRequests, clock: Clock
    ) -> None:
        self._repository = repository
        self._requests = requests
        self._live = live
        self._clock = clock

    async def add(self, caller: Caller, body: bytes) -> tuple[str, FeedbackView]:
        """Keeps what a body says; returns the request's id and what was kept.

        Raises InvalidRequest naming the field, UnknownRequest for a request that is not this caller's.
        """
        said = decode_body(_OBSERVATION, body)
        if said.score is None and not said.labels and said.accepted is None and said.regenerated is None:
            raise InvalidRequest("Send at least one of `score`, `labels`, `accepted`, `regenerated`.", param="score")
        if await self._owner(said.request_id) != caller.key_id:
            raise UnknownRequest("no request of this key has this id", param="request_id")
        kept = FeedbackView(
            at=self._clock.now(),
            score=said.score,
            labels=tuple(dict.fromkeys(safe_text(label, limit=64) for label in said.labels)),
            is_accepted=said.accepted,
            is_regenerated=said.regenerated,
            comment=safe_text(said.comment, limit=2_000),
        )
        await self._repository.add(said.request_id, kept)
        return said.request_id, kept

    async def _owner(self, request_id: str) -> str | None:
        """The key a request came with, None when it is not known. Raises StorageError."""
        live = self._live.get(request_id)
        if live is not None:
            return live.caller.key_id
        record = await self._requests.get(request_id)
        if record is None and self._live.is_recent(request_id):
            await self._requests.settled()
            record = await self._requests.get(request_id)
        return None if record is None else record.key_id
