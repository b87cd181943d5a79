"""A whole engine on a temporary directory, in the test's own loop, spoken to over real sockets.

async with running(tmp_path, SIMULATED) as engine:
    answer = await engine.post("/v1/chat/completions", {...})
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from atp_engine.config.edit import edited
from atp_engine.config.load import environment, parse
from atp_engine.config.paths import Paths, default_paths
from atp_engine.engine import Engine
from atp_engine.providers.aiohttp_transport import AiohttpTransport
from atp_engine.providers.registry import kinds
from tests.support.calls import Calls
from tests.support.until import until

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


class Running(Calls):
    """A running engine and what a client needs to know of it."""

    def __init__(self, engine: Engine, paths: Paths, key: str, admin_token: str) -> None:
        super().__init__(engine.port, key, admin_token)
        self.engine = engine
        self.paths = paths

    @property
    def url(self) -> str:
        """Root address without `/v1`."""
        return self.engine.url

    async def until(self, is_true: Callable[[], bool], deadline_s: float = 5.0) -> None:
        """Waits for something to become true."""
        await until(is_true, deadline_s)


@asynccontextmanager
async def running(folder: Path, toml: str) -> AsyncIterator[Running]:
    """A running engine on `folder`; stopped in an orderly way at the end."""
    config_file = folder / "atp.toml"
    config_file.write_text(toml)
    here = replace(environment(), home=folder, data_dir=folder / "data", config_file=config_file, runtime_dir=None)
    paths = default_paths(here)
    engine = Engine(parse(toml, config_file, kinds()), paths, here, proxied=AiohttpTransport, edit=edited)
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
