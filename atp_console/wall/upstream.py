"""The wall's upstream: one port at which every scenario misbehaves as its script says.

The path chooses the scenario (`/<case>/<role>/v1/chat/completions`), or the model's name
(`<case>.<role>`) where a gateway cannot be given a path. It logs every call; `runner` hands the log to
the judge. Scripts are data: see `scenarios` and `steps`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from atp_console.wall.answers import EarlyRefusal, Refusal
from atp_console.wall.steps import NeverRead
from atp_console.wall.turn import Call, CaseLog, Script, Turn
from atp_console.wall.voices import VOICES, Speaker
from atp_console.wall.wire import Wire, WireClosed

HEAD_CAP_BYTES = 65_536
UPSTREAM_KEY = "sk-wall-4f9a1c7be2d84c55"
"""What the gateway should send as its credential; no caller may ever see it."""
_UNKNOWN: Script = (Refusal(404, "invalid"),)


@dataclass(frozen=True, slots=True)
class Scene:
    """How one role of a scenario behaves: a script per call, the last one for ever. With `down_s`
    the first script is played until so many seconds after the first call, then the last."""

    scripts: tuple[Script, ...]
    down_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    length: int
    is_chunked: bool


class WallUpstream:
    """The server; `scenes` maps (case, role) to behaviour, `pace` shortens every wait."""

    def __init__(self, scenes: Mapping[tuple[str, str], Scene], pace: float, listener: socket.socket) -> None:
        """`listener` is bound already, so that the gateway can be configured before this starts."""
        self._scenes = scenes
        self._pace = pace
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._canary = f" (trace http://127.0.0.1:{self.port}/internal, key {UPSTREAM_KEY})"
        self._logs: dict[str, CaseLog] = {}
        self._wires: list[Wire] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Wire(len(self._wires), self._serve), sock=self._listener, backlog=2048
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self._wires:
            wire.abort()
        await asyncio.sleep(0)

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return len(self._wires)

    def log(self, case: str) -> CaseLog:
        """The log of a case."""
        return self._logs.setdefault(case, CaseLog())

    def _serve(self, wire: Wire) -> None:
        self._wires.append(wire)
        task = asyncio.get_running_loop().create_task(self._answer_all(wire), name=f"wall-wire-{wire.number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_all(self, wire: Wire) -> None:
        try:
            while not wire.is_over:
                request = _parse(await wire.read_until(b"\r\n\r\n", HEAD_CAP_BYTES))
                case, role = self._named(request.path)
                if not self._reads(case, role):
                    await self._play(wire, case, role, request.path, {})
                    continue
                body = _json(await _read_body(wire, request))
                model = str(body.get("model", ""))
                if not case:
                    case, _, role = model.rpartition(".")
                await self._play(wire, case, role, request.path, body)
        except (WireClosed, ValueError):
            wire.abort()

    async def _play(self, wire: Wire, case: str, role: str, path: str, body: dict[str, Any]) -> None:
        log = self.log(case)
        earlier = log.by(role)
        messages = body.get("messages")
        call = Call(
            case=case,
            role=role,
            number=len(earlier) + 1,
            connection=wire.number,
            arrived_at=time.monotonic(),
            model=str(body.get("model", "")),
            is_stream=bool(body.get("stream", False)),
            last_role=str(messages[-1].get("role", "")) if isinstance(messages, list) and messages else "",
            wire=wire,
            first_byte=wire.sent_bytes,
        )
        log.calls.append(call)
        log.changed.set()
        wire.on_leave = log.changed.set
        voice = VOICES["messages" if path.endswith("/messages") else "chat"]
        turn = Turn(call, log, wire, voice, Speaker(role, call.number, call.model), self._pace, self._canary)
        try:
            for step in self._script(case, role, call, earlier):
                await step.play(turn)
            call.ended_at = time.monotonic()
        except WireClosed:
            call.left_at = wire.left_at or time.monotonic()
            raise
        finally:
            log.changed.set()

    def _script(self, case: str, role: str, call: Call, earlier: list[Call]) -> Script:
        scene = self._scenes.get((case, role))
        if scene is None:
            return _UNKNOWN
        if scene.down_s:
            is_down = not earlier or call.arrived_at < earlier[0].arrived_at + scene.down_s * self._pace
            return scene.scripts[0 if is_down else -1]
        return scene.scripts[min(call.number, len(scene.scripts)) - 1]

    def _named(self, path: str) -> tuple[str, str]:
        """Case and role of a path, empty when it names none."""
        parts = path.split("/")
        if len(parts) > 3 and (parts[1], parts[2]) in self._scenes:
            return parts[1], parts[2]
        return "", ""

    def _reads(self, case: str, role: str) -> bool:
        """False for a role that does not even read the request."""
        scene = self._scenes.get((case, role))
        return scene is None or not any(isinstance(step, NeverRead | EarlyRefusal) for step in scene.scripts[0])


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises OSError when the address is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _parse(head: bytes) -> _Request:
    """Raises ValueError on what is no HTTP request."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    _, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    path = target.partition("?")[0]
    is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    return _Request(path, int(headers.get("content-length", "0")), is_chunked)


async def _read_body(wire: Wire, request: _Request) -> bytes:
    if not request.is_chunked:
        return await wire.read_exactly(request.length)
    body = b""
    while size := int(await wire.read_until(b"\r\n", 64), 16):
        body += await wire.read_exactly(size)
        await wire.read_exactly(2)
    await wire.read_exactly(2)
    return body


def _json(body: bytes) -> dict[str, Any]:
    read = json.loads(body) if body else {}
    if not isinstance(read, dict):
        raise ValueError("a request is an object")
    return read
