"""Clients that leave at random moments: how soon the upstream's connection is closed, and what is left held.

    python -m tests.faults.disconnects [--count 200] [--at-once 20] [--seed 1]

The engine is a process of its own; clients and upstream share this one, so one clock times both ends.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atp_console.launch import ask
from atp_console.wall.caller import Ask, Target, call
from atp_console.wall.own_engine import engine_on
from atp_console.wall.pieces import HEARD_5, OPENING, once
from atp_console.wall.steps import Flood, Hang, Head, Raw, Tokens
from atp_console.wall.upstream import Scene, WallUpstream, listen

LONGEST_STAY_S = 0.4
_CLOSE_LIMIT_S = 5.0

KINDS: dict[str, tuple[Scene, bool]] = {
    "silent": (once(Hang()), True),
    "lifecycle": (once(*OPENING, Hang()), True),
    "paused": (once(*HEARD_5, Hang()), True),
    "paced": (once(*OPENING, Tokens(1000, 0.01)), True),
    "flood": (once(*OPENING, Tokens(1), Flood(b": x\n\n" * 100, gap_s=0.005)), True),
    "plain": (once(Hang()), False),
    "plain-begun": (once(Head(framing="length", length=4000), Raw(b'{"id"'), Hang()), False),
}
"""How the upstream behaves when the client leaves, and whether a stream was asked for."""


@dataclass
class Departure:
    """One client that left."""

    kind: str
    reached: bool
    closed_ms: float | None
    """From the client's close to the upstream's, None when it was never closed."""


async def depart(target: Target, upstream: WallUpstream, kind: str, number: int, stay_s: float) -> Departure:
    """Calls, leaves after `stay_s`, and waits for the upstream's connection to close."""
    model = f"{kind}-n{number}"
    question = Ask("chat", KINDS[kind][1], model, 30.0, leave_after_s=stay_s, is_leaving_unanswered=True)
    await call(target, question)
    left_at = time.monotonic()
    log = upstream.log("leave")
    await log.until(lambda log: all(not one.is_open for one in log.calls if one.model == model), _CLOSE_LIMIT_S)
    found = [one for one in log.calls if one.model == model]
    if not found:
        return Departure(kind, False, None)
    closed_at = found[0].left_at
    return Departure(kind, True, None if closed_at is None else (closed_at - left_at) * 1000.0)


async def run(target: Target, upstream: WallUpstream, options: argparse.Namespace) -> list[Departure]:
    """All departures, some at once."""
    dice = random.Random(options.seed)
    places = asyncio.Semaphore(options.at_once)

    async def one(number: int, kind: str, stay_s: float) -> Departure:
        async with places:
            return await depart(target, upstream, kind, number, stay_s)

    kinds = list(KINDS)
    plans = [(number, kinds[number % len(kinds)], dice.random() * LONGEST_STAY_S) for number in range(options.count)]
    return await asyncio.gather(*(one(*plan) for plan in plans))


def config(port: int) -> str:
    """A provider per kind that serves any model of its name."""
    return "[server]\nport = 0\n" + "".join(
        f'[providers.{kind}]\nkind = "custom"\nbase_url = "http://127.0.0.1:{port}/leave/{kind}/v1"\n'
        f'models = ["{kind}-n*"]\n'
        for kind in KINDS
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    with listen("127.0.0.1", 0) as listener, tempfile.TemporaryDirectory() as folder:
        scenes = {("leave", kind): scene for kind, (scene, _) in KINDS.items()}

        async def measured(target: Target) -> list[Departure]:
            async with WallUpstream(scenes, 1.0, listener) as upstream:
                return await run(target, upstream, options)

        with engine_on(Path(folder), config(listener.getsockname()[1])) as engine:
            departures = asyncio.run(measured(engine.target))
            time.sleep(0.3)
            held = engine.leaks()
            page = ask(engine.endpoint, lambda client: client.requests("", 500, ""))
    times = sorted(one.closed_ms for one in departures if one.closed_ms is not None)
    states = [request.state.value for request in page.requests]
    return {
        "disconnects": len(departures),
        "reached_upstream": sum(one.reached for one in departures),
        "closed": len(times),
        "never_closed": [one.kind for one in departures if one.reached and one.closed_ms is None],
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[int(0.99 * (len(times) - 1))], 2),
        "max_ms": round(times[-1], 2),
        "recorded": {state: states.count(state) for state in sorted(set(states))},
        "still_held": held,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
