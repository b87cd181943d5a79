"""A busy afternoon on one machine, standing still: what golden pictures of the console show.

Every state, a failover, a cache hit, unknown and assumed prices, an open circuit, a hostile title.
"""

from __future__ import annotations

import json

import msgspec

from atp_engine.core.sent_views import Fate, HeaderView, SentCall, SentView, WouldCost
from atp_engine.core.types import (
    AttemptOutcome,
    AttemptRecord,
    CandidateVerdict,
    PriceState,
    RequestState,
    RouteDecision,
    TokenUsage,
)
from atp_engine.core.views import RequestDetail, RequestView, Tail
from tests.support.console import (
    NOW,
    ReplaySource,
    deployment_view,
    engine_view,
    request_view,
    session_view,
    snapshot_of,
)

OPEN_ID = "req_1mb3k2v9q0a7f0000012c"
FAILOVER_ID = "req_1mb3k2v9q0a7f0000012a"
_TEXT = (
    "The parser yields only when it sees a blank line, so the last frame of a stream that ends without one is lost. "
    "I would keep the last partial frame before yielding; I will change iter_sse so that it buffers until a blank line "
    "arrives, and flushes what is left when the connection closes in an orderly way.\n\nThree places need the change:"
)


def _row(number: int, ago_s: float, **changes: object) -> RequestView:
    return request_view(id=f"req_1mb3k2v9q0a7f{number:08x}", started_at=NOW - ago_s, **changes)


def _requests() -> list[RequestView]:
    open_figures = {"http_status": 0, "duration_ms": None, "finish_reason": "", "has_body": False}
    nothing = {"ttft_ms": None, "tokens_per_s": None, "output_tokens": 0, "cost_nusd": 0}
    rows = [
        _row(0x12C, 4.5, state=RequestState.STREAMING, **open_figures),
        _row(
            0x12B,
            5.1,
            state=RequestState.CONNECTING,
            served="haiku",
            model="claude-haiku-4-5",
            **open_figures,
            **nothing,
        ),
        _row(
            0x12A,
            7.2,
            session_id="ci-bot",
            client="openai-py",
            key_name="ci",
            asked="gpt-5",
            route="gpt-5",
            served="gpt-5-mini",
            model="gpt-5-mini",
            provider="openai",
            dialect="openai_chat",
            tries=2,
            ttft_ms=380.0,
            duration_ms=2_310.0,
            tokens_per_s=55.1,
            output_tokens=640,
            cost_nusd=4_100_000,
        ),
        _row(
            0x129,
            9.0,
            state=RequestState.QUEUED,
            session_id="aider-2",
            client="aider",
            asked="local",
            route="local",
            served="",
            model="",
            provider="",
            tries=0,
            prompt_tokens=8_800,
            **open_figures,
            **nothing,
        ),
        _row(
            0x128,
            11.3,
            state=RequestState.HIT,
            session_id="ci-bot",
            client="openai-py",
            served="",
            provider="",
            tries=0,
            ttft_ms=3.0,
            duration_ms=3.4,
            tokens_per_s=None,
            prompt_tokens=611,
            cache_read_tokens=0,
            output_tokens=96,
            cost_nusd=0,
        ),
        _row(
            0x127,
            14.0,
            state=RequestState.REJECTED,
            session_id="cc-91bc",
            asked="opus",
            route="opus",
            served="",
            provider="",
            tries=0,
            http_status=429,
            error_code="rate_limited",
            error_message="60 requests a minute are used up.",
            **nothing,
            duration_ms=1.2,
        ),
        _row(
            0x126,
            21.0,
            state=RequestState.CANCELLED,
            session_id="aider-2",
            client="aider",
            http_status=499,
            error_code="request_cancelled",
            error_message="The client left.",
            output_tokens=12,
            cost_nusd=1_000_000,
        ),
        _row(
            0x125,
            26.0,
            state=RequestState.TRUNCATED,
            session_id="cc-91bc",
            served="sonnet",
            http_status=200,
            error_code="stream_broken",
            error_message="The stream ended without its terminal event.",
            output_tokens=201,
        ),
        _row(
            0x124,
            33.0,
            state=RequestState.FAILED,
            session_id="ci-bot",
            client="openai-py",
            asked="gpt-5",
            served="gpt-5",
            provider="openai",
            model="gpt-5",
            http_status=502,
            error_code="upstream_unreachable",
            error_message="openai could not be reached.",
            **nothing,
            duration_ms=1_004.0,
        ),
        _row(
            0x123,
            41.0,
            session_id="aider-2",
            client="aider",
            asked="local",
            served="qwen3:30b",
            model="qwen3:30b",
            provider="ollama",
            dialect="openai_chat",
            ttft_ms=1_900.0,
            duration_ms=17_200.0,
            tokens_per_s=38.4,
            prompt_tokens=8_812,
            cache_read_tokens=0,
            output_tokens=588,
            cost_nusd=0,
        ),
        _row(
            0x122,
            55.0,
            session_id="lab-1",
            client="curl",
            asked="ghost-1",
            served="ghost-1",
            model="ghost-1",
            provider="acme",
            dialect="openai_chat",
            price_state=PriceState.UNKNOWN,
            cost_nusd=0,
            prompt_tokens=420,
            output_tokens=77,
        ),
        _row(
            0x121,
            61.0,
            session_id="lab-1",
            client="curl",
            asked="mini",
            served="gpt-5-mini",
            provider="openai",
            dialect="openai_chat",
            price_state=PriceState.ASSUMED,
            is_usage_estimated=True,
            cost_nusd=310_000,
        ),
    ]
    for number in range(0x120, 0x100, -1):
        ago = 70.0 + (0x120 - number) * 11
        rows.append(
            _row(
                number,
                ago,
                asked="auto",
                served="sonnet" if number % 3 else "haiku",
                ttft_ms=190.0 + number % 7 * 83,
                duration_ms=900.0 + number % 11 * 512,
                tokens_per_s=60.0 + number % 5 * 14.2,
                output_tokens=90 + number % 13 * 61,
                prompt_tokens=39_000 + number % 17 * 311,
                cost_nusd=1_000_000 + number % 19 * 1_370_000,
            )
        )
    return rows


