"""A vendor's row, a config table and a credential made into requests, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from atp_engine.config.models import ProviderConfig
from atp_engine.core.errors import (
    BadUpstreamReply,
    ConfigError,
    UpstreamAuthFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnreachable,
)
from atp_engine.core.types import DeploymentSpec, Dialect
from atp_engine.providers.http import HttpProvider, forwardable
from atp_engine.providers.pooled import PooledTransport
from atp_engine.providers.provider import ProviderCall
from atp_engine.providers.registry import vendor
from tests.support.transports import RunningClock
from tests.support.upstream import SeenRequest, Upstream, answer

NOW = 1_800_000_000.0


@pytest.fixture
async def pooled() -> AsyncIterator[PooledTransport]:
    transport = PooledTransport(RunningClock())
    yield transport
    await transport.aclose()


def provider(transport: PooledTransport, kind: str, key: str | None = "sk-1", **settings: object) -> HttpProvider:
    row = vendor(kind)
    assert row is not None
    config = ProviderConfig.model_validate({"kind": kind, **settings})
    return HttpProvider("mine", row, config, key, transport, lambda: NOW)


def ask(
    body: bytes = b'{"model":"m"}',
    forward: tuple[tuple[bytes, bytes], ...] = (),
    query: bytes = b"",
    dialect: Dialect = Dialect.OPENAI_CHAT,
    *,
    model: str = "m",
    is_stream: bool = False,
) -> ProviderCall:
    spec = DeploymentSpec("mine/m", "mine", model, dialect, 0, 0, True, True, False, 0)
    return ProviderCall(spec, body, is_stream, "req_1", forward, query, 5.0, 0.0, "ttft")


async def seen(upstream: Upstream, provider: HttpProvider, call: ProviderCall) -> SeenRequest:
    response = await provider.open(call)
    await response.read_all(10_000)
    return upstream.requests[-1]


async def test_an_openai_call_has_our_headers_and_the_vendors_path(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        mine = provider(pooled, "groq", base_url=f"{upstream.url}/openai/v1", headers={"X-Team": "blue"})
        request = await seen(upstream, mine, ask())
    assert (request.method, request.target) == ("POST", "/openai/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-team"] == "blue"
    assert request.headers["user-agent"].startswith("atp-console/")
    assert request.body == b'{"model":"m"}'


async def test_an_anthropic_call_has_its_key_header_and_a_version(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        mine = provider(pooled, "anthropic", base_url=f"{upstream.url}/v1")
        request = await seen(upstream, mine, ask())
        assert request.target == "/v1/messages"
        assert request.headers["x-api-key"] == "sk-1"
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert "authorization" not in request.headers
        forward = ((b"anthropic-version", b"2026-10-21"), (b"anthropic-beta", b"a,b"))
        request = await seen(upstream, mine, ask(forward=forward, query=b"beta=true"))
    assert request.target == "/v1/messages?beta=true"
    assert request.head.lower().count(b"anthropic-version") == 1
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["anthropic-beta"] == "a,b"


@pytest.mark.parametrize("query", [b"key=secret", b"xbeta=true", b"beta=a%0d%0ab", b"beta=true/../x", b"api-version=1"])
async def test_no_other_query_goes_up(pooled: PooledTransport, query: bytes) -> None:
    async with Upstream() as upstream:
        request = await seen(upstream, provider(pooled, "anthropic", base_url=f"{upstream.url}/v1"), ask(query=query))
    assert request.target == "/v1/messages"


async def test_azure_gets_its_own_key_header(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        mine = provider(pooled, "azure_openai", base_url=f"{upstream.url}/openai/v1/")
        request = await seen(upstream, mine, ask())
    assert request.target == "/openai/v1/chat/completions"
    assert request.headers["api-key"] == "sk-1"
    assert "authorization" not in request.headers


async def test_a_server_without_a_key_gets_none(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        request = await seen(upstream, provider(pooled, "vllm", None, base_url=upstream.url), ask())
    assert request.target == "/v1/chat/completions"  # a base_url without a path gets the row's
    assert not {"authorization", "x-api-key", "api-key"} & set(request.headers)


async def test_gemini_has_model_and_method_in_the_path_and_its_own_key_header(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        mine = provider(pooled, "gemini", base_url=f"{upstream.url}/v1beta")
        whole = await seen(upstream, mine, ask(model="gemini-2.5-pro", query=b"key=x"))
        streamed = await seen(upstream, mine, ask(model="models/a b/../c?d", is_stream=True))
        compatible = provider(pooled, "gemini", base_url=upstream.url, dialect="openai_chat")
        other = await seen(upstream, compatible, ask())
    assert whole.target == "/v1beta/models/gemini-2.5-pro:generateContent"
    assert whole.headers["x-goog-api-key"] == "sk-1"
    assert "authorization" not in whole.headers
    assert streamed.target == "/v1beta/models/a%20b/../c%3Fd:streamGenerateContent?alt=sse"
    assert (other.target, other.headers["authorization"]) == ("/v1beta/openai/chat/completions", "Bearer sk-1")


@pytest.mark.parametrize("root", ["", "/v1", "/v1/"])
async def test_ollama_is_called_by_its_own_api_or_its_compatible_one(pooled: PooledTransport, root: str) -> None:
    async with Upstream(answer(b'{"models":[{"name":"qwen3:8b"},{"name":""}]}')) as upstream:
        mine = provider(pooled, "ollama", None, base_url=upstream.url + root)
        assert (await seen(upstream, mine, ask())).target == "/api/chat"
        assert await mine.models() == ["qwen3:8b"]
        assert upstream.requests[-1].target == "/api/tags"
        compatible = provider(pooled, "ollama", None, base_url=upstream.url + root, dialect="openai_chat")
        assert (await seen(upstream, compatible, ask())).target == "/v1/chat/completions"


async def test_a_custom_server_may_speak_anthropics_dialect(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        mine = provider(pooled, "custom", base_url=f"{upstream.url}/x", dialect="anthropic")
        request = await seen(upstream, mine, ask(dialect=Dialect.ANTHROPIC))
    assert request.target == "/x/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("sk-1", "2023-06-01")


async def test_what_the_config_sets_the_client_cannot_change(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        own = {"User-Agent": "ours", "Anthropic-Beta": "fixed", "anthropic-version": "2099-01-01"}
        mine = provider(pooled, "anthropic", base_url=f"{upstream.url}/v1", headers=own)
        forward = ((b"anthropic-beta", b"client"), (b"anthropic-version", b"2026-10-21"))
        request = await seen(upstream, mine, ask(forward=forward))
    assert request.headers["user-agent"] == "ours"
    assert request.headers["anthropic-beta"] == "fixed"
    assert request.headers["anthropic-version"] == "2099-01-01"
    assert request.head.lower().count(b"anthropic-version") == 1


async def test_fields_that_a_vendor_refuses_are_left_out_or_renamed(pooled: PooledTransport) -> None:
    body = b'{"model":"m","stream_options":{"include_usage":true},"max_completion_tokens":5,"odd":[1.50,null]}'
    async with Upstream() as upstream:
        mine = provider(pooled, "mistral", base_url=f"{upstream.url}/v1")
        request = await seen(upstream, mine, ask(body))
        assert msgspec.json.decode(request.body) == {"model": "m", "odd": [1.5, None], "max_tokens": 5}
        assert b"1.50" in request.body  # values are kept as they were written
        both = b'{"max_completion_tokens":5,"max_tokens":7}'
        assert (await seen(upstream, mine, ask(both))).body == b'{"max_tokens":7}'
        for untouched in (b'{ "model" : "m" }', b"not json", b"[1]", b"[" * 5_000):
            assert (await seen(upstream, mine, ask(untouched))).body == untouched
        others = provider(pooled, "openai", base_url=f"{upstream.url}/v1")
        assert (await seen(upstream, others, ask(body))).body == body


async def test_failures_name_provider_and_deployment(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        url = upstream.url
    with pytest.raises(UpstreamUnreachable) as caught:
        await provider(pooled, "openai", base_url=url).open(ask())
    assert (caught.value.provider, caught.value.deployment) == ("mine", "mine/m")


async def test_a_credential_that_could_not_be_resolved_is_told_without_a_call(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        mine = provider(pooled, "openai", None, base_url=upstream.url, api_key="env:GONE")
        with pytest.raises(UpstreamAuthFailed) as caught:
            await mine.open(ask())
        assert "GONE" not in caught.value.public_message
        assert upstream.connections == []


@pytest.mark.parametrize("key", ["sk-1\r\nx-evil: 1", "sk-1\n", "sk\x00", "sk-\u20ac"])
async def test_a_credential_that_could_end_a_line_is_refused_without_showing_it(
    pooled: PooledTransport, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        provider(pooled, "openai", key)
    assert "sk" not in str(caught.value)
    assert "providers.mine.api_key" in str(caught.value)


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x\r\ny": "a"}, {"": "a"}, {"x y": "a"}, {"x": "\u20ac"}])
async def test_configured_headers_that_could_end_a_line_are_refused(
    pooled: PooledTransport, headers: dict[str, str]
) -> None:
    with pytest.raises(ConfigError):
        provider(pooled, "openai", headers=headers)


@pytest.mark.parametrize("url", ["http://x:99999/v1", "http://[::1/v1", "http://x/\u20ac", "http://:80/v1"])
async def test_an_address_that_cannot_be_used_is_a_config_error(pooled: PooledTransport, url: str) -> None:
    with pytest.raises(ConfigError):
        provider(pooled, "custom", base_url=url)


@pytest.mark.parametrize("kind", ["azure_openai", "custom"])
async def test_a_kind_without_an_address_needs_one(pooled: PooledTransport, kind: str) -> None:
    with pytest.raises(ConfigError, match="needs a base_url"):
        provider(pooled, kind)


def test_only_listed_headers_are_forwardable() -> None:
    headers = [
        (b"authorization", b"Bearer client"),
        (b"x-api-key", b"client"),
        (b"api-key", b"client"),
        (b"x-goog-api-key", b"client"),
        (b"cookie", b"a=b"),
        (b"host", b"evil"),
        (b"content-length", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"accept-encoding", b"gzip"),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"openai-organization", b"org"),
        (b"user-agent", b"client"),
        (b"accept", b"application/json"),
        (b"traceparent", b"00-a-b-01"),
        (b"idempotency-key", b"k"),
        (b"x-stainless-lang", b"python"),
        (b"x-stainless-", b"odd"),
        (b"x-stainless-a:b", b"odd"),
        (b"openai-beta", b"assistants=v2"),
        (b"anthropic-beta", b"tools"),
        (b"anthropic-version", b"2026-10-21"),
    ]
    common = ["accept", "traceparent", "idempotency-key", "x-stainless-lang"]
    passed = [name.decode() for name, _ in forwardable(Dialect.OPENAI_CHAT, headers)]
    assert passed == [*common, "openai-beta"]
    passed = [name.decode() for name, _ in forwardable(Dialect.ANTHROPIC, headers)]
    assert passed == [*common, "anthropic-beta", "anthropic-version"]


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\x00b", b"a\x7fb", b"x" * 5_000])
def test_values_that_could_end_a_line_are_not_forwarded(value: bytes) -> None:
    assert forwardable(Dialect.ANTHROPIC, [(b"anthropic-beta", value)]) == ()


def test_a_flood_of_headers_is_cut() -> None:
    flood = [(b"x-stainless-%d" % number, b"v") for number in range(1_000)]
    assert len(forwardable(Dialect.OPENAI_CHAT, flood)) == 32


async def test_a_rate_limit_carries_the_wait_from_any_header(pooled: PooledTransport) -> None:
    mine = provider(pooled, "openai")
    body = b'{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}'
    error = mine.classify(429, [(b"retry-after", b"7")], body)
    assert isinstance(error, UpstreamRateLimited)
    assert (error.retry_after_s, error.provider, error.upstream_status) == (7.0, "mine", 429)
    reset = [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"1m30s")]
    assert mine.classify(429, reset, body).retry_after_s == 90.0
    assert mine.classify(429, [(b"retry-after", b"Fri, 15 Jan 2027 08:00:30 GMT")], body).retry_after_s == 30.0


async def test_a_wait_in_words_stands_when_no_header_has_one(pooled: PooledTransport) -> None:
    body = b'{"error":{"message":"Rate limit reached. Please try again in 2.5s.","code":"rate_limit_exceeded"}}'
    assert provider(pooled, "openai").classify(429, [], body).retry_after_s == 2.5


async def test_other_failures_wait_only_when_told_outright(pooled: PooledTransport) -> None:
    mine = provider(pooled, "openai")
    resets = [(b"x-ratelimit-reset-requests", b"1m30s")]
    error = mine.classify(503, resets, b"")
    assert isinstance(error, UpstreamOverloaded)
    assert error.retry_after_s is None
    assert mine.classify(503, [*resets, (b"retry-after", b"3")], b"").retry_after_s == 3.0
    rejected = mine.classify(400, resets, b'{"error":{"message":"bad"}}')
    assert isinstance(rejected, UpstreamRejected)
    assert rejected.retry_after_s is None


async def test_the_model_list_is_read_and_capped(pooled: PooledTransport) -> None:
    rows = [{"id": f"m{number}", "object": "model"} for number in range(1_200)]
    body = msgspec.json.encode({"object": "list", "data": [{"id": ""}, {"id": "x" * 300}, *rows]})
    async with Upstream(answer(body)) as upstream:
        names = await provider(pooled, "openai", base_url=f"{upstream.url}/v1").models()
        assert names[:2] == ["m0", "m1"]
        assert len(names) <= 1_000
        request = upstream.requests[0]
        assert (request.method, request.target) == ("GET", "/v1/models")
        assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data":{}}', b'{"data":[1]}', b'{"data":' + b"[" * 5_000])
async def test_a_model_list_that_is_not_one_is_a_bad_reply(pooled: PooledTransport, body: bytes) -> None:
    async with Upstream(answer(body)) as upstream:
        with pytest.raises(BadUpstreamReply):
            await provider(pooled, "openai", base_url=upstream.url).models()


async def test_a_refused_model_list_has_its_class_and_a_vendor_without_one_has_none(pooled: PooledTransport) -> None:
    async with Upstream(answer(b'{"error":{"message":"no"}}', 401)) as upstream:
        with pytest.raises(UpstreamAuthFailed):
            await provider(pooled, "openai", base_url=upstream.url).models()
        assert await provider(pooled, "zai", base_url=upstream.url).models() == []
        assert len(upstream.requests) == 1
