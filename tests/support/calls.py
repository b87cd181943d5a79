"""HTTP calls to an engine over real sockets, byte for byte: what `running` and `process` give to tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

ANSWER_S = 20.0


@dataclass
class Answer:
    """A whole HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The JSON of a stream's data lines, `[DONE]` as text."""
        lines = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


class Calls:
    """Calls to one engine with its first key and its admin token."""

    def __init__(self, port: int, key: str, admin_token: str, host: str = "127.0.0.1") -> None:
        self.port = port
        self.key = key
        self.admin_token = admin_token
        self.host = host

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        token: str | None = None,
    ) -> Answer:
        """One HTTP call on a connection of its own; `token` None is the client key, empty sends none."""
        return parse_answer(await self.raw(self.head(method, path, len(body), headers, token=token) + body))

    async def raw(self, *pieces: bytes, within_s: float = ANSWER_S) -> bytes:
        """Sends the pieces on a connection of their own and reads until the engine closes it."""
        async with self.connection() as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await asyncio.wait_for(reader.read(), within_s)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """An open connection, closed at the end of the block."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    def head(
        self,
        method: str,
        path: str,
        length: int | None,
        headers: dict[str, str] | None = None,
        *,
        token: str | None = None,
    ) -> bytes:
        """The head of a request that closes its connection afterwards; `headers` replace the usual ones,
        and an empty value leaves one out. `length` None sends none."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = {"host": f"{host}:{self.port}", "connection": "close"}
        if length is not None:
            lines["content-length"] = str(length)
        if token is None or token:
            lines["authorization"] = f"Bearer {self.key if token is None else token}"
        if method == "POST":
            lines["content-type"] = "application/json"
        lines |= headers or {}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode()

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """Posts JSON with the client key."""
        return await self.call("POST", path, json.dumps(body).encode(), headers)

    async def admin(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Calls the admin API with the admin token."""
        return await self.call(method, path, body, token=self.admin_token)

    async def request(self, request_id: str) -> Any:
        """The admin API's detail of a request."""
        answer = await self.admin("GET", f"/admin/requests/{request_id}")
        assert answer.status == 200, answer.body
        return answer.json()

    async def status(self) -> Any:
        """The engine's vital signs."""
        return (await self.admin("GET", "/admin/status")).json()


def parse_answer(raw: bytes) -> Answer:
    """An HTTP/1.1 answer from its bytes; a chunked body is joined."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body += rest[:length]
            rest = rest[length + 2 :]
            if not length:
                break
        rest = body
    return Answer(int(first.split(" ")[1]), headers, rest)


def parse_answers(raw: bytes) -> list[Answer]:
    """The answers of one connection, each with its content-length."""
    answers = []
    while raw:
        answer = parse_answer(raw)
        length = int(answer.headers["content-length"])
        answers.append(Answer(answer.status, answer.headers, answer.body[:length]))
        raw = answer.body[length:]
    return answers


def chunks(*pieces: bytes) -> Iterable[bytes]:
    """The pieces as chunks of a chunked body, without the last, empty one."""
    return (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
