"""What one streamed chunk costs within the dialects: handed on as it is, and translated.

    python -m tests.bench.chunk [--quick]

CPU time of this process, the lowest of many rounds, which alternate between the two ways so that both see the
same machine. `ratio` is translated to handed on. Part of `python -m tests.bench` as `chunk_cost`.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from atp_engine.core.types import Dialect
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import codec
from atp_engine.dialects.facts import read_facts
from tests.bench.upstream import chat_chunk

CHUNKS = 1_000
WORD = "plausible words "
_HI = [{"role": "user", "content": "hi"}]
_BODIES: dict[Dialect, dict[str, Any]] = {
    Dialect.OPENAI_CHAT: {"model": "m", "stream": True, "messages": _HI},
    Dialect.ANTHROPIC: {"model": "m", "stream": True, "max_tokens": 99, "messages": _HI},
}
PAIRS = ((Dialect.OPENAI_CHAT, Dialect.ANTHROPIC), (Dialect.ANTHROPIC, Dialect.OPENAI_CHAT))
"""Upstreams, each with the client that its stream is translated for."""


def chunks(dialect: Dialect) -> tuple[bytes, list[bytes]]:
    """How a vendor's stream begins, and its pieces: one event with a short text each."""
    encoder = codec(dialect).stream_encoder(wants_usage=True)
    head = encoder.encode(ir.Started("answer-0123456789", "bench", 1_700_000_000))
    head += encoder.encode(ir.TextDelta(WORD))
    piece = chat_chunk(WORD) if dialect is Dialect.OPENAI_CHAT else encoder.encode(ir.TextDelta(WORD))
    return head, [bytes(bytearray(piece)) for _ in range(CHUNKS)]


def cost_us(client: Dialect, upstream: Dialect, head: bytes, pieces: list[bytes]) -> float:
    """CPU microseconds per chunk, of one stream."""
    tap = bridge(client, upstream).tap(read_facts(client, json.dumps(_BODIES[client]).encode()), "req_1")
    tap.feed(head)
    feed, started = tap.feed, time.process_time_ns()
    for piece in pieces:
        feed(piece)
    used = (time.process_time_ns() - started) / 1_000 / len(pieces)
    assert tap.error is None
    assert tap.content_events == len(pieces) + 1
    return used


def measured(rounds: int) -> dict[str, Any]:
    """The figures of each pair."""
    told: dict[str, Any] = {}
    for upstream, client in PAIRS:
        head, pieces = chunks(upstream)
        found = [
            (cost_us(upstream, upstream, head, pieces), cost_us(client, upstream, head, pieces)) for _ in range(rounds)
        ]
        handed_on, translated = (min(each) for each in zip(*found, strict=True))
        told[upstream.value] = {
            "pass_through_us": round(handed_on, 3),
            "translated_us": round(translated, 3),
            "ratio": round(translated / handed_on, 2),
        }
    return told


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chunk", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    print(json.dumps(measured(10 if parser.parse_args().quick else 40), indent=2))


if __name__ == "__main__":
    main()
