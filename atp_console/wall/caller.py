"""The strict caller: one HTTP call over its own socket, every byte of the answer looked at.

It speaks to any gateway. `runner` makes the calls of a scenario with it; it judges nothing but the form
(`seen`), and never waits longer than it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from atp_console.wall.seen import Events, Seen, take_whole

_HEAD_CAP_BYTES = 65_536
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway's address and credential. `prefix` is the path before `/chat/completions`."""

    host: str
    port: int
    prefix: str
    key: str
    is_tls: bool = False

    @classmethod
    def parse(cls, url: str, key: str) -> Target:
        """From a base URL; `/v1` is added where it has no path. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an address such as http://127.0.0.1:4000/v1")
        is_tls = parts.scheme == "https"
        prefix = parts.path.rstrip("/") or "/v1"
        return cls(parts.hostname, parts.port or (443 if is_tls else 80), prefix, key, is_tls)


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: what is asked for, and how the caller behaves."""

    dialect: str
    is_stream: bool
    model: str
    limit_s: float
    prompt_bytes: int = 0
    leave_after_s: float | None = None
    """The caller goes away so many seconds after the first content, or after sending when it waits for none."""
    is_leaving_unanswered: bool = False
    """Goes away without waiting for content."""
    is_reading: bool = True
    """False: nothing is read before it goes away."""
    on_text: Callable[[str], None] = lambda _: None
    """Told the text so far whenever there is more."""


async def call(target: Target, ask: Ask) -> Seen:
    """Makes the call and reads the answer to its end, its limit, or until the caller leaves."""
    seen = Seen(ask.dialect, ask.is_stream)
    started = time.monotonic()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(ask.limit_s):
            tls = ssl.create_default_context() if target.is_tls else None
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=tls, limit=_READ_BYTES)
            writer.write(_request(target, ask))
            if not ask.is_reading:
                await asyncio.sleep(ask.leave_after_s or 0.0)
                seen.end = "left"
            else:
                await _answer(reader, ask, seen, started)
    except TimeoutError:
        seen.end = "hung"
    except (ConnectionError, asyncio.IncompleteReadError, ValueError) as error:
        seen.end = "cut" if writer is not None else "unreachable"
        seen.flaw(f"the connection ended: {error or type(error).__name__}")
    finally:
        seen.end_s = time.monotonic() - started
        if writer is not None:
            writer.transport.abort()
    return seen


def _request(target: Target, ask: Ask) -> bytes:
    prompt = "Say the words." + " more" * (ask.prompt_bytes // 5)
    body: dict[str, object] = {
        "model": ask.model,
        "max_tokens": 512,
        "messages": [{"role": "user", "content": prompt}],
        "stream": ask.is_stream,
    }
    lines = {"host": f"{target.host}:{target.port}", "content-type": "application/json", "accept": "*/*"}
    if ask.dialect == "messages":
        path = "/messages"
        lines |= {"x-api-key": target.key, "anthropic-version": "2023-06-01"}
    else:
        path = "/chat/completions"
        lines |= {"authorization": f"Bearer {target.key}"}
        if ask.is_stream:
            body["stream_options"] = {"include_usage": True}
    payload = json.dumps(body).encode()
    lines["content-length"] = str(len(payload))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {target.prefix}{path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + payload


async def _answer(reader: asyncio.StreamReader, ask: Ask, seen: Seen, started: float) -> None:
    """Reads the answer into `seen`; the caller's own departure ends it early."""
    has_content = asyncio.Event()
    reading = asyncio.ensure_future(_read(reader, ask, seen, started, has_content))
    waiting = asyncio.ensure_future(has_content.wait())
    try:
        if ask.leave_after_s is None:
            await reading
            return
        if not ask.is_leaving_unanswered:
            await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({reading}, timeout=ask.leave_after_s)
        if reading.done():
            await reading
            return
        seen.end = "left"
    finally:
        for task in (waiting, reading):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _read(reader: asyncio.StreamReader, ask: Ask, seen: Seen, started: float, has_content: asyncio.Event) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise ValueError("a head over 64 KiB") from None
    seen.head_s = time.monotonic() - started
    seen.keep(head)
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
        raise ValueError(f"a status line that is none: {first[:80]!r}")
    seen.status = int(rest[:3])
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            seen.flaw(f"a header that is none: {line[:80]!r}")
        seen.headers[name.lower()] = value.strip()
    kind = seen.headers.get("content-type", "")
    if seen.is_stream and seen.status == 200:
        if not kind.startswith("text/event-stream"):
            seen.flaw(f"a stream with content type {kind!r}")
        events = Events(seen)
        async for piece in _body(reader, seen):
            seen.keep(piece)
            events.feed(piece)
            ask.on_text(seen.text)
            if seen.first_s is None and (seen.text or seen.has_tool_call):
                seen.first_s = time.monotonic() - started
                has_content.set()
        events.finish()
    else:
        body = b"".join([piece async for piece in _body(reader, seen)])
        seen.keep(body)
        take_whole(seen, body)
    seen.end = "whole"


async def _body(reader: asyncio.StreamReader, seen: Seen) -> AsyncIterator[bytes]:
    """The body's pieces as they arrive. Raises IncompleteReadError when the connection ends before its end."""
    headers = seen.headers
    if headers.get("transfer-encoding", "").lower() == "chunked":
        if "content-length" in headers:
            seen.flaw("both a length and chunks")
        while True:
            size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            left = size
            while left:
                piece = await reader.read(min(left, _READ_BYTES))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece
            if await reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk without its end")
            if not size:
                return
    elif "content-length" in headers:
        left = int(headers["content-length"])
        while left:
            piece = await reader.read(min(left, _READ_BYTES))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece
    else:
        while piece := await reader.read(_READ_BYTES):
            yield piece