def _decision(route: str, served: str) -> RouteDecision:
    return RouteDecision(
        id="9c1e",
        route=route,
        strategy="balanced",
        config_version=12,
        explanation=f"{served} has the best score of two live deployments; three were dropped.",
        candidates=(
            CandidateVerdict(
                "sonnet", "anthropic", "claude-sonnet-4-5", 1, 0.83, "best score: quality .91, cost .44, latency .71"
            ),
            CandidateVerdict("haiku", "anthropic", "claude-haiku-4-5", 2, 0.79, "lost by .04"),
            CandidateVerdict("gpt-5", "openai", "gpt-5", 0, None, "circuit open, next probe in 14 s"),
            CandidateVerdict("qwen3:30b", "ollama", "qwen3:30b", 0, None, "context 32k < 41k needed"),
            CandidateVerdict("opus", "anthropic", "claude-opus-4-5", 0, None, "over the cap of $0.02 per request"),
        ),
    )


def _failover_detail(view: RequestView) -> RequestDetail:
    decision = RouteDecision(
        id="77aa",
        route="gpt-5",
        strategy="ordered",
        config_version=12,
        explanation="gpt-5 is first in order; it failed and gpt-5-mini answered.",
        candidates=(
            CandidateVerdict("gpt-5", "openai", "gpt-5", 1, 0.97, "first in order"),
            CandidateVerdict("gpt-5-mini", "openai", "gpt-5-mini", 2, 0.85, "second in order"),
            CandidateVerdict("qwen3:30b", "ollama", "qwen3:30b", 0, None, "context 32k < 41k needed"),
        ),
    )
    usage = TokenUsage(input_tokens=2_304, cache_read_tokens=38_900, output_tokens=640)
    attempts = (
        AttemptRecord(
            1,
            "gpt-5",
            "openai",
            "gpt-5",
            AttemptOutcome.RATE_LIMITED,
            3.4,
            606.6,
            None,
            429,
            "Rate limit reached; asked to wait 20 s.",
            TokenUsage(),
            0,
            PriceState.KNOWN,
        ),
        AttemptRecord(
            2,
            "gpt-5-mini",
            "openai",
            "gpt-5-mini",
            AttemptOutcome.OK,
            614.0,
            1_694.0,
            380.0,
            200,
            "",
            usage,
            4_100_000,
            PriceState.KNOWN,
        ),
    )
    request = {
        "model": "gpt-5",
        "stream": True,
        "max_tokens": 4_096,
        "messages": [
            {"role": "system", "content": "You are a careful reviewer. Answer in short sentences."},
            {
                "role": "user",
                "content": "Why does this parser drop the final frame?.\n\n```python\nfor line in body:\n    ...\n```",
            },
        ],
        "tools": [
            {"type": "function", "function": {"name": "read_file"}},
            {"type": "function", "function": {"name": "shell"}},
        ],
    }
    frames = [json.dumps({"choices": [{"delta": {"content": word + " "}}]}) for word in _TEXT.split(" ")]
    return RequestDetail(
        request=view,
        decision=decision,
        attempts=attempts,
        request_body=json.dumps(request),
        response_body="".join(f"data: {frame}\n\n" for frame in frames) + "data: [DONE]\n\n",
        dropped_fields=("logit_bias",),
        position=4,
        session_requests=9,
        previous_id="req_1mb3k2v9q0a7f00000120",
        next_id="req_1mb3k2v9q0a7f00000128",
        would_cost=(
            WouldCost("gpt-5", 14_142_500, is_sure=True),
            WouldCost("gpt-5-mini", 4_100_000, is_sure=True),
            WouldCost("qwen3:30b", 0, is_sure=True),
        ),
    )


