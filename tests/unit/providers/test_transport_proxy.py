"""The aiohttp transport through HTTP and SOCKS proxies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from atp_engine.core.errors import UpstreamTimeout, UpstreamUnreachable
from atp_engine.providers.aiohttp_transport import AiohttpTransport
from tests.support.proxies import HttpProxy, SocksProxy
from tests.support.transports import RunningClock, call, failing
from tests.support.upstream import Authority, Upstream, chunked, say_nothing


@asynccontextmanager
async def through(proxy: str) -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(RunningClock(), proxy)
    try:
        yield transport
    finally:
        await transport.aclose()
        await asyncio.sleep(0.01)


@pytest.fixture(params=["http", "socks5", "socks5h"])
async def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kind: str, password: str = "") -> HttpProxy | SocksProxy:
    return HttpProxy(password) if kind == "http" else SocksProxy(password)


async def test_a_plain_call_goes_through_the_proxy(kind: str) -> None:
    async with Upstream(chunked(b"ok")) as upstream, make(kind) as proxy, through(proxy.url(kind)) as transport:
        for _ in range(2):
            response = await transport.open(call(upstream.origin(), b"hello"))
            assert await response.read_all(10) == b"ok"
        assert [request.body for request in upstream.requests] == [b"hello", b"hello"]
        assert len(proxy.asked) == 1


async def test_a_tls_call_is_tunnelled_and_verified(kind: str, authority: Authority) -> None:
    async with (
        Upstream(chunked(b"ok"), tls=authority.server, ca_file=authority.ca_file) as upstream,
        make(kind, "pw") as proxy,
        through(proxy.url(kind, "pw")) as transport,
    ):
        response = await transport.open(call(upstream.origin(host="localhost")))
        assert await response.read_all(10) == b"ok"
        assert len(proxy.asked) == 1


async def test_a_tunnel_to_an_untrusted_upstream_is_refused(kind: str, authority: Authority) -> None:
    async with (
        Upstream(tls=authority.server) as upstream,
        make(kind) as proxy,
        through(proxy.url(kind)) as transport,
    ):
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin()))
        assert upstream.requests == []


async def test_only_socks5h_lets_the_proxy_resolve_names() -> None:
    for scheme, word in (("socks5", "address"), ("socks5h", "name")):
        async with Upstream() as upstream, SocksProxy() as proxy, through(proxy.url(scheme)) as transport:
            response = await transport.open(call(upstream.origin(host="localhost")))
            await response.read_all(10)
            assert proxy.asked[0].split()[0] == word


async def test_a_proxy_that_refuses_or_is_gone_is_unreachable(kind: str, authority: Authority) -> None:
    async with Upstream(tls=authority.server, ca_file=authority.ca_file) as upstream:
        async with make(kind, "pw") as proxy:
            async with through(proxy.url(kind, "wrong")) as transport:
                with failing(UpstreamUnreachable):
                    await transport.open(call(upstream.origin()))
            gone = proxy.url(kind, "pw")
        async with through(gone) as transport:
            with failing(UpstreamUnreachable):
                await transport.open(call(upstream.origin()))
        assert upstream.requests == []


async def test_an_upstream_that_the_proxy_cannot_reach_is_unreachable() -> None:
    async with Upstream() as upstream:
        origin = upstream.origin()
    async with SocksProxy() as proxy, through(proxy.url()) as transport:
        with failing(UpstreamUnreachable):
            await transport.open(call(origin))


async def test_a_proxy_that_says_nothing_is_a_connect_timeout(kind: str) -> None:
    async with Upstream(on_connect=say_nothing) as silent:
        url = f"{kind}://127.0.0.1:{silent.port}"
        async with through(url) as transport:
            limit = "ttft" if kind == "http" else "connect"
            with failing(UpstreamTimeout, limit=limit):
                await transport.open(call(silent.origin(), connect_s=0.2 if kind != "http" else 5.0, within_s=0.5))
        await silent.until(lambda it: it.open_count == 0)
