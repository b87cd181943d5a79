"""What Gemini CLI does beyond single calls: a kept connection, and answers of functions told twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.clients.stand_in import script
from tests.support.running import running, upstream_config
from tests.support.upstream import Upstream

PATH = "/v1beta/models/auto:streamGenerateContent?alt=sse"


async def test_a_kept_connection_goes_on_in_events(tmp_path: Path) -> None:
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).encode()
    async with Upstream(script) as upstream, running(tmp_path, upstream_config({"a": upstream.port})) as engine:
        head = engine.head("POST", PATH, len(body), {"connection": ""})
        async with engine.connection() as (reader, writer):
            for _ in range(3):
                writer.write(head + body)
                told = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 5)
                assert b"content-type: text/event-stream" in told
                assert b"\r\ndata: {" in told


async def test_a_function_answered_twice_is_carried_once_and_said_to_be(tmp_path: Path) -> None:
    call = {"functionCall": {"id": "call_1", "name": "run", "args": {}}}
    said = {"functionResponse": {"id": "call_1", "name": "run", "response": {"output": "42"}}}
    tools = [{"functionDeclarations": [{"name": "run", "parameters": {"type": "object"}}]}]
    first = {"role": "user", "parts": [{"text": "go"}]}
    turns: list[list[dict[str, Any]]] = [
        [{"role": "user", "parts": [said, said]}],
        [{"role": "user", "parts": [said]}, {"role": "user", "parts": [said]}],
    ]
    async with Upstream(script) as upstream, running(tmp_path, upstream_config({"a": upstream.port})) as engine:
        for told in turns:
            contents = [first, {"role": "model", "parts": [call]}, *told]
            answer = await engine.post("/v1beta/models/auto:generateContent", {"contents": contents, "tools": tools})
            assert answer.status == 200, answer.body
            sent = json.loads(upstream.requests[-1].body)["messages"]
            assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
            assert "contents[].parts[].functionResponse" in answer.headers["x-atp-dropped-fields"]
        other = {"functionResponse": {"id": "call_9", "name": "run", "response": {}}}
        contents = [first, {"role": "model", "parts": [call]}, {"role": "user", "parts": [other]}]
        refused = await engine.post("/v1beta/models/auto:generateContent", {"contents": contents, "tools": tools})
        assert refused.status == 400