def _failover_sent(detail: RequestDetail) -> SentView:
    """What went up for it: the first call as it came but for the model, the second translated."""
    body = json.loads(detail.request_body or "{}") | {"logit_bias": {"50256": -100}}
    turns = body["messages"]
    translated = {
        "model": "gpt-5-mini",
        "system": turns[0]["content"],
        "messages": turns[1:],
        "max_tokens": 4_096,
        "stream": True,
    }
    ours = (
        HeaderView("content-type", "application/json", Fate.OURS),
        HeaderView("user-agent", "atp-console/0.1.0", Fate.OURS),
        HeaderView("authorization", "***", Fate.OURS),
    )
    lang = HeaderView("x-stainless-lang", "python", Fate.PASSED)
    calls = (
        SentCall(
            1, "gpt-5", "openai", "gpt-5-2026-08-07", "openai_chat", "https://api.openai.com:443/v1/chat/completions",
            is_translated=False, headers=(*ours, lang), body=json.dumps(body | {"model": "gpt-5-2026-08-07"}),
        ),
        SentCall(
            2, "gpt-5-mini", "openai", "gpt-5-mini", "anthropic", "https://api.openai.com:443/v1/messages",
            is_translated=True, headers=ours, body=json.dumps(translated), dropped_fields=("logit_bias",),
        ),
    )  # fmt: skip
    client = (
        HeaderView("authorization", "***", Fate.KEPT),
        HeaderView("x-stainless-lang", "python \x1b]52;c;aGk=\x07[red]", Fate.PASSED),
        HeaderView("cookie", "***", Fate.KEPT),
    )
    note = "the config was v11 then and is v12 now: addresses and own headers are those of now"
    return SentView(detail.request.id, "openai_chat", "", client, json.dumps(body), calls, (note,))


