"""What a scenario is: how the upstreams behave, how the caller asks, and what must be seen of it.

`scenarios` holds the rows, `judge` holds a row against what happened. Seconds are those of the
full-time wall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from atp_console.wall.upstream import Scene


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a scenario: the caller's dialect, the upstreams' dialect, streamed or not."""

    name: str
    caller: str
    upstream: str
    is_stream: bool


CHAT = Variant("chat", "chat", "chat", is_stream=True)
CHAT_PLAIN = Variant("chat-plain", "chat", "chat", is_stream=False)
MESSAGES = Variant("messages", "messages", "messages", is_stream=True)
MESSAGES_PLAIN = Variant("messages-plain", "messages", "messages", is_stream=False)
MESSAGES_ON_CHAT = Variant("messages-on-chat", "messages", "chat", is_stream=True)
CHAT_ON_MESSAGES = Variant("chat-on-messages", "chat", "messages", is_stream=True)
STREAMS = (CHAT, MESSAGES, MESSAGES_ON_CHAT, CHAT_ON_MESSAGES)
PLAIN = (CHAT_PLAIN, MESSAGES_PLAIN)
EVERY = (*STREAMS, *PLAIN)


@dataclass(frozen=True, slots=True)
class Must:
    """What has to be seen, by the caller and in the upstream's log."""

    see: tuple[str, ...] = ("answer",)
    """Outcomes that are right: answer, error (an HTTP status), broken (an error inside a stream), left."""
    by: tuple[str, ...] = ("fallback",)
    """Roles whose answer may be seen."""
    tokens: int | None = None
    """Tokens that must have reached the caller of a stream."""
    statuses: tuple[int, ...] = ()
    """HTTP statuses that an error may have."""
    codes: tuple[str, ...] = ()
    """Our own error codes (where the dialect has codes)."""
    says: str = ""
    """What the error's message must hold."""
    primary: tuple[int, int] = (1, 1)
    """Least and most calls of the primary."""
    fallback: tuple[int, int] = (1, 1)
    same: tuple[int, int] = (0, 0)
    """Calls of a further deployment that is no better than the primary."""
    within_s: float = 0.0
    """Most seconds to the end, shortened by the pace; a constant slack is added."""
    first_within_s: float = 0.0
    """Most seconds to the first content."""
    wait_s: float = 0.0
    """Least seconds between two calls of the primary, never shortened."""
    most_sent_bytes: int = 0
    """Most bytes the gateway may take of one primary answer."""
    has_usage: bool = False
    """The usage seen must be that of the role that answered."""
    has_model: bool = False
    """The model seen must be that of the role that answered."""
    refuses_prefill: bool = False
    """No call may end with an assistant's message."""
    closes_within_s: float = 1.0
    """Most seconds from the caller's end to the upstream connection's, never shortened."""


@dataclass(frozen=True, slots=True)
class Series:
    """More than one call: `count` times `burst` at once, `every_s` apart."""

    count: int = 1
    burst: int = 1
    every_s: float = 0.0
    back_within_s: float = 0.0
    """Most seconds from the primary's recovery until it serves again, 0 when it does not matter."""
    is_probed_singly: bool = False
    """After the first burst the primary has at most one call at a time until it recovers."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row of the wall."""

    name: str
    title: str
    primary: Scene
    fallback: Scene | None
    must: Must
    variants: tuple[Variant, ...] = STREAMS
    is_core: bool = False
    same: Scene | None = None
    series: Series = Series()
    prompt_bytes: int = 0
    leave_after_s: float | None = None
    is_leaving_unanswered: bool = False
    is_reading: bool = True
    is_primary_closed: bool = False
    """Nobody listens at the primary's address."""
    longest_s: float = 5.0
    """A caller that waits longer than this, shortened by the pace, plus slack, calls it a hang."""

    def scenes(self) -> Iterator[tuple[str, Scene]]:
        """The roles in the route's order."""
        yield "primary", self.primary
        if self.same is not None:
            yield "same", self.same
        if self.fallback is not None:
            yield "fallback", self.fallback


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario in one variant: what is run and judged."""

    scenario: Scenario
    variant: Variant

    @property
    def id(self) -> str:
        """Names it in paths, models and reports."""
        return f"{self.scenario.name}.{self.variant.name}"
