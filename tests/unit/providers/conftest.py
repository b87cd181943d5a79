"""Provider tests run on the loop of the product; the transport contract also on asyncio's own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from atp_engine.providers.transport import Transport
from tests.support.transports import make_transport
from tests.support.upstream import Authority


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Loops by name."""
    if item.path.name.startswith("test_transport"):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["pooled", "aiohttp"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Each implementation in turn."""
    transport = make_transport(request.param)
    yield transport
    await transport.aclose()
    await asyncio.sleep(0)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One certificate authority for all tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def unix_path() -> Iterator[str]:
    """A path short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="atp") as folder:
        yield f"{folder}/s"
