"""Rows of the wall in which the upstream refuses: rate limits, server errors, credentials, redirects."""

from __future__ import annotations

from atp_console.wall.answers import Healthy, Refusal
from atp_console.wall.pieces import BEFORE, BOTH, GOOD, PAIR, once
from atp_console.wall.scenario import CHAT, EVERY, Must, Scenario, Series
from atp_console.wall.steps import Hang, Head, Raw, Wait
from atp_console.wall.upstream import Scene

REFUSALS: tuple[Scenario, ...] = (
    Scenario(
        "rate-limit-alone",
        "429 with Retry-After 2 and no fallback: waited for",
        Scene(((Refusal(429, "rate", ("retry-after: 2",)),), (Healthy(),))),
        None,
        Must(by=("primary",), primary=(2, 2), fallback=(0, 0), wait_s=2.0),
        BOTH,
    ),
    Scenario(
        "rate-limit-date",
        "429 with Retry-After as an HTTP date and no fallback",
        Scene(((Refusal(429, "rate", ("retry-after: {date+2}",)),), (Healthy(),))),
        None,
        Must(by=("primary",), primary=(2, 2), fallback=(0, 0), wait_s=1.0),
        PAIR,
    ),
    Scenario(
        "rate-limit-reset",
        "429 with the vendors' reset headers and no fallback",
        Scene(
            (
                (
                    Refusal(
                        429,
                        "rate",
                        (
                            "x-ratelimit-remaining-requests: 0",
                            "x-ratelimit-reset-requests: 2s",
                            "anthropic-ratelimit-requests-remaining: 0",
                            "anthropic-ratelimit-requests-reset: {iso+2}",
                        ),
                    ),
                ),
                (Healthy(),),
            )
        ),
        None,
        Must(by=("primary",), primary=(2, 2), fallback=(0, 0), wait_s=1.0),
        PAIR,
    ),
    Scenario(
        "rate-limit-hour",
        "429 with Retry-After 3600 and no fallback: told at once",
        once(Refusal(429, "rate", ("retry-after: 3600",))),
        None,
        Must(see=("error",), by=(), statuses=(429,), codes=("upstream_rate_limited",), fallback=(0, 0)),
        BOTH,
    ),
    Scenario(
        "server-error-alone",
        "500 for ever and no fallback: bounded attempts, then an error",
        once(Refusal(500, "server")),
        None,
        Must(see=("error",), by=(), statuses=(502, 503, 529), primary=(1, 4), fallback=(0, 0)),
        BOTH,
        longest_s=10.0,
    ),
    Scenario(
        "refused-connection",
        "nobody listens at the primary's address",
        GOOD,
        GOOD,
        Must(primary=(0, 0)),
        EVERY,
        is_primary_closed=True,
    ),
    Scenario(
        "upstream-401",
        "401 from the vendor: our credential, not the client's",
        once(Refusal(401, "auth")),
        GOOD,
        Must(),
        BOTH,
    ),
    Scenario(
        "upstream-401-alone",
        "401 from the vendor and no fallback: never the client's 401",
        once(Refusal(401, "auth")),
        None,
        Must(see=("error",), by=(), statuses=(502,), codes=("upstream_auth_failed",), fallback=(0, 0)),
        BOTH,
    ),
    Scenario(
        "bad-request",
        "400: the vendor's reason is passed on, nothing is retried",
        once(Refusal(400, "invalid")),
        GOOD,
        Must(see=("error",), by=(), statuses=(400,), codes=("upstream_rejected",), says="temperature", fallback=(0, 0)),
        BOTH,
    ),
    Scenario(
        "redirect",
        "302 to another place: never followed",
        once(Head(302, "text/plain", "length", 0, ("location: /elsewhere/primary/v1/chat/completions",))),
        GOOD,
        BEFORE,
        BOTH,
    ),
    Scenario(
        "endless-error",
        "503 whose body never ends",
        once(Head(503, "application/json", "length", 5000), Raw(b'{"error": '), Hang()),
        GOOD,
        BEFORE,
        BOTH,
        longest_s=20.0,
    ),
    Scenario(
        "half-open-burst",
        "primary down, six requests at once every 4 s: one probe at a time",
        Scene(((Wait(1.0), Refusal(503, "overloaded")), (Healthy(),)), down_s=20.0),
        GOOD,
        Must(by=("primary", "fallback"), primary=(2, 200), fallback=(1, 200)),
        (CHAT,),
        series=Series(count=12, burst=6, every_s=4.0, is_probed_singly=True, back_within_s=30.0),
        longest_s=15.0,
    ),
)
