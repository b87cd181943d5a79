"""One session while it lasts: its sums, how the faces see it, what the database does not have yet.

Made and changed by `sessions` only.
"""

from __future__ import annotations

import re

from atp_engine.core.text import safe_text
from atp_engine.core.views import SessionView
from atp_engine.services.session_control import Control
from atp_engine.storage.sessions import PRICE_RANKS, SessionGrowth

_TITLE = 80
_TAGGED = re.compile(r"<([a-zA-Z][\w-]*)>.*?</\1>", re.DOTALL)

Key = tuple[str, str] | tuple[str, str, int]


class Session:
    """The requests of one conversation while it lasts; plain mutable sums."""

    __slots__ = (
        "announced_mono",
        "client",
        "control",
        "cost_nusd",
        "errors",
        "finished",
        "id",
        "in_flight",
        "is_dirty",
        "is_live",
        "is_pending",
        "key",
        "key_name",
        "last_at",
        "last_mono",
        "output_tokens",
        "price_rank",
        "prompt_tokens",
        "requests",
        "saved",
        "started_at",
        "title",
    )

    def __init__(self, key: Key, id: str, client: str, key_name: str, title: str, now: float, mono: float) -> None:
        self.key = key
        self.id = id
        self.client = client
        self.key_name = key_name
        self.title = title
        self.started_at = now
        self.last_at = now
        self.last_mono = mono
        self.requests = 0
        self.finished = 0
        self.in_flight = 0
        self.errors = 0
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.cost_nusd = 0
        self.price_rank = 0
        self.saved = (0, 0, 0, 0, 0)
        """Requests, errors, prompt and output tokens and cost that the database has."""
        self.announced_mono = float("-inf")
        self.control: Control | None = None
        """What an operator holds it to."""
        self.is_live = True
        self.is_dirty = False
        self.is_pending = False

    def view(self) -> SessionView:
        """The session as the faces see it."""
        control = self.control
        return SessionView(
            id=self.id,
            client=self.client,
            key_name=self.key_name,
            title=self.title,
            started_at=self.started_at,
            last_at=self.last_at,
            requests=self.requests,
            in_flight=self.in_flight,
            errors=self.errors,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            cost_nusd=self.cost_nusd,
            price_state=PRICE_RANKS[self.price_rank],
            hold=control.hold if control is not None else "",
            pinned=control.pinned if control is not None else "",
            qos=(control.qos or "") if control is not None else "",
            budget_usd=control.max_usd if control is not None else None,
        )

    def sums(self) -> tuple[int, int, int, int, int]:
        """What counts towards `saved`: finished requests only."""
        return (self.finished, self.errors, self.prompt_tokens, self.output_tokens, self.cost_nusd)

    def growth(self) -> SessionGrowth | None:
        """What was added since it was last saved, None when nothing was."""
        sums = self.sums()
        if sums == self.saved:
            return None
        requests, errors, prompt_tokens, output_tokens, cost_nusd = (
            new - old for new, old in zip(sums, self.saved, strict=True)
        )
        return SessionGrowth(
            id=self.id,
            client=self.client,
            key_name=self.key_name,
            title=self.title,
            started_at=self.started_at,
            last_at=self.last_at,
            requests=requests,
            errors=errors,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            cost_nusd=cost_nusd,
            price_state=PRICE_RANKS[self.price_rank],
        )

    @classmethod
    def resumed(cls, view: SessionView, last_mono: float) -> Session:
        """A session that was stored; its key is not known until a request of it comes."""
        session = cls(("", view.id), view.id, view.client, view.key_name, view.title, view.last_at, last_mono)
        session.started_at = view.started_at
        session.requests = session.finished = view.requests
        session.errors = view.errors
        session.prompt_tokens = view.prompt_tokens
        session.output_tokens = view.output_tokens
        session.cost_nusd = view.cost_nusd
        session.price_rank = PRICE_RANKS.index(view.price_state)
        session.saved = session.sums()
        return session


def title_of(prefix_seed: bytes) -> str:
    """The first words of the first user message, without the tagged blocks that agents put before them."""
    text = prefix_seed.partition(b"\0")[2].decode("utf-8", "replace")
    bare = _TAGGED.sub(" ", text).strip()
    return safe_text(bare or text.strip(), limit=_TITLE).strip()
