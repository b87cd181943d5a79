"""One call of a gateway while the wall's upstream answers it: what is logged of it, and the hand that
plays the steps of a script.

`upstream` makes both, `steps` play on a `Turn`, `judge` reads the `Call`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from atp_console.wall.voices import Speaker, Voice
from atp_console.wall.wire import Wire

_BYTES_A_TURN = 8
"""Dripped bytes per turn of the loop; each is a segment of its own on the network all the same."""


@dataclass(slots=True)
class Call:
    """One call of a gateway as the upstream saw it: the line of the log."""

    case: str
    role: str
    number: int
    """1-based, per case and role."""
    connection: int
    arrived_at: float
    """Monotonic."""
    model: str
    is_stream: bool
    last_role: str
    """Role of the last message: an assistant's is a prefill."""
    wire: Wire
    first_byte: int
    """What the connection had sent before."""
    text: str = ""
    """Content sent so far."""
    prompt_tokens: int = 0
    has_stopped: bool = False
    """A finish reason, or a whole answer, was sent."""
    is_refusal: bool = False
    """An error was sent."""
    ended_at: float | None = None
    """The script came to its end by itself."""
    left_at: float | None = None
    """The gateway closed the connection before the script's end."""

    @property
    def is_open(self) -> bool:
        """The script is still being played."""
        return self.ended_at is None and self.left_at is None

    @property
    def sent_bytes(self) -> int:
        """Bytes of this answer."""
        return self.wire.sent_bytes - self.first_byte


@dataclass(slots=True)
class CaseLog:
    """What the upstream saw of one case, and what its caller has heard."""

    calls: list[Call] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    heard: str = ""
    """Text that has reached the case's caller."""

    def by(self, role: str) -> list[Call]:
        """The calls of a role, in order."""
        return [call for call in self.calls if call.role == role]

    def hear(self, text: str) -> None:
        """The caller has so much text by now."""
        self.heard = text
        self.changed.set()

    async def until(self, is_so: Callable[[CaseLog], bool], within_s: float) -> None:
        """Waits until something is true of the log, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not is_so(self):
                    self.changed.clear()
                    await self.changed.wait()


@dataclass(slots=True)
class Turn:
    """One call being answered."""

    call: Call
    log: CaseLog
    wire: Wire
    voice: Voice
    speaker: Speaker
    pace: float
    """Seconds per second of the full-time wall."""
    canary: str
    """What every error message carries and no caller may see."""
    framing: str = "chunked"
    is_dripping: bool = False
    is_odd: bool = False
    """Events are written as few servers do."""
    tokens: int = 0

    async def send(self, data: bytes) -> None:
        """Raw bytes onto the wire."""
        if not self.is_dripping:
            await self.wire.send(data)
            return
        for place in range(len(data)):
            await self.wire.send(data[place : place + 1])
            if place % _BYTES_A_TURN == 0:
                await asyncio.sleep(0)

    async def body(self, data: bytes) -> None:
        """Bytes of the body, in the framing that the head announced."""
        if self.is_odd:
            data = data.replace(b"\n", b"\r\n").replace(b"data: ", b"data:")
        await self.send(b"%x\r\n%b\r\n" % (len(data), data) if self.framing == "chunked" else data)

    async def say(self, addition: str) -> None:
        """The next token, with more letters at its end. What follows a finish reason belongs to no answer."""
        self.tokens += 1
        text = f"{self.speaker.word(self.tokens).rstrip()}{addition} "
        if not self.call.has_stopped:
            self.call.text += text
        await self.body(self.voice.text(self.speaker, text, is_first=self.tokens == 1))

    async def wait(self, seconds: float) -> None:
        """Waits, shortened by the pace."""
        await self.wire.wait(seconds * self.pace)


class Step(Protocol):
    """One thing to do."""

    async def play(self, turn: Turn) -> None:
        """Does it. Raises WireClosed when the gateway has left."""
        ...


Script = tuple[Step, ...]
