"""The steps that are a whole answer by themselves: good ones, refusals, and bodies that are not what they say."""

from __future__ import annotations

import struct
import time
import zlib
from dataclasses import dataclass, replace

from atp_console.wall.steps import Done, End, Head, Lifecycle, Stop, Tokens
from atp_console.wall.turn import Script, Step, Turn
from atp_console.wall.voices import GRIEVANCES

_INFLATED_MB = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole error answer. `{date+2}` in a header is the HTTP date two seconds ahead, `{iso+2}` the ISO one."""

    status: int
    kind: str
    headers: tuple[str, ...] = ()

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        turn.call.is_refusal = True
        body = turn.voice.refusal(GRIEVANCES[self.kind], turn.canary)
        ahead = time.gmtime(time.time() + 2.999)
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", ahead)
        iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", ahead)
        headers = tuple(one.replace("{date+2}", date).replace("{iso+2}", iso) for one in self.headers)
        await Head(self.status, "application/json", "length", len(body), headers).play(turn)
        await turn.send(body)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer that is not streamed. `cut` leaves bytes out at its end, `lie` adds to the stated
    length, `into` replaces a piece of it."""

    tokens: int = 12
    cut: int = 0
    lie: int = 0
    kind: str = ""
    into: tuple[bytes, bytes] = (b"", b"")

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        body = turn.voice.whole(turn.speaker, self.tokens)
        if self.into[0]:
            body = body.replace(*self.into, 1)
        if self.cut:
            body = body[: -self.cut]
        is_sound = not self.cut and not self.lie and not self.into[0]
        turn.call.text = turn.speaker.words(self.tokens) if is_sound else ""
        turn.call.has_stopped = is_sound
        await Head(200, self.kind, "length", len(body) + self.lie).play(turn)
        await turn.send(body)
        if self.lie > 0:
            turn.wire.close()


@dataclass(frozen=True, slots=True)
class Healthy:
    """A good answer, streamed or whole as the call wants it."""

    tokens: int = 12

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        steps: Script = (Whole(self.tokens),)
        if turn.call.is_stream:
            steps = (Head(), Lifecycle(), Tokens(self.tokens, 0.0), Stop(), Done(), End())
        for step in steps:
            await step.play(turn)


@dataclass(frozen=True, slots=True)
class NoPrefill:
    """A good answer, unless the last message is the assistant's: then the refusal of such models."""

    async def play(self, turn: Turn) -> None:
        """Sends one of both."""
        step: Step = Refusal(400, "prefill") if turn.call.last_role == "assistant" else Healthy()
        await step.play(turn)


@dataclass(frozen=True, slots=True)
class GzipBomb:
    """A body declared as gzip that inflates to 64 MiB."""

    async def play(self, turn: Turn) -> None:
        """Sends about 64 KiB."""
        packed = _bomb()
        await Head(framing="length", length=len(packed), headers=("content-encoding: gzip",)).play(turn)
        await turn.send(packed)


@dataclass(frozen=True, slots=True)
class WholeUntilClose:
    """A good whole answer without a length: it ends with the connection."""

    async def play(self, turn: Turn) -> None:
        """Sends it and closes."""
        turn.call.text = turn.speaker.words(12)
        turn.call.has_stopped = True
        await Head(framing="eof").play(turn)
        await turn.send(turn.voice.whole(turn.speaker, 12))
        turn.wire.close()


@dataclass(frozen=True, slots=True)
class EarlyRefusal:
    """A refusal that is sent before the request's body was read; then the connection closes."""

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        turn.wire.stop_reading()
        await Refusal(429, "rate", ("connection: close",)).play(turn)
        turn.wire.close()


@dataclass(frozen=True, slots=True)
class OddEvents:
    """A good stream as few servers write it: byte order mark, comments, CRLF, no space after the colon."""

    async def play(self, turn: Turn) -> None:
        """Sends it."""
        await Head().play(turn)
        await turn.body(b"\xef\xbb\xbf: hello\r\n\r\n")
        odd = replace(turn, is_odd=True)
        for step in (Lifecycle(), Tokens(12), Stop(), Done(), End()):
            await step.play(odd)


def _bomb() -> bytes:
    """A valid gzip file of spaces, made of one packed block again and again."""
    blank = b" " * (1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(_INFLATED_MB):
        checksum = zlib.crc32(blank, checksum)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return head + block * _INFLATED_MB + b"\x03\x00" + struct.pack("<II", checksum, _INFLATED_MB << 20)
