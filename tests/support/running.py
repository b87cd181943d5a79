"""A whole engine on a temporary directory, in the test's own loop, spoken to over real sockets.

async with running(tmp_path, SIMULATED) as engine:
    answer = await engine.post("/v1/chat/completions", {...})
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from atp_engine.config.load import environment, parse
from atp_engine.config.paths import Paths, default_paths
from atp_engine.core.views import RequestView
from atp_engine.engine import Engine
from atp_engine.providers.aiohttp_transport import AiohttpTransport
from atp_engine.providers.registry import kinds

SIMULATED = """
[server]
port = 0

[providers.simulated]
kind = "simulated"

[deployments.sim-instant]
provider = "simulated"
model = "sim-instant"

[deployments.sim-fast]
provider = "simulated"
model = "sim-fast"

[routes.auto]
deployments = ["sim-instant", "sim-fast"]
"""


def upstream_config(ports: dict[str, int], *, dialect: str = "openai_chat", extra: str = "") -> str:
    """A config with one custom provider and deployment per name, and a route `auto` over them in order."""
    text = "[server]\nport = 0\n"
    for name, port in ports.items():
        text += (
            f'\n[providers.{name}]\nkind = "custom"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
            f'dialect = "{dialect}"\nis_local = true\n'
            f'\n[deployments.{name}]\nprovider = "{name}"\nmodel = "model-{name}"\n'
        )
    listed = ", ".join(f'"{name}"' for name in ports)
    return text + f"\n[routes.auto]\ndeployments = [{listed}]\n{extra}"


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


@dataclass
class Running:
    """A running engine and what a client needs to know of it."""

    engine: Engine
    paths: Paths
    key: str
    admin_token: str
    _views: dict[str, RequestView] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Root address without `/v1`."""
        return self.engine.url

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
        reader, writer = await asyncio.open_connection("127.0.0.1", self.engine.port)
        try:
            writer.write(self.head(method, path, len(body), headers, token=token) + body)
            raw = await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()
        return parse_answer(raw)

    def head(
        self, method: str, path: str, length: int, headers: dict[str, str] | None = None, *, token: str | None = None
    ) -> bytes:
        """The head of a request that closes its connection afterwards."""
        lines = {"host": f"127.0.0.1:{self.engine.port}", "connection": "close", "content-length": str(length)}
        if token is None or token:
            lines["authorization"] = f"Bearer {self.key if token is None else token}"
        if method == "POST":
            lines["content-type"] = "application/json"
        lines |= headers or {}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
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

    async def until(self, is_true: Callable[[], bool], deadline_s: float = 5.0) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(deadline_s):
            while not is_true():
                await asyncio.sleep(0.005)


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


@asynccontextmanager
async def running(folder: Path, toml: str) -> AsyncIterator[Running]:
    """A running engine on `folder`; stopped in an orderly way at the end."""
    config_file = folder / "atp.toml"
    config_file.write_text(toml)
    here = replace(environment(), home=folder, data_dir=folder / "data", config_file=config_file, runtime_dir=None)
    paths = default_paths(here)
    engine = Engine(parse(toml, config_file, kinds()), paths, here, proxied=AiohttpTransport)
    ready = asyncio.Event()
    task = asyncio.create_task(engine.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=15)
    if not ready.is_set():
        waiting.cancel()
        await task
    try:
        yield Running(engine, paths, paths.client_key.read_text().strip(), paths.admin_token.read_text().strip())
    finally:
        engine.request_stop()
        await task
