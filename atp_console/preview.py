"""What is shown beside the list about the selected request: its last words and why it went there.

Asks the engine at most four times a second and only about the one selected request; answers about
finished requests are kept. A failed question leaves what was known.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TypeVar

from atp_console import bodies
from atp_console.source import EngineSource
from atp_engine.client.errors import EngineError
from atp_engine.core.views import RequestDetail, RequestView, Tail

K = TypeVar("K")
V = TypeVar("V")
_KEPT = 64
_TAIL_CHARS = 4_096
DWELL_S = 1.0
SETTLE_S = 0.12


class Preview:
    """Follows a selection. In follow mode it changes to another request at most once a second, so
    that a busy list can still be read."""

    def __init__(self, source: EngineSource) -> None:
        self._source = source
        self._details: OrderedDict[tuple[str, str, int], RequestDetail | None] = OrderedDict()
        self._tails: OrderedDict[tuple[str, str], Tail | None] = OrderedDict()
        self._candidate = ""
        self._candidate_at = 0.0
        self._shown_at = 0.0
        self._is_asking = False
        self.id = ""

    def point(self, id: str, at: float, *, is_following: bool) -> bool:
        """The selection is now `id`, at monotonic time `at`; True when the preview turns to another."""
        if id != self._candidate:
            self._candidate, self._candidate_at = id, at
        if self.id == self._candidate:
            return False
        waited = at - (self._shown_at if is_following else self._candidate_at)
        if self.id and waited < (DWELL_S if is_following else SETTLE_S):
            return False
        self.id, self._shown_at = self._candidate, at
        return True

    def detail(self, view: RequestView) -> RequestDetail | None:
        """What is known of the decision; of an earlier state of the request if of no later one."""
        known = self._details.get(_detail_key(view))
        if known is not None:
            return known
        for (known_id, _, _), detail in reversed(self._details.items()):
            if known_id == view.id and detail is not None:
                return detail
        return None

    def tail(self, view: RequestView) -> Tail | None:
        """The last words that are known."""
        for (known_id, _), tail in reversed(self._tails.items()):
            if known_id == view.id and tail is not None:
                return tail
        return None

    def is_due(self, view: RequestView) -> bool:
        """True when the engine has something to say that is not known."""
        return not self._is_asking and (not view.state.is_final or not self.is_known(view))

    def is_known(self, view: RequestView) -> bool:
        """True when the engine has been asked about this state of the request."""
        return _detail_key(view) in self._details and _tail_key(view) in self._tails

    async def ask(self, view: RequestView) -> None:
        """Fetches what is missing about a request; never raises."""
        self._is_asking = True
        try:
            if _detail_key(view) not in self._details:
                _keep(self._details, _detail_key(view), await self._detail(view.id))
            if not view.state.is_final or _tail_key(view) not in self._tails:
                _keep(self._tails, _tail_key(view), await self._words(view))
        finally:
            self._is_asking = False

    async def _words(self, view: RequestView) -> Tail | None:
        """The last words: of the kept answer when the request is over, else as they are made."""
        detail = self._details.get(_detail_key(view))
        if not view.state.is_final or detail is None or not detail.response_body:
            return await self._tail(view.id)
        text = await asyncio.to_thread(bodies.plain, detail.response_body)
        return Tail(view.id, view.state, text[-_TAIL_CHARS:], view.output_tokens)

    async def _tail(self, id: str) -> Tail | None:
        try:
            return await self._source.tail(id)
        except EngineError:
            return None

    async def _detail(self, id: str) -> RequestDetail | None:
        try:
            return await self._source.request(id)
        except EngineError:
            return None


def _detail_key(view: RequestView) -> tuple[str, str, int]:
    return (view.id, view.state, view.tries)


def _tail_key(view: RequestView) -> tuple[str, str]:
    return (view.id, "open" if not view.state.is_final else "final")


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _KEPT:
        kept.popitem(last=False)
