"""Calls that are answered here, whole and at once, behind the checks of the calls that go to models.

`/v1/plan`, `/v1/observe` and `count_tokens`: their bodies may be as large as a prompt and their errors come in
the caller's dialect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from atp_engine.api.errors import HeaderList
from atp_engine.api.llm import CheckedEndpoint
from atp_engine.core.ports import NewId
from atp_engine.core.types import Caller, Dialect
from atp_engine.services.asking import Asking
from atp_engine.services.attempt import RawCall
from atp_engine.services.counting import Counting
from atp_engine.services.feedback import Feedback
from atp_engine.services.keys import Keys

Told = tuple[Any, HeaderList]
"""What is answered, to be encoded as JSON, and headers of its own."""
Make = Callable[[RawCall, Caller], Awaitable[Told]]


class Aside(CheckedEndpoint):
    """Answers with what `make` makes."""

    def __init__(
        self, dialect: Dialect | None, make: Make, keys: Keys, new_id: NewId, max_body: Callable[[], int]
    ) -> None:
        super().__init__(dialect, keys, new_id, max_body)
        self._make = make

    async def answer(self, call: RawCall, caller: Caller, exchange: Any) -> None:
        """One JSON object."""
        told, headers = await self._make(call, caller)
        body = msgspec.json.encode(told)
        name = b"request-id" if self._dialect is Dialect.ANTHROPIC else b"x-request-id"
        request_id = call.id.encode("latin-1")
        lines: HeaderList = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (name, request_id),
            (b"x-atp-request-id", request_id),
            *headers,
        ]
        exchange.reply(b"HTTP/1.1 200 OK\r\n" + b"".join([b"%b: %b\r\n" % line for line in lines]), body)


class Answers:
    """What the asides answer."""

    def __init__(self, asking: Asking, feedback: Feedback, counting: Counting) -> None:
        self._asking = asking
        self._feedback = feedback
        self._counting = counting

    async def plan(self, call: RawCall, caller: Caller) -> Told:
        """The decision for an ask, nothing called."""
        return {"request_id": call.id, **self._asking.plan(call.body, caller), "is_dry_run": True}, []

    async def observe(self, call: RawCall, caller: Caller) -> Told:
        """Feedback on a request, as it was kept."""
        request_id, kept = await self._feedback.add(caller, call.body)
        return {"request_id": request_id, "recorded": True, "feedback": kept}, []

    async def count_tokens(self, call: RawCall, caller: Caller) -> Told:
        """Anthropic's count, estimated here."""
        tokens, how_sure = self._counting.count(Dialect.ANTHROPIC, call.body)
        return {"input_tokens": tokens}, [(b"x-atp-token-count", how_sure.encode())]
