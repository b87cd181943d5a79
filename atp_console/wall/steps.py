"""The steps that scripts are made of: what the wall's upstream can do to a gateway, one small value each.

`scenarios` lists them in rows, `upstream` plays them on a `Turn`. Seconds are those of the full-time
wall; the turn's pace shortens them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from atp_console.wall.turn import Script, Turn
from atp_console.wall.voices import GRIEVANCES

FLOOD_LIMIT_BYTES = 256 * 1024 * 1024
_HEARD_S = 2.0


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers. `framing` is chunked, length (with `length`) or eof."""

    status: int = 200
    kind: str = ""
    """Content type; the call's usual one when empty."""
    framing: str = "chunked"
    length: int = 0
    headers: tuple[str, ...] = ()

    async def play(self, turn: Turn) -> None:
        """Sends the head."""
        usual = "text/event-stream" if turn.call.is_stream else "application/json"
        turn.framing = self.framing
        frames = {
            "chunked": "transfer-encoding: chunked",
            "length": f"content-length: {self.length}",
            "eof": "connection: close",
        }
        lines = [
            f"HTTP/1.1 {self.status} Said",
            f"content-type: {self.kind or usual}",
            frames[self.framing],
            "x-wall-vendor: inside",
            *self.headers,
        ]
        await turn.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they stand, outside any framing."""

    data: bytes

    async def play(self, turn: Turn) -> None:
        """Sends them."""
        await turn.send(self.data)


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of the body as they stand."""

    data: bytes

    async def play(self, turn: Turn) -> None:
        """Sends them."""
        await turn.body(self.data)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What a vendor sends before the first content."""

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        await turn.body(turn.voice.start(turn.speaker))


@dataclass(frozen=True, slots=True)
class Tokens:
    """So many more tokens, in an event each, `gap_s` apart."""

    count: int
    gap_s: float = 0.05

    async def play(self, turn: Turn) -> None:
        """Sends them."""
        for _ in range(self.count):
            await turn.say("")
            if self.gap_s:
                await turn.wait(self.gap_s)


@dataclass(frozen=True, slots=True)
class Heard:
    """Waits until the caller has all tokens so far: a fault that follows cannot be hidden from it any more.
    A gateway that holds them back is waited for 2 s."""

    async def play(self, turn: Turn) -> None:
        """Waits; no longer than the gateway stays."""
        has_left = turn.wire.has_left
        await turn.log.until(lambda log: turn.call.text in log.heard or has_left.is_set(), _HEARD_S)


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of reasoning before the text."""

    async def play(self, turn: Turn) -> None:
        """Sends it; the text then belongs to the next block."""
        await turn.body(turn.voice.thought(turn.speaker, "hmm"))
        turn.speaker = replace(turn.speaker, block=turn.speaker.block + 1)


@dataclass(frozen=True, slots=True)
class ToolParts:
    """The beginning of a tool call whose arguments never close."""

    async def play(self, turn: Turn) -> None:
        """Sends half an object in three pieces."""
        for place, text in enumerate(('{"city": "Par', 'is", "days"', ": [1, 2")):
            await turn.body(turn.voice.call_part(turn.speaker, text, is_first=place == 0))


@dataclass(frozen=True, slots=True)
class BigToken:
    """One event whose text is this long."""

    size: int

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        await turn.say("x" * self.size)


@dataclass(frozen=True, slots=True)
class Stop:
    """The finish reason with the usage."""

    with_usage: bool = True

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        await turn.body(turn.voice.stop(turn.speaker, turn.tokens, with_usage=self.with_usage))
        turn.call.has_stopped = True


@dataclass(frozen=True, slots=True)
class Done:
    """The terminal event."""

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        await turn.body(turn.voice.done())


@dataclass(frozen=True, slots=True)
class End:
    """The orderly end of the body."""

    async def play(self, turn: Turn) -> None:
        """Ends it as the framing wants."""
        if turn.framing == "chunked":
            await turn.send(b"0\r\n\r\n")
        elif turn.framing == "eof":
            turn.wire.close()


