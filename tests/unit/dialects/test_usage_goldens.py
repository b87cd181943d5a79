"""What each vendor's usage costs, worked out by hand: the rule, its source and date, the figures.

The page named is where the vendor states its rule. Prices are the test's own, in dollars per million tokens,
so that a new list price changes nothing here.

The pages named are where the vendors document their rule. It is written down here as known in 2026-11; the pages
themselves were not fetched for it.
"""

from __future__ import annotations

import json

import pytest

from atp_engine.core.pricing import Price, cost_of, usd_to_nusd
from atp_engine.core.types import Dialect, PriceState, RequestFacts, TokenUsage
from atp_engine.dialects.bridges import bridge
from tests.support.wire_cases import DONE, event, text_block

PRICE = Price(
    usd_to_nusd(3),
    usd_to_nusd(15),
    usd_to_nusd("0.3"),
    usd_to_nusd("3.75"),
    cache_write_1h_nusd=usd_to_nusd(6),
    tiers={"flex": 500_000, "priority": 2_000_000},
)


def _facts(*, wants_usage: bool = False) -> RequestFacts:
    return RequestFacts("m", True, False, False, False, wants_usage, False, 0, 40, 10, 1, "", b"")


def _data(**fields: object) -> str:
    return f"data: {json.dumps(fields)}\n\n"


def _chat(*, service_tier: str = "default", **usage: object) -> str:
    said = _data(id="c", object="chat.completion.chunk", model="m", choices=[{"index": 0, "delta": {"content": "Hi"}}])
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    ended = _data(id="c", object="chat.completion.chunk", model="m", choices=[stop])
    last = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [], "service_tier": service_tier}
    return said + ended + _data(**last, usage=usage) + DONE


def _responses(*, service_tier: str = "default", **usage: object) -> str:
    answer: dict[str, object] = {
        "id": "r",
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": [],
        "usage": usage,
    }
    answer["service_tier"] = service_tier
    said = event("response.output_text.delta", delta="Hi", item_id="i", output_index=0, content_index=0)
    return said + event("response.completed", response=answer)


def _gemini(**usage: object) -> str:
    return _data(
        candidates=[{"index": 0, "content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
        usageMetadata=usage,
        modelVersion="m",
    )


def _ollama(prompt: int, output: int) -> str:
    message = {"role": "assistant", "content": "Hi"}
    last = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
    return json.dumps({**last, "prompt_eval_count": prompt, "eval_count": output}) + "\n"


_ANTHROPIC = (
    event(
        "message_start",
        message={
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "usage": {
                "input_tokens": 100,
                "cache_read_input_tokens": 2_000,
                "cache_creation_input_tokens": 500,
                "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200},
                "output_tokens": 1,
            },
        },
    )
    + text_block(0, "Hi")
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 40})
    + event("message_stop")
)

_ANTHROPIC_PRIORITY = (
    event(
        "message_start",
        message={
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "usage": {"input_tokens": 10, "output_tokens": 1, "service_tier": "priority"},
        },
    )
    + text_block(0, "Hi")
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
    + event("message_stop")
)

