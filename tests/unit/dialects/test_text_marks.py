"""Citations and probabilities between dialects: carried where there is a place for them, else named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from atp_engine.core.types import Dialect
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS, codec
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.framing import NDJSON, SSE

TEXT = "Grüße 🌍 from Oslo"
ENTRY = {"token": "Oslo", "logprob": -0.25, "bytes": [79, 115, 108, 111]}
PROBED = (msgspec.Raw(json.dumps({**ENTRY, "top_logprobs": [ENTRY]}).encode()),)
CITED = ir.Citation("https://oslo.example/a", "Oslo", "", 13, 17)
CITES = (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC, Dialect.GEMINI)
PROBES = (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.GEMINI, Dialect.OLLAMA)


def _read(dialect: Dialect, stream: bytes) -> list[ir.StreamEvent]:
    framing = NDJSON if dialect is Dialect.OLLAMA else SSE
    decoder = codec(dialect).stream_decoder("req_1")
    found = [one for event in framing.events(stream) for one in decoder.decode(event)]
    assert decoder.error is None
    return found


@pytest.mark.parametrize("dialect", list(CHAT_DIALECTS))
def test_each_dialect_reads_back_what_it_can_tell(dialect: Dialect) -> None:
    part = ir.Text(TEXT, PROBED if dialect in PROBES else (), (CITED,) if dialect in CITES else ())
    answer = ir.ChatResult("x", "m", (part,), ir.FinishReason.STOP, None)
    back = codec(dialect).decode_reply(codec(dialect).encode_reply(answer)).parts[0]
    assert isinstance(back, ir.Text)
    assert [cited.url for cited in back.citations] == [CITED.url] * (dialect in CITES)
    assert [json.loads(bytes(one)) for one in back.logprobs] == [json.loads(bytes(PROBED[0]))] * (dialect in PROBES)
    if dialect in CITES and dialect is not Dialect.ANTHROPIC:
        assert back.citations == (CITED,), "in characters again"
    encoder = codec(dialect).stream_encoder(wants_usage=True)
    events: list[ir.StreamEvent] = [ir.Started("x", "m", 5), ir.TextDelta(TEXT, PROBED)]
    events += [ir.Cited(CITED)] if dialect in CITES else []
    events += [ir.Stopped(ir.FinishReason.STOP), ir.Ended()]
    told = _read(dialect, b"".join(encoder.encode(event) for event in events))
    urls = [event.citation.url for event in told if isinstance(event, ir.Cited)]
    probed = [one for event in told if isinstance(event, ir.TextDelta) for one in event.logprobs]
    assert (urls, len(probed)) == ([CITED.url] * (dialect in CITES), int(dialect in PROBES))


def test_a_citation_without_a_page_and_a_client_without_a_place_are_named() -> None:
    message = {"type": "message", "id": "m", "model": "m", "stop_reason": "end_turn", "content": [
        {"type": "text", "text": "A", "citations": [{"type": "char_location", "cited_text": "A"}]}]}  # fmt: skip
    reply = bridge(Dialect.OPENAI_CHAT, Dialect.ANTHROPIC).reply(json.dumps(message).encode())
    assert reply.dropped_fields == ("content[].citations",)
    answer = ir.ChatResult("x", "m", (ir.Text(TEXT, (), (CITED,)),), ir.FinishReason.STOP, None)
    body = codec(Dialect.OPENAI_CHAT).encode_reply(answer)
    assert bridge(Dialect.OLLAMA, Dialect.OPENAI_CHAT).reply(body).dropped_fields == ("citations",)


def test_anthropic_never_sees_citations_that_it_has_not_sealed() -> None:
    answer = ir.ChatResult("x", "m", (ir.Text("A", (), (CITED,)), ir.Text("B")), ir.FinishReason.STOP, None)
    told: list[dict[str, Any]] = json.loads(codec(Dialect.ANTHROPIC).encode_reply(answer))["content"]
    own = {"type": "web_search_result_location", "url": "u", "cited_text": "c", "encrypted_index": "Eo8"}
    told[1]["citations"] = [own]
    turns = [{"role": "assistant", "content": told}, {"role": "user", "content": "Go on"}]
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode()
    sent = bridge(Dialect.ANTHROPIC, Dialect.ANTHROPIC).request(body, read_facts(Dialect.ANTHROPIC, body), "m")
    blocks = json.loads(sent.body)["messages"][0]["content"]
    assert [block["citations"] for block in blocks] == [None, [own]]