@dataclass(frozen=True, slots=True)
class Malformed:
    """A content event that is not JSON."""

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        await turn.body(turn.voice.malformed())


@dataclass(frozen=True, slots=True)
class BadUtf8:
    """A content event with bytes that are no UTF-8."""

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        event = turn.voice.text(turn.speaker, "@", is_first=turn.tokens == 0)
        await turn.body(event.replace(b"@", b"\xc3\x28"))


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error event inside the stream, in the vendor's shape."""

    kind: str

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        turn.call.is_refusal = True
        await turn.body(turn.voice.complaint(GRIEVANCES[self.kind], turn.canary))


@dataclass(frozen=True, slots=True)
class Wait:
    """Silence."""

    seconds: float

    async def play(self, turn: Turn) -> None:
        """Waits, shortened by the pace."""
        await turn.wait(self.seconds)


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the gateway leaves."""

    async def play(self, turn: Turn) -> None:
        """Waits an hour."""
        await turn.wire.wait(3600.0)


@dataclass(frozen=True, slots=True)
class NeverRead:
    """Reads no further than the request's head."""

    seconds: float

    async def play(self, turn: Turn) -> None:
        """Waits with the socket unread."""
        await turn.wire.wait_unread(self.seconds * turn.pace)
        turn.wire.abort()


@dataclass(frozen=True, slots=True)
class Reset:
    """A TCP reset, after what was sent has had time to arrive."""

    async def play(self, turn: Turn) -> None:
        """Resets."""
        if turn.wire.sent_bytes > turn.call.first_byte:
            await asyncio.sleep(0.05)  # a reset overtakes bytes that were not read yet
        turn.wire.reset()


@dataclass(frozen=True, slots=True)
class HalfClose:
    """FIN, while the connection stays open for reading until the gateway closes too."""

    async def play(self, turn: Turn) -> None:
        """Sends FIN."""
        turn.wire.half_close()
        await turn.wire.wait(3600.0)


@dataclass(frozen=True, slots=True)
class Close:
    """FIN and no more."""

    async def play(self, turn: Turn) -> None:
        """Closes."""
        turn.wire.close()


@dataclass(frozen=True, slots=True)
class Drip:
    """Steps sent one byte at a time."""

    steps: Script

    async def play(self, turn: Turn) -> None:
        """Plays them."""
        turn.is_dripping = True
        for step in self.steps:
            await step.play(turn)
        turn.is_dripping = False


@dataclass(frozen=True, slots=True)
class SlowHead:
    """A head that never ends, one byte every so many seconds."""

    gap_s: float

    async def play(self, turn: Turn) -> None:
        """Sends it until the gateway leaves."""
        await turn.send(b"HTTP/1.1 200 Said\r\nx-slow: ")
        while True:
            await turn.send(b"a")
            await turn.wait(self.gap_s)


@dataclass(frozen=True, slots=True)
class Flood:
    """The same piece for ever, as fast as the gateway takes it or `gap_s` apart; it gives up at 256 MiB."""

    piece: bytes
    is_framed: bool = True
    gap_s: float = 0.0

    async def play(self, turn: Turn) -> None:
        """Sends until the gateway leaves."""
        while turn.call.sent_bytes < FLOOD_LIMIT_BYTES:
            await (turn.body(self.piece) if self.is_framed else turn.send(self.piece))
            await asyncio.sleep(0)
            if self.gap_s:
                await turn.wait(self.gap_s)
        turn.wire.abort()


@dataclass(frozen=True, slots=True)
class EndlessTokens:
    """Good content events without an end, as fast as the gateway takes them."""

    async def play(self, turn: Turn) -> None:
        """Sends until the gateway leaves or 256 MiB are out."""
        while turn.call.sent_bytes < FLOOD_LIMIT_BYTES:
            turn.tokens += 1
            await turn.body(turn.voice.text(turn.speaker, "x" * 1000, is_first=turn.tokens == 1))
            await asyncio.sleep(0)
        turn.wire.abort()