GOLDENS = {
    # Reads and writes stand beside input_tokens; usage in message_delta is cumulative, what it lacks stays.
    # platform.claude.com/docs/en/build-with-claude/prompt-caching and .../streaming.
    # 100 x 3 + 2000 x 0.3 + 300 x 3.75 + 200 x 6 + 40 x 15 = 300 + 600 + 1125 + 1200 + 600 = 3825 micro-dollars.
    "anthropic cached stream": (Dialect.ANTHROPIC, _ANTHROPIC, TokenUsage(100, 40, 2_000, 500, 0, False, 200), 3_825),
    # cached_tokens are inside prompt_tokens, reasoning_tokens inside completion_tokens.
    # developers.openai.com/api/reference (chat completions, usage).
    # (1200 - 1024) x 3 + 1024 x 0.3 + 500 x 15 = 528 + 307.2 + 7500 = 8335.2 micro-dollars.
    "openai chat cached and reasoning": (
        Dialect.OPENAI_CHAT,
        _chat(
            prompt_tokens=1_200,
            completion_tokens=500,
            total_tokens=1_700,
            prompt_tokens_details={"cached_tokens": 1_024},
            completion_tokens_details={"reasoning_tokens": 320},
        ),
        TokenUsage(176, 500, 1_024, 0, 320),
        8_335.2,
    ),
    # The same under other names. developers.openai.com/api/reference (responses, usage).
    "openai responses cached and reasoning": (
        Dialect.OPENAI_RESPONSES,
        _responses(
            input_tokens=1_200,
            output_tokens=500,
            total_tokens=1_700,
            input_tokens_details={"cached_tokens": 1_024},
            output_tokens_details={"reasoning_tokens": 320},
        ),
        TokenUsage(176, 500, 1_024, 0, 320),
        8_335.2,
    ),
    # Thoughts stand beside candidatesTokenCount; cachedContentTokenCount is inside promptTokenCount.
    # ai.google.dev/api/generate-content (UsageMetadata).
    # (1000 - 600) x 3 + 600 x 0.3 + (50 + 250) x 15 = 1200 + 180 + 4500 = 5880 micro-dollars.
    "gemini thinking with cached inside": (
        Dialect.GEMINI,
        _gemini(
            promptTokenCount=1_000,
            candidatesTokenCount=50,
            thoughtsTokenCount=250,
            cachedContentTokenCount=600,
            totalTokenCount=1_300,
        ),
        TokenUsage(400, 300, 600, 0, 250),
        5_880,
    ),
    # Counts of the last line; a cached prompt is not told. docs.ollama.com/api.
    # 100 x 3 + 20 x 15 = 600 micro-dollars.
    "ollama": (Dialect.OLLAMA, _ollama(100, 20), TokenUsage(100, 20), 600),
    # Cache hits stand beside the counts, and inside prompt_tokens. api-docs.deepseek.com (kv_cache).
    # 36 x 3 + 64 x 0.3 + 10 x 15 = 108 + 19.2 + 150 = 277.2 micro-dollars.
    "deepseek": (
        Dialect.OPENAI_CHAT,
        _chat(
            prompt_tokens=100,
            completion_tokens=10,
            total_tokens=110,
            prompt_cache_hit_tokens=64,
            prompt_cache_miss_tokens=36,
        ),
        TokenUsage(36, 10, 64),
        277.2,
    ),
    # As OpenAI's, with cache writes inside the prompt too. openrouter.ai/docs (usage accounting).
    # (300 - 100 - 50) x 3 + 100 x 0.3 + 50 x 3.75 + 20 x 15 = 450 + 30 + 187.5 + 300 = 967.5 micro-dollars.
    "openrouter": (
        Dialect.OPENAI_CHAT,
        _chat(
            prompt_tokens=300,
            completion_tokens=20,
            total_tokens=320,
            cost=0.95,
            prompt_tokens_details={"cached_tokens": 100, "cache_write_tokens": 50},
        ),
        TokenUsage(150, 20, 100, 50),
        967.5,
    ),
    # The answer names the tier that served, beside its usage; flex is half the price, for cached tokens too.
    # developers.openai.com/api/docs/guides/flex-processing.
    # 0.5 x ((1200 - 1024) x 3 + 1024 x 0.3 + 500 x 15) = 0.5 x 8335.2 = 4167.6 micro-dollars.
    "openai chat at flex": (
        Dialect.OPENAI_CHAT,
        _chat(
            service_tier="flex",
            prompt_tokens=1_200,
            completion_tokens=500,
            total_tokens=1_700,
            prompt_tokens_details={"cached_tokens": 1_024},
        ),
        TokenUsage(176, 500, 1_024, tier="flex"),
        4_167.6,
    ),
    # developers.openai.com/api/docs/guides/priority-processing. 2 x (100 x 3 + 20 x 15) = 1200 micro-dollars.
    "openai responses at priority": (
        Dialect.OPENAI_RESPONSES,
        _responses(service_tier="priority", input_tokens=100, output_tokens=20, total_tokens=120),
        TokenUsage(100, 20, tier="priority"),
        1_200,
    ),
    # Anthropic has the tier in `usage`. platform.claude.com/docs/en/api/service-tiers.
    # 2 x (10 x 3 + 7 x 15) = 2 x (30 + 105) = 270 micro-dollars.
    "anthropic at priority": (Dialect.ANTHROPIC, _ANTHROPIC_PRIORITY, TokenUsage(10, 7, tier="priority"), 270),
    # xAI leaves reasoning out of completion_tokens, which the total gives away.
    # docs.x.ai/docs/guides/reasoning.
    # 100 x 3 + (10 + 30) x 15 = 900 micro-dollars.
    "xai reasoning outside": (
        Dialect.OPENAI_CHAT,
        _chat(
            prompt_tokens=100,
            completion_tokens=10,
            total_tokens=140,
            completion_tokens_details={"reasoning_tokens": 30},
        ),
        TokenUsage(100, 40, 0, 0, 30),
        900,
    ),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_a_vendor_s_usage_is_read_and_priced_to_the_nano_dollar(name: str) -> None:
    dialect, wire, usage, micro_usd = GOLDENS[name]
    tap = bridge(dialect, dialect).tap(_facts(), "req_1")
    tap.feed(wire.encode())
    assert tap.error is None
    assert tap.usage == usage
    cost = cost_of(PRICE, usage)
    assert (cost.nusd, cost.state) == (round(micro_usd * 1_000), PriceState.KNOWN)


def test_a_client_that_did_not_ask_for_usage_does_not_see_the_chunk_that_we_asked_for() -> None:
    wire = _chat(prompt_tokens=10, completion_tokens=2, total_tokens=12).encode()
    for wants, seen in ((False, 0), (True, 1)):
        tap = bridge(Dialect.OPENAI_CHAT, Dialect.OPENAI_CHAT).tap(_facts(wants_usage=wants), "req_1")
        assert tap.feed(wire).count(b'"usage"') == seen
        assert tap.usage == TokenUsage(10, 2)
