"""The rows of the wall: sixteen core scenarios, and the extra ones.

Each row is data: what the primary and the fallback do, what the caller must see, what the upstream's
log must show. A new fault is a new row.
"""

from __future__ import annotations

from atp_console.wall.answers import GzipBomb, Healthy, NoPrefill, Refusal
from atp_console.wall.contents import CONTENTS
from atp_console.wall.floods import FLOODS, LEAVING
from atp_console.wall.framing import FRAMING
from atp_console.wall.pieces import BEFORE, GOOD, once
from atp_console.wall.refusals import REFUSALS
from atp_console.wall.scenario import EVERY, STREAMS, Case, Must, Scenario, Series
from atp_console.wall.steps import (
    Close,
    Done,
    End,
    EndlessTokens,
    Flood,
    Hang,
    Head,
    Heard,
    Lifecycle,
    Malformed,
    NeverRead,
    Reset,
    Stop,
    Tokens,
    Wait,
)
from atp_console.wall.upstream import Scene

_CUT = once(Head(), Lifecycle(), Tokens(40), Heard(), Close())

CORE: tuple[Scenario, ...] = (
    Scenario(
        "rate-limit-then-healthy",
        "429 with Retry-After 2, then healthy",
        Scene(((Refusal(429, "rate", ("retry-after: 2",)),), (Healthy(),))),
        GOOD,
        Must(by=("primary", "fallback"), primary=(1, 2), fallback=(0, 1), wait_s=2.0),
        EVERY,
        is_core=True,
    ),
    Scenario(
        "rate-limit-forever",
        "429 for ever, without a header",
        Scene(((Refusal(429, "rate"),),)),
        GOOD,
        BEFORE,
        EVERY,
        is_core=True,
    ),
    Scenario(
        "server-error-once",
        "500 once: the same deployment is retried",
        Scene(((Refusal(500, "server"),), (Healthy(),))),
        GOOD,
        Must(by=("primary",), primary=(2, 2), fallback=(0, 0)),
        EVERY,
        is_core=True,
    ),
    Scenario(
        "unavailable-forever",
        "503 for ever",
        Scene(((Refusal(503, "overloaded"),),)),
        GOOD,
        BEFORE,
        EVERY,
        is_core=True,
    ),
    Scenario(
        "reset-before-headers",
        "TCP reset before the headers",
        Scene(((Reset(),),)),
        GOOD,
        BEFORE,
        EVERY,
        is_core=True,
    ),
    Scenario(
        "silent",
        "no answer at all: failed over after the first timeout, not retried",
        Scene(((Hang(),),)),
        GOOD,
        Must(first_within_s=15.0),
        STREAMS,
        is_core=True,
        longest_s=25.0,
    ),
    Scenario(
        "late-first-token",
        "headers at once, first token after 20 s",
        Scene(((Head(), Lifecycle(), Wait(20.0), Tokens(12), Stop(), Done(), End()),)),
        GOOD,
        Must(first_within_s=15.0),
        STREAMS,
        is_core=True,
        longest_s=25.0,
    ),
    Scenario(
        "cut-after-40",
        "stream cut after 40 of 60 tokens",
        _CUT,
        GOOD,
        Must(see=("broken",), by=("primary",), tokens=40, fallback=(0, 0)),
        STREAMS,
        is_core=True,
    ),
    Scenario(
        "stall-after-20",
        "stream stalls for 30 s after 20 tokens",
        Scene(((Head(), Lifecycle(), Tokens(20), Wait(30.0), Tokens(40), Stop(), Done(), End()),)),
        GOOD,
        Must(see=("broken",), by=("primary",), tokens=20, fallback=(0, 0), within_s=21.0),
        STREAMS,
        is_core=True,
        longest_s=35.0,
    ),
    Scenario(
        "malformed-tenth",
        "the tenth event is malformed",
        Scene(((Head(), Lifecycle(), Tokens(9), Heard(), Malformed(), Tokens(10), Stop(), Done(), End()),)),
        GOOD,
        Must(see=("broken",), by=("primary",), tokens=9, fallback=(0, 0)),
        STREAMS,
        is_core=True,
    ),
    Scenario(
        "no-terminal-event",
        "finish reason and an orderly end, but no terminal event",
        Scene(((Head(), Lifecycle(), Tokens(12), Stop(), End()),)),
        GOOD,
        Must(by=("primary",), fallback=(0, 0), has_usage=True),
        STREAMS,
        is_core=True,
    ),
    Scenario(
        "context-exceeded",
        "context length exceeded: never the same size, the larger one",
        Scene(((Refusal(400, "context"),),)),
        GOOD,
        Must(),
        EVERY,
        is_core=True,
        same=GOOD,
    ),
    Scenario(
        "content-filter",
        "content filter: the vendor's reason is passed on, nothing is retried",
        Scene(((Refusal(400, "filter"),),)),
        GOOD,
        Must(
            see=("error",),
            by=(),
            statuses=(400,),
            codes=("content_filter",),
            says="content filtering policy",
            fallback=(0, 0),
        ),
        EVERY,
        is_core=True,
    ),
    Scenario(
        "cut-without-prefill",
        "cut stream whose fallback refuses an assistant's prefill",
        _CUT,
        Scene(((NoPrefill(),),)),
        Must(see=("broken",), by=("primary",), tokens=40, fallback=(0, 1), refuses_prefill=True),
        STREAMS,
        is_core=True,
    ),
    Scenario(
        "outage",
        "primary down for 60 s, then healthy; a request every 4 s",
        Scene(((Refusal(503, "overloaded"),), (Healthy(),)), down_s=60.0),
        GOOD,
        Must(by=("primary", "fallback"), primary=(2, 40), fallback=(1, 23)),
        EVERY,
        is_core=True,
        series=Series(count=23, every_s=4.0, back_within_s=30.0, is_probed_singly=True),
    ),
    Scenario(
        "fallback-identity",
        "503: the caller sees the fallback's model and usage",
        Scene(((Refusal(503, "overloaded"),),)),
        GOOD,
        Must(primary=(1, 2), has_usage=True, has_model=True),
        EVERY,
        is_core=True,
    ),
)

FLOODING = (Flood, EndlessTokens, GzipBomb, NeverRead)
SCENARIOS = (*CORE, *REFUSALS, *FRAMING, *CONTENTS, *FLOODS, *LEAVING)


def cases(*, is_core_only: bool = False, names: tuple[str, ...] = (), variants: tuple[str, ...] = ()) -> list[Case]:
    """The scenarios in each of their variants, the longest first, floods at the end.

    Raises ValueError on an unknown name.
    """
    known = {scenario.name for scenario in SCENARIOS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no scenario is called {unknown[0]}; --list names them")
    found = [
        Case(scenario, variant)
        for scenario in SCENARIOS
        for variant in scenario.variants
        if (not is_core_only or scenario.is_core)
        and (not names or scenario.name in names)
        and (not variants or variant.name in variants)
    ]
    return sorted(found, key=lambda case: (is_flood(case.scenario), -_expected_s(case.scenario)))


def is_flood(scenario: Scenario) -> bool:
    """It may take a gateway down with everything else in it: run last."""
    return any(isinstance(step, FLOODING) for script in scenario.primary.scripts for step in script)


def _expected_s(scenario: Scenario) -> float:
    series = scenario.series
    return max(series.count * series.every_s, scenario.must.within_s, scenario.must.first_within_s)
