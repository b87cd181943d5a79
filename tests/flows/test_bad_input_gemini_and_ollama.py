"""Mistaken and hostile calls to Gemini's and Ollama's paths: refused in their shapes, by name, nothing forwarded."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.calls import Answer
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Upstream, answer
from tests.support.wire_cases_gemini import HELLO, call, response, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

GENERATE = "/v1beta/models/auto:generateContent"
CHAT = "/api/chat"
HI = [{"role": "user", "content": "hi"}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Running, Upstream]]:
    """An engine in front of an upstream that must never be asked, of a third dialect: all is translated."""
    async with Upstream(answer(b"{}")) as upstream:
        config = upstream_config({"up": upstream.port}).replace("port = 0", "port = 0\nmax_body_bytes = 1048576")
        folder: Path = tmp_path_factory.mktemp("bad")
        async with running(folder, config) as engine:
            yield engine, upstream


def _check(answer: Answer, path: str, status: int, field: str) -> None:
    error = answer.json()["error"]
    assert answer.status == status, answer.body
    assert answer.headers["x-atp-request-id"].startswith("req_")
    if path.startswith("/api/"):
        assert field in error
        return
    assert error["code"] == status
    assert error["status"].isupper()
    fields = [one["field"] for detail in error["details"] for one in detail.get("fieldViolations", ())]
    assert not field or field in fields or field in error["message"], error


GEMINI: list[tuple[Any, str]] = [
    ({}, "contents"),
    ({"contents": []}, "contents"),
    ({"contents": "hi"}, "contents"),
    ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
    ({"contents": [{"parts": "hi"}]}, "contents[0].parts"),
    ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0].text"),
    ({"contents": [{"parts": [{"text": 1}]}]}, "text"),
    ({"contents": [said({"inlineData": {"data": "AAAA"}})]}, "contents[0].parts[0].inlineData.mimeType"),
    ({"contents": [said({"inlineData": {"mimeType": "image/png"}})]}, "contents[0].parts[0].inlineData.data"),
    ({"contents": [said({"fileData": {"fileUri": "file:///etc/passwd"}})]}, "contents[0].parts[0].fileData"),
    ({"contents": [said(response("weather", {}))]}, "contents[0].parts[0].functionResponse.name"),
    ({"contents": [said({"functionCall": {"args": {}}}, role="model")]}, "contents[0].parts[0].functionCall.name"),
    ({"contents": [said(call("f", [1]), role="model")]}, "contents[0].parts[0].functionCall.args"),  # type: ignore[arg-type]
    ({"contents": HELLO, "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ({"contents": HELLO, "tools": "all"}, "tools"),
    ({"contents": HELLO, "generationConfig": {"maxOutputTokens": -1}}, "generationConfig.maxOutputTokens"),
    ({"contents": HELLO, "generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
    ({"contents": HELLO, "generationConfig": {"topK": 1e30}}, "generationConfig.topK"),
    ({"contents": HELLO, "generationConfig": {"responseSchema": []}}, "generationConfig.responseSchema"),
    ({"contents": HELLO, "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences"),
    (
        {"contents": HELLO, "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
        "toolConfig.functionCallingConfig.mode",
    ),
    ({"contents": HELLO, "systemInstruction": {"parts": [{"inlineData": {}}]}}, "systemInstruction.parts[0].text"),
]
OLLAMA: list[tuple[str, Any, str]] = [
    (CHAT, {"messages": HI}, "model"),
    (CHAT, {"model": "", "messages": HI}, "model"),
    (CHAT, {"model": "auto"}, "messages"),
    (CHAT, {"model": "auto", "messages": []}, "messages"),
    (CHAT, {"model": "auto", "messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    (CHAT, {"model": "auto", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
    (
        CHAT,
        {"model": "auto", "messages": [{"role": "user", "content": "x", "images": ["no"]}]},
        "messages[0].images[0]",
    ),
    (CHAT, {"model": "auto", "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_name"),
    (CHAT, {"model": "auto", "messages": HI, "stream": "yes"}, "stream"),
    (CHAT, {"model": "auto", "messages": HI, "format": "xml"}, "format"),
    (CHAT, {"model": "auto", "messages": HI, "think": "deeply"}, "think"),
    (CHAT, {"model": "auto", "messages": HI, "tools": [{}]}, "tools[0].function"),
    (CHAT, {"model": "auto", "messages": HI, "options": {"temperature": "hot"}}, "options.temperature"),
    ("/api/generate", {"model": "auto"}, "prompt"),
    ("/api/generate", {"model": "auto", "prompt": 1}, "prompt"),
    ("/api/generate", {"model": "auto", "prompt": "x", "raw": True}, "raw"),
    ("/api/generate", {"model": "auto", "prompt": "x", "suffix": "y"}, "suffix"),
    ("/api/generate", {"model": "auto", "prompt": "x", "images": "y"}, "images"),
    ("/api/show", {}, "model"),
    ("/api/show", {"model": 1}, "model"),
]
PATHS = [GENERATE, GENERATE.replace("generate", "streamGenerate"), "/v1/models/auto:countTokens", CHAT, "/api/generate"]
BODIES = [
    b"",
    b"not json",
    b"[]",
    b'"x"',
    b"null",
    b"}",
    b"{",
    b'{"contents":[{"parts":[{"text":"a}',
    b"\xef\xbb\xbf{}",
    b'{"a":"\xff"}',
    b'{"contents":NaN,"model":NaN}',
    b'{"messages":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"contents":' + b'{"parts":' * 3000 + b"1" + b"}" * 3000 + b"}",
]


async def test_every_wrong_field_is_named_and_nothing_goes_up(scene: tuple[Running, Upstream]) -> None:
    engine, upstream = scene
    for body, field in GEMINI:
        _check(await engine.post(GENERATE, body), GENERATE, 400, field)
    for path, body, field in OLLAMA:
        _check(await engine.post(path, body), path, 400, field)
    assert upstream.requests == []


async def test_bodies_that_are_none_are_refused_everywhere(scene: tuple[Running, Upstream]) -> None:
    engine, upstream = scene
    for path in PATHS:
        for body in BODIES:
            _check(await engine.call("POST", path, body), path, 400, "")
        squeezed = await engine.call("POST", path, gzip.compress(b"{}"), {"content-encoding": "gzip"})
        _check(squeezed, path, 400, "compressed")
        _check(await engine.call("POST", path, b" " * 1_048_577), path, 413, "limit")
        _check(await engine.call("POST", path, b"{}", token="wrong"), path, 401, "key")
        _check(await engine.call("POST", path, b"{}", token=""), path, 401, "key")
    assert upstream.requests == []


async def test_paths_and_keys_that_are_none_are_refused(scene: tuple[Running, Upstream]) -> None:
    engine, upstream = scene
    body = json.dumps({"contents": HELLO}).encode()
    for model, status in (("nope", 404), ("", 400), ("%ff%00", 404), ("a" * 300, 400), ("models%2Fx", 404)):
        path = f"/v1beta/models/{model}:generateContent"
        _check(await engine.call("POST", path, body), path, status, "")
    for path in ("/v1beta/models/auto:predict", "/v1/models/auto:embedText", "/v1beta/files"):
        _check(await engine.call("POST", path, body), path, 404, "")
    _check(await engine.call("POST", f"{GENERATE}?key=wrong", body, token=""), GENERATE, 401, "key")
    _check(await engine.call("POST", f"{GENERATE}?key=wrong", body), GENERATE, 401, "key")
    _check(await engine.call("GET", GENERATE), GENERATE, 404, "")
    _check(await engine.call("GET", CHAT), CHAT, 405, "")
    assert upstream.requests == []


async def test_a_key_in_the_query_serves_and_is_kept_nowhere(scene: tuple[Running, Upstream]) -> None:
    engine, upstream = scene
    body = json.dumps({"contents": HELLO, "model": "models/other", "stream": True}).encode()
    answer = await engine.call("POST", f"{GENERATE}?key={engine.key}", body, token="")
    assert answer.status == 502, "the upstream's empty answer, so the call went through"
    sent = upstream.requests.pop()
    upstream.requests.clear()
    assert "stream" not in json.loads(sent.body), "the path's word counts, not the body's"
    assert engine.key.encode() not in sent.head + sent.body
    assert json.loads(sent.body)["model"] == "model-up"
    shown = await engine.request(answer.headers["x-atp-request-id"])
    assert engine.key not in json.dumps(shown)
    assert shown["request"]["asked"] == "auto"
    for file in engine.paths.data_dir.rglob("*"):
        if file.is_file() and file != engine.paths.client_key:
            assert engine.key.encode() not in file.read_bytes(), file
