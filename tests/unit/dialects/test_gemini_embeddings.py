"""Embeddings between OpenAI's shape and Gemini's: texts, sizes, vectors and counts."""

from __future__ import annotations

import json
from base64 import b64encode
from struct import pack
from typing import Any

import pytest

from atp_engine.core.errors import ATPError, BadUpstreamReply, UnsupportedFeature
from atp_engine.core.types import Dialect
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.facts import read_facts

OPENAI, GEMINI = Dialect.OPENAI_EMBEDDINGS, Dialect.GEMINI_EMBEDDINGS


def _one(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "models/x", "content": {"parts": [{"text": text}]}, **more}


def _batch(*requests: Any) -> bytes:
    return json.dumps({"model": "auto", "requests": list(requests)}).encode()


def test_openais_texts_go_up_as_a_batch_and_its_vectors_come_back() -> None:
    body = json.dumps({"model": "auto", "input": ["a", "ü"], "dimensions": 8, "user": "u", "odd": 1}).encode()
    sent = bridge(OPENAI, GEMINI).request(body, read_facts(OPENAI, body), "gemini-embedding-001")
    requests = json.loads(sent.body)["requests"]
    assert [one["content"]["parts"][0]["text"] for one in requests] == ["a", "ü"]
    assert {(one["model"], one["outputDimensionality"]) for one in requests} == {("models/gemini-embedding-001", 8)}
    assert sent.dropped_fields == ("user", "odd")
    answer = b'{"embeddings":[{"values":[0.5,-1]},{"values":[0.25,2]}]}'
    told = bridge(OPENAI, GEMINI).reply(answer, prompt_tokens=7, facts=read_facts(OPENAI, body))
    whole = json.loads(told.body)
    assert [(row["index"], row["embedding"]) for row in whole["data"]] == [(0, [0.5, -1]), (1, [0.25, 2])]
    assert whole["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert told.usage is not None
    assert told.usage.is_estimated
    asked = read_facts(OPENAI, body[:-1] + b',"encoding_format":"base64"}')
    packed = json.loads(bridge(OPENAI, GEMINI).reply(answer, facts=asked).body)["data"][0]["embedding"]
    assert packed == b64encode(pack("<2f", 0.5, -1)).decode()
    tokens = b'{"model":"auto","input":[1,2]}'
    with pytest.raises(UnsupportedFeature, match="tokens"):
        bridge(OPENAI, GEMINI).request(tokens, read_facts(OPENAI, tokens), "m")


def test_geminis_batch_goes_to_a_vendor_of_openais_and_as_it_is_to_its_own() -> None:
    body = _batch(_one("a", taskType="RETRIEVAL_QUERY", outputDimensionality=2), _one("b", outputDimensionality=2))
    facts = read_facts(GEMINI, body)
    assert (facts.is_embedding, facts.message_count, facts.model) == (True, 2, "auto")
    sent = bridge(GEMINI, OPENAI).request(body, facts, "text-embedding-3-small")
    assert json.loads(sent.body) == {
        "model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float",
    }  # fmt: skip
    assert sent.dropped_fields == ("requests[].taskType",)
    rows = [{"index": 1, "embedding": [3.0]}, {"index": 0, "embedding": b64encode(pack("<f", 1.0)).decode()}]
    answer = json.dumps({"data": rows, "model": "m", "usage": {"prompt_tokens": 3}}).encode()
    told = bridge(GEMINI, OPENAI).reply(answer, facts=facts)
    whole = json.loads(told.body)
    assert whole["embeddings"] == [{"values": [1.0]}, {"values": [3.0]}]
    assert whole["usageMetadata"] == {"promptTokenCount": 3}
    same = json.loads(bridge(GEMINI, GEMINI).request(body, facts, "models/e").body)
    assert [one["model"] for one in same["requests"]] == ["models/e"] * 2
    assert same["requests"][0]["taskType"] == "RETRIEVAL_QUERY"
    assert "model" not in same


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", ""),
        (b'{"model":"auto"}', "requests"),
        (_batch(), "requests"),
        (_batch(1), "requests[0]"),
        (_batch({}), "requests[0].content"),
        (_batch({"content": {"parts": []}}), "requests[0].content.parts"),
        (_batch({"content": {"parts": [{"inlineData": {}}]}}), "requests[0].content.parts[0]"),
        (_batch({"content": {"parts": [{"text": 1}]}}), "requests[0].content.parts[0].text"),
        (_batch(_one("")), "requests[0].content.parts"),
        (_batch(_one("a", outputDimensionality=-1)), "requests[0].outputDimensionality"),
        (_batch(_one("a"), _one("b", outputDimensionality=4)), "requests"),
    ],
)
def test_a_batch_that_is_none_is_refused_naming_the_field(body: bytes, field: str) -> None:
    with pytest.raises(ATPError) as refused:
        read_facts(GEMINI, body)
    assert (refused.value.param or "") == field
    assert refused.value.http_status == 400


@pytest.mark.parametrize("body", [b"x", b"{}", b'{"embeddings":[]}', b'{"embeddings":[{"values":"x"}]}'])
def test_vectors_that_are_none_are_a_bad_reply(body: bytes) -> None:
    asked = read_facts(OPENAI, b'{"model":"m","input":"a","encoding_format":"base64"}')
    with pytest.raises(BadUpstreamReply):
        bridge(OPENAI, GEMINI).reply(body, facts=asked)
