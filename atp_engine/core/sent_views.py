"""What a client sent beside what went up to each vendor: the reply of `GET /admin/requests/{id}/sent`.

Text in it comes from outside; credentials are `***`. The client's side was kept, the other is made of it
again by the same pure code that made it then.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Fate(StrEnum):
    """What became of a header on its way."""

    __hash__ = str.__hash__

    PASSED = "passed"
    """The client's, and it went up."""
    KEPT = "kept back"
    """The client's, and it did not."""
    OURS = "ours"
    """Added here."""


class HeaderView(msgspec.Struct, frozen=True):
    """One header line."""

    name: str
    value: str
    fate: Fate


class SentCall(msgspec.Struct, frozen=True):
    """One upstream call as it left; `number` is that of the attempt."""

    number: int
    deployment: str
    provider: str
    model: str
    dialect: str
    """Empty when the deployment is not in the config any more."""
    url: str
    """Empty for a model that runs inside the engine."""
    is_translated: bool
    """Another dialect than the client's; else only what `body` shows was changed."""
    headers: tuple[HeaderView, ...]
    body: str | None
    dropped_fields: tuple[str, ...] = ()
    note: str = ""
    """Why something is not shown, as a clause."""


class SentView(msgspec.Struct, frozen=True):
    """Both sides of one request."""

    request_id: str
    dialect: str
    query: str
    headers: tuple[HeaderView, ...] | None
    """The client's; None when they were not kept. A fate says what the last call made of it."""
    body: str | None
    calls: tuple[SentCall, ...]
    notes: tuple[str, ...] = ()
    """What a reader has to know, as clauses."""


class WouldCost(msgspec.Struct, frozen=True):
    """What the tokens of a request would have cost at one of its candidates, at the prices of now."""

    deployment: str
    cost_nusd: int
    is_sure: bool
