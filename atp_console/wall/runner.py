"""Runs cases against a gateway: many at once, each with its own callers, then judged.

`command` gives it a target and the upstream's socket; tests give it gateways that lie. It knows nothing
of how the gateway was started.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from atp_console.wall.caller import Ask, Target, call
from atp_console.wall.judge import SLACK_S, Evidence, judge, speaker_of
from atp_console.wall.scenario import Case
from atp_console.wall.scenarios import is_flood
from atp_console.wall.seen import Seen
from atp_console.wall.turn import CaseLog
from atp_console.wall.upstream import UPSTREAM_KEY, Scene, WallUpstream

_HANG_SLACK_S = 5.0
_AFTERMATH_S = 0.1
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Wall:
    """What is run, against whom, and how fast."""

    cases: Sequence[Case]
    target: Target
    factor: float = 1.0
    """Every wait and limit is divided by it."""
    model_template: str = "{case}"
    """The model that is asked for: `{case}`, `{scenario}` and `{variant}` are filled in."""
    is_own: bool = False
    slack_s: float = SLACK_S
    at_once: int = 24
    """Most cases that run side by side."""


def model_name(template: str, case: Case) -> str:
    """The model that is asked for. Raises KeyError, IndexError or ValueError on a template that is none."""
    return template.format(case=case.id, scenario=case.scenario.name, variant=case.variant.name)


@dataclass(frozen=True, slots=True)
class Result:
    """A case, run and judged."""

    case: Case
    complaints: tuple[str, ...]
    saw: str
    seconds: float

    @property
    def has_passed(self) -> bool:
        """Nothing to complain about."""
        return not self.complaints


def scenes(cases: Sequence[Case]) -> dict[tuple[str, str], Scene]:
    """How the upstream behaves, by case and role."""
    return {(case.id, role): scene for case in cases for role, scene in case.scenario.scenes()}


async def run_wall(
    wall: Wall, listener: socket.socket, on_result: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Runs every case and returns the results in the order of the cases; `listener` is the upstream's.

    Floods have fewer places, for they take the processor from all others. They may take another gateway
    down for good, so there they wait until everything else has been judged.
    """
    floods = [case for case in wall.cases if is_flood(case.scenario)]
    others = [case for case in wall.cases if not is_flood(case.scenario)]
    found: dict[str, Result] = {}
    async with WallUpstream(scenes(wall.cases), 1.0 / wall.factor, listener) as upstream:

        async def one(case: Case, places: asyncio.Semaphore) -> None:
            async with places:
                found[case.id] = await run_case(case, wall, upstream)
            on_result(found[case.id])

        async def some(cases: Sequence[Case], at_once: int) -> None:
            places = asyncio.Semaphore(at_once)
            async with asyncio.TaskGroup() as group:
                for case in cases:
                    group.create_task(one(case, places), name=f"wall-{case.id}")

        few = max(1, wall.at_once // 8)
        if wall.is_own:
            await asyncio.gather(some(others, wall.at_once), some(floods, few))
        else:
            await some(others, wall.at_once)
            await some(floods, few)
    return [found[case.id] for case in wall.cases]


async def run_measured(
    wall: Wall, listener: socket.socket, on_result: Callable[[Result], None] = lambda _: None
) -> tuple[list[Result], float]:
    """As `run_wall`, with the longest time in ms that this process was kept from running: on a machine
    that is too busy, a late verdict is the machine's."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_LOOK_S)
            worst = max(worst, time.monotonic() - asked - _LOOK_S)

    watching = asyncio.create_task(watch(), name="wall-lag")
    try:
        return await run_wall(wall, listener, on_result), worst * 1000.0
    finally:
        watching.cancel()


async def run_case(case: Case, wall: Wall, upstream: WallUpstream) -> Result:
    """Makes the calls of a case, waits until the upstream's side is over, and judges."""
    started = time.monotonic()
    pace = 1.0 / wall.factor
    series = case.scenario.series
    log = upstream.log(case.id)
    ask = _ask(case, wall, log)
    running: list[asyncio.Task[tuple[float, Seen]]] = []
    for number in range(series.count):
        await asyncio.sleep(max(0.0, started + number * series.every_s * pace - time.monotonic()))
        running += [asyncio.create_task(_timed(wall.target, ask)) for _ in range(series.burst)]
        if number + 1 == series.count:
            break
    calls = [await task for task in running]
    await log.until(_is_over, case.scenario.must.closes_within_s + wall.slack_s)
    await asyncio.sleep(_AFTERMATH_S)  # for calls that should not come any more
    evidence = Evidence(
        case=case,
        seen=tuple(seen for _, seen in calls),
        started_at=tuple(at for at, _ in calls),
        calls=tuple(log.calls),
        pace=pace,
        secrets=_secrets(upstream, wall),
        is_own=wall.is_own,
        slack_s=wall.slack_s,
    )
    return Result(case, tuple(judge(evidence)), summary(evidence), time.monotonic() - started)


def summary(evidence: Evidence) -> str:
    """What was seen, in one line."""
    outcomes = [_outcome(evidence, seen) for seen in evidence.seen]
    told = ", ".join(f"{outcomes.count(one)} x {one}" if len(outcomes) > 1 else one for one in dict.fromkeys(outcomes))
    calls = "+".join(str(len(evidence.by(role))) for role, _ in evidence.case.scenario.scenes())
    return f"{told}; upstream calls {calls}"


def _outcome(evidence: Evidence, seen: Seen) -> str:
    call_seen = speaker_of(evidence, seen)
    by = f" by {call_seen.role}" if call_seen is not None else ""
    if seen.outcome == "answer":
        return f"answer{by}"
    told = f" {seen.error.code or seen.error.type}" if seen.error is not None else ""
    status = f" {seen.status}" if seen.outcome == "error" else ""
    count = f" after {len(seen.text.split())} tokens{by}" if seen.is_stream and seen.text else ""
    return f"{seen.outcome}{status}{told}{count}"


def _ask(case: Case, wall: Wall, log: CaseLog) -> Ask:
    scenario, variant = case.scenario, case.variant
    return Ask(
        dialect=variant.caller,
        is_stream=variant.is_stream,
        model=model_name(wall.model_template, case),
        limit_s=scenario.longest_s / wall.factor + _HANG_SLACK_S,
        prompt_bytes=scenario.prompt_bytes,
        leave_after_s=scenario.leave_after_s,
        is_leaving_unanswered=scenario.is_leaving_unanswered,
        is_reading=scenario.is_reading,
        on_text=log.hear,
    )


async def _timed(target: Target, ask: Ask) -> tuple[float, Seen]:
    started = time.monotonic()
    return started, await call(target, ask)


def _is_over(log: CaseLog) -> bool:
    """No call of the case is being answered."""
    return not any(one.is_open for one in log.calls)


def _secrets(upstream: WallUpstream, wall: Wall) -> tuple[bytes, ...]:
    """What must not reach a caller: credentials and stacks; of our own engine also the upstream's address
    and headers, which other gateways may pass on by design."""
    own_key = (wall.target.key.encode(),) if len(wall.target.key) > 8 else ()
    secrets = (UPSTREAM_KEY.encode(), *own_key, b"Traceback", b'File "')
    return (*secrets, f"127.0.0.1:{upstream.port}".encode(), b"/internal", b"x-wall-vendor") if wall.is_own else secrets
