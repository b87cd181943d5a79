"""Gateways that lie, for the wall's judge: each answers every call with a fixed way of being wrong or right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from atp_console.wall.caller import Target

Reply = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
"""Answers a call for a model."""

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: r1\r\nconnection: close\r\n\r\n"
CHUNK = (
    '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)


@asynccontextmanager
async def gateway(reply: Reply) -> AsyncIterator[Target]:
    """A server that answers with `reply` and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
            )
            model = json.loads(await reader.readexactly(length))["model"]
            await reply(model, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1], "/v1", "a-client-key")
    finally:
        server.close()
        await server.wait_closed()


def says(answer: bytes) -> Reply:
    """Always these bytes."""

    async def reply(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return reply


def relays(port: int, role: str, ending: bytes, *, reads_all: bool = True) -> Reply:
    """Passes on the events of one deployment as far as they come, then adds `ending`."""

    async def reply(model: str, writer: asyncio.StreamWriter) -> None:
        reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"model": f"{model}.{role}", "stream": True, "messages": []}).encode()
        head = f"POST /{model}/{role}/v1/chat/completions HTTP/1.1\r\nhost: u\r\ncontent-length: {len(body)}\r\n\r\n"
        upstream.write(head.encode() + body)
        try:
            got = await reader.read() if reads_all else await reader.readuntil(b"\r\n\r\n")
        finally:
            upstream.close()
        writer.write(STREAM_HEAD)
        for line in got.split(b"\n"):
            if line.startswith(b"data: "):
                writer.write(line + b"\n\n")
        writer.write(ending)

    return reply


def error_answer(status: int, message: str, code: str, *headers: str) -> bytes:
    """An OpenAI error."""
    body = json.dumps({"error": {"message": message, "type": "server_error", "param": None, "code": code}})
    lines = [f"HTTP/1.1 {status} Bad", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