def busy_source() -> ReplaySource:
    """The scene as a source."""
    rows = _requests()
    sessions = (
        session_view(in_flight=2, errors=1),
        session_view(
            id="aider-2",
            client="aider",
            key_name="laptop",
            title="rename the config loader",
            requests=7,
            in_flight=1,
            errors=1,
            last_at=NOW - 9,
            started_at=NOW - 4_000,
            cost_nusd=0,
            prompt_tokens=61_000,
            output_tokens=3_900,
        ),
        session_view(
            id="ci-bot",
            client="openai-py",
            key_name="ci",
            title="Summarise the failing tests of build 4812",
            requests=212,
            errors=9,
            last_at=NOW - 7,
            started_at=NOW - 86_400,
            cost_nusd=1_940_000_000,
            prompt_tokens=9_100_000,
        ),
        session_view(
            id="cc-91bc",
            title="\x1b[31mred\x1b[0m title \x1b]52;c;aGk=\x07 with [bold]markup[/bold]",
            requests=3,
            errors=2,
            last_at=NOW - 14,
            cost_nusd=33_000_000,
        ),
        session_view(
            id="lab-1",
            client="curl",
            key_name="lab",
            title="こんにちは世界、これは幅の広い文字です",
            requests=2,
            last_at=NOW - 55,
            price_state=PriceState.UNKNOWN,
            cost_nusd=0,
            prompt_tokens=420,
            output_tokens=77,
        ),
        session_view(
            id="0b9c8c2f-51f4-4b6e-9a53-d0a1", title="why does the build hang on arm64", requests=31, last_at=NOW - 800
        ),
    )
    deployments = (
        deployment_view(),
        deployment_view(
            key="haiku",
            model="claude-haiku-4-5",
            p50_ms=480.0,
            p95_ms=1_300.0,
            ttft_p95_ms=420.0,
            tokens_per_s=133.0,
            input_usd=1.0,
            output_usd=5.0,
            requests=301,
            in_flight=1,
            error_rate=0.0,
        ),
        deployment_view(
            key="gpt-5",
            provider="openai",
            model="gpt-5",
            health="failing",
            circuit="open",
            retry_in_s=14.0,
            in_flight=0,
            p50_ms=3_900.0,
            p95_ms=6_200.0,
            tokens_per_s=41.0,
            error_rate=0.098,
            input_usd=1.25,
            output_usd=10.0,
            last_error="429 Rate limit reached; asked to wait 20 s.",
            requests=88,
        ),
        deployment_view(
            key="gpt-5-mini",
            provider="openai",
            model="gpt-5-mini",
            health="degraded",
            circuit="half_open",
            p50_ms=1_400.0,
            p95_ms=2_100.0,
            tokens_per_s=55.0,
            error_rate=0.02,
            input_usd=0.25,
            output_usd=2.0,
            in_flight=0,
        ),
        deployment_view(
            key="qwen3:30b",
            provider="ollama",
            model="qwen3:30b",
            is_local=True,
            context_tokens=32_768,
            in_flight=0,
            input_usd=0.0,
            output_usd=0.0,
            price_source="free",
            tokens_per_s=38.0,
            p50_ms=2_700.0,
            p95_ms=3_300.0,
        ),
        deployment_view(
            key="ghost-1",
            provider="acme",
            model="ghost-1",
            health="unknown",
            input_usd=None,
            output_usd=None,
            price_source="",
            p50_ms=None,
            p95_ms=None,
            ttft_p95_ms=None,
            tokens_per_s=None,
            error_rate=None,
            requests=0,
            in_flight=0,
            context_tokens=0,
        ),
    )
    source = ReplaySource(snapshot_of(rows, sessions=sessions, deployments=deployments, engine=engine_view()))
    for view in rows:
        served = view.served or view.asked
        source.details[view.id] = RequestDetail(view, _decision(view.route, served), (), None, None, (), 1, 1, "", "")
    failover = next(view for view in rows if view.id == FAILOVER_ID)
    source.details[FAILOVER_ID] = _failover_detail(failover)
    source.sent_views[FAILOVER_ID] = _failover_sent(source.details[FAILOVER_ID])
    for neighbour in ("req_1mb3k2v9q0a7f00000120", "req_1mb3k2v9q0a7f00000128"):
        source.details[neighbour] = msgspec.structs.replace(
            source.details[neighbour],
            position=3 if neighbour.endswith("120") else 5,
            session_requests=9,
            previous_id="",
            next_id=FAILOVER_ID,
        )
    source.tails[OPEN_ID] = Tail(OPEN_ID, RequestState.STREAMING, _TEXT, 318)
    source.tails[FAILOVER_ID] = Tail(FAILOVER_ID, RequestState.OK, _TEXT, 640)
    return source
