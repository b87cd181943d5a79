"""The same mistakes on every path that takes calls: a 4xx in the caller's shape that names the field, not forwarded."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.support.calls import Answer
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Upstream, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = [{"role": "user", "content": "hi"}]
PARTS = [{"role": "user", "parts": [{"text": "hi"}]}]
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
PICTURE = "iVBORw0KGgo" + "A" * 14_000_000
"""The base64 of more than ten megabytes."""


class Surface(NamedTuple):
    """A path, a good body, and where things stand in it."""

    path: str
    good: dict[str, Any]
    said: str
    """The member that holds what is said."""
    role: Any = None
    """What is said by nobody known."""
    result: Any = None
    """What is said when a tool's result answers no call."""
    tool: Any = None
    picture: Any = None


def _claude_picture(data: str) -> Any:
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return [{"role": "user", "content": [{"type": "image", "source": source}]}]


URL = "data:image/png;base64," + PICTURE
SURFACES = (
    Surface(
        "/v1/chat/completions", {"model": "auto", "messages": USER}, "messages",
        [{"role": "robot", "content": "x"}], [*USER, {"role": "tool", "tool_call_id": "c", "content": "x"}],
        {"type": "function", "function": FUNCTION},
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}],
    ),
    Surface(
        "/v1/messages", {"model": "auto", "max_tokens": 9, "messages": USER}, "messages",
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x"}]}],
        {"name": "f", "input_schema": {"type": "object"}}, _claude_picture(PICTURE),
    ),
    Surface(
        "/v1/responses", {"model": "auto", "input": USER}, "input", [{"role": "robot", "content": "x"}],
        [*USER, {"type": "function_call_output", "call_id": "c", "output": "x"}], {"type": "function", **FUNCTION},
        [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}],
    ),
    Surface("/v1/completions", {"model": "auto", "prompt": "hi"}, "prompt"),
    Surface("/v1/embeddings", {"model": "vectors", "input": "hi"}, "input"),
    Surface(
        "/v1beta/models/auto:generateContent", {"contents": PARTS}, "contents", [{"role": "robot", "parts": []}],
        [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}],
        {"functionDeclarations": [FUNCTION]},
        [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}],
    ),
    Surface("/v1/models/vectors:batchEmbedContents", {"requests": [{"content": PARTS[0]}]}, "requests"),
    Surface("/v1beta/models/vectors:embedContent", {"content": PARTS[0]}, "content"),
    Surface(
        "/api/chat", {"model": "auto", "messages": USER, "stream": False}, "messages",
        [{"role": "robot", "content": "x"}], [*USER, {"role": "tool", "content": "x"}],
        {"type": "function", "function": FUNCTION}, [{"role": "user", "content": "", "images": [PICTURE]}],
    ),
    Surface("/api/generate", {"model": "auto", "prompt": "hi", "stream": False}, "prompt"),
    Surface("/api/embed", {"model": "vectors", "input": "hi"}, "input"),
)  # fmt: skip
EMPTY: dict[str, Any] = {"prompt": "", "content": {"parts": []}}
"""Nothing said, where that is no empty list."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Running, Upstream]]:
    """An engine in front of Anthropic, that all but one surface is translated for, and a place for vectors."""
    async with Upstream(answer(b'{"error":{"message":"seen"}}', 422)) as upstream:
        config = upstream_config({"up": upstream.port}, dialect="anthropic")
        config = config.replace("port = 0", "port = 0\nmax_body_bytes = 33554432")
        config += f"""
[providers.open]
kind = "custom"
base_url = "http://127.0.0.1:{upstream.port}/v1"
[deployments.vectors]
provider = "open"
model = "text-embedding-up"
"""
        async with running(tmp_path_factory.mktemp("everywhere"), config) as engine:
            yield engine, upstream


def _told(answer: Answer, path: str, field: str) -> None:
    """A 400 in the shape of the path, which names the field."""
    assert answer.status == 400, (path, field, answer.body[:300])
    told = answer.json()
    assert field in json.dumps(told), (path, told)
    if path == "/v1/messages":
        assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    elif path.startswith("/api/"):
        assert isinstance(told["error"], str)
    elif ":" in path:
        assert told["error"]["status"] == "INVALID_ARGUMENT"
    else:
        assert told["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("surface", SURFACES, ids=[surface.path for surface in SURFACES])
async def test_every_mistake_is_named_and_goes_no_further(scene: tuple[Running, Upstream], surface: Surface) -> None:
    engine, upstream = scene
    path, good, said = surface.path, surface.good, surface.said
    upstream.requests.clear()
    for wrong in (5, True, {"x": 1} if said != "content" else "x", None, EMPTY.get(said, [])):
        _told(await engine.post(path, good | {said: wrong}), path, said)
    if "model" in good:
        for wrong in (5, "", None, ["auto"]):
            _told(await engine.post(path, good | {"model": wrong}), path, "model")
    if surface.role is not None:
        _told(await engine.post(path, good | {said: surface.role}), path, "role")
    if surface.result is not None and path != "/v1/messages":  # Anthropic itself judges its own
        _told(await engine.post(path, good | {said: surface.result}), path, said)
    raw = json.dumps(good).encode()
    deep = b"[" * 100_000 + b"]" * 100_000
    for body, word in (
        (b"", "JSON"), (raw[:-2], "JSON"), (b"[" + raw + b"]", "object"), (b"\xef\xbb\xbf" + raw, "byte order mark"),
        (raw.replace(b"hi", b"\xff"), "UTF-8"), (raw[:-1] + b',"temperature":NaN}', "JSON"),
        (raw[:-1] + b',"x":' + deep + b"}", ""), (b'{"%b":%b}' % (said.encode(), deep), ""),
    ):  # fmt: skip
        _told(await engine.call("POST", path, body), path, word)
    squeezed = await engine.call("POST", path, gzip.compress(raw), {"content-encoding": "gzip"})
    _told(squeezed, path, "compressed")
    assert upstream.requests == []


@pytest.mark.parametrize("surface", SURFACES, ids=[surface.path for surface in SURFACES])
async def test_what_is_only_odd_or_large_reaches_the_vendor(scene: tuple[Running, Upstream], surface: Surface) -> None:
    """The upstream refuses with 422, which nobody else does."""
    engine, upstream = scene
    path, good = surface.path, surface.good
    upstream.requests.clear()
    raw = json.dumps(good).encode()
    first = b'{"%b":%b,' % (surface.said.encode(), json.dumps(good[surface.said]).encode())
    bodies = [first + raw[1:], raw.replace(b"hi", b"a\\ud800b"), raw.replace(b"hi", b"a\\u0000b")]
    if surface.tool is not None:
        bodies.append(json.dumps(good | {"tools": [surface.tool] * 200}).encode())
    if surface.picture is not None:
        bodies.append(json.dumps(good | {surface.said: surface.picture}).encode())
    for number, body in enumerate(bodies, start=1):
        told = await engine.call("POST", path, body)
        assert told.status == 422, (path, number, told.status, told.body[:300])
        assert len(upstream.requests) == number
        assert b"\\ud800" not in upstream.requests[-1].body
        json.loads(upstream.requests[-1].body)
