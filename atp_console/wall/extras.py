"""The extra rows of the wall: lies about framing and content, floods, refusals, and callers that leave."""

from __future__ import annotations

from atp_console.wall.scenario import (
    CHAT,
    CHAT_PLAIN,
    EVERY,
    MESSAGES,
    MESSAGES_PLAIN,
    PLAIN,
    STREAMS,
    Must,
    Scenario,
    Series,
)
from atp_console.wall.steps import (
    BadUtf8,
    BigToken,
    Body,
    Close,
    Complaint,
    Done,
    Drip,
    End,
    EndlessTokens,
    Flood,
    GzipBomb,
    HalfClose,
    Hang,
    Head,
    Healthy,
    Lifecycle,
    NeverRead,
    Raw,
    Refusal,
    Reset,
    SlowHead,
    Stop,
    Thought,
    Tokens,
    ToolParts,
    Wait,
    Whole,
)
from atp_console.wall.turn import Step
from atp_console.wall.upstream import Scene

_GOOD = Scene(((Healthy(),),))
_PAIR = (CHAT, MESSAGES)
_BOTH = (*_PAIR, *PLAIN)
_OPENING = (Head(), Lifecycle())
_ENDING = (Stop(), Done(), End())
_HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
_MB = 1_048_576
_BEFORE = Must(primary=(1, 3))
"""A failure before the first content: the fallback answers."""
_KEPT = Must(by=("primary",), fallback=(0, 0))
"""Nothing is wrong: the primary's answer arrives."""


def _broken(tokens: int) -> Must:
    """A failure after the first content: an error inside the stream."""
    return Must(see=("broken",), by=("primary",), tokens=tokens, fallback=(0, 0))


def _once(*steps: Step) -> Scene:
    return Scene((steps,))


_REFUSALS = (
    Scenario(
        "rate-limit-alone",
        "429 with Retry-After 2 and no fallback: waited for",
        Scene(((Refusal(429, "rate", ("retry-after: 2",)),), (Healthy(),))),
        None,
        Must(by=("primary",), primary=(2, 2), fallback=(0, 0), wait_s=2.0),
        _BOTH,
    ),
    Scenario(
        "rate-limit-date",
        "429 with Retry-After as an HTTP date and no fallback",
        Scene(((Refusal(429, "rate", ("retry-after: {date+2}",)),), (Healthy(),))),
        None,
        Must(by=("primary",), primary=(2, 2), fallback=(0, 0), wait_s=1.0),
        _PAIR,
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
        _PAIR,
    ),
    Scenario(
        "rate-limit-hour",
        "429 with Retry-After 3600 and no fallback: told at once",
        _once(Refusal(429, "rate", ("retry-after: 3600",))),
        None,
        Must(see=("error",), by=(), statuses=(429,), codes=("upstream_rate_limited",), fallback=(0, 0)),
        _BOTH,
    ),
    Scenario(
        "server-error-alone",
        "500 for ever and no fallback: bounded attempts, then an error",
        _once(Refusal(500, "server")),
        None,
        Must(see=("error",), by=(), statuses=(502, 503, 529), primary=(1, 4), fallback=(0, 0)),
        _BOTH,
        longest_s=10.0,
    ),
    Scenario(
        "refused-connection",
        "nobody listens at the primary's address",
        _GOOD,
        _GOOD,
        Must(primary=(0, 0)),
        EVERY,
        is_primary_closed=True,
    ),
    Scenario(
        "upstream-401",
        "401 from the vendor: our credential, not the client's",
        _once(Refusal(401, "auth")),
        _GOOD,
        Must(),
        _BOTH,
    ),
    Scenario(
        "upstream-401-alone",
        "401 from the vendor and no fallback: never the client's 401",
        _once(Refusal(401, "auth")),
        None,
        Must(see=("error",), by=(), statuses=(502,), codes=("upstream_auth_failed",), fallback=(0, 0)),
        _BOTH,
    ),
    Scenario(
        "bad-request",
        "400: the vendor's reason is passed on, nothing is retried",
        _once(Refusal(400, "invalid")),
        _GOOD,
        Must(see=("error",), by=(), statuses=(400,), codes=("upstream_rejected",), says="temperature", fallback=(0, 0)),
        _BOTH,
    ),
    Scenario(
        "redirect",
        "302 to another place: never followed",
        _once(Head(302, "text/plain", "length", 0, ("location: /elsewhere/primary/v1/chat/completions",))),
        _GOOD,
        _BEFORE,
        _BOTH,
    ),
    Scenario(
        "endless-error",
        "503 whose body never ends",
        _once(Head(503, "application/json", "length", 5000), Raw(b'{"error": '), Hang()),
        _GOOD,
        _BEFORE,
        _BOTH,
    ),
    Scenario(
        "half-open-burst",
        "primary down, six requests at once every 4 s: one probe at a time",
        Scene(((Wait(1.0), Refusal(503, "overloaded")), (Healthy(),)), down_s=20.0),
        _GOOD,
        Must(by=("primary", "fallback"), primary=(2, 200), fallback=(1, 200)),
        (CHAT,),
        series=Series(count=12, burst=6, every_s=4.0, is_probed_singly=True, back_within_s=30.0),
        longest_s=15.0,
    ),
)

_FRAMING = (
    Scenario(
        "reset-in-head",
        "reset in the middle of the headers",
        _once(Raw(b"HTTP/1.1 200 OK\r\ncontent-ty"), Reset()),
        _GOOD,
        _BEFORE,
        _BOTH,
    ),
    Scenario(
        "slow-head",
        "headers one byte every 200 ms, without an end",
        _once(SlowHead(0.2)),
        _GOOD,
        Must(first_within_s=15.0),
        _PAIR,
        longest_s=25.0,
    ),
    Scenario(
        "interim-answers",
        "100 and 103 before the answer",
        _once(Raw(b"HTTP/1.1 100 Continue\r\n\r\n"), Raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"), Healthy()),
        _GOOD,
        _KEPT,
        _BOTH,
    ),
    Scenario(
        "half-close-at-end",
        "a body that ends with FIN, the connection stays half open",
        _once(Head(framing="eof"), Lifecycle(), Tokens(12), Stop(), Done(), HalfClose()),
        _GOOD,
        _KEPT,
        STREAMS,
    ),
    Scenario(
        "half-close-in-stream",
        "FIN after 5 tokens, the connection stays half open",
        _once(*_OPENING, Tokens(5), HalfClose()),
        _GOOD,
        _broken(5),
        STREAMS,
    ),
    Scenario("reset-in-stream", "TCP reset after 5 tokens", _once(*_OPENING, Tokens(5), Reset()), _GOOD, _broken(5)),
    Scenario(
        "ends-early",
        "an orderly end of the body after 5 tokens, without a finish reason",
        _once(*_OPENING, Tokens(5), End()),
        _GOOD,
        _broken(5),
    ),
    Scenario(
        "length-too-long",
        "Content-Length larger than the body",
        _once(Whole(lie=500)),
        _GOOD,
        _BEFORE,
        PLAIN,
    ),
    Scenario(
        "length-too-short",
        "Content-Length smaller than the body",
        _once(Whole(lie=-40)),
        _GOOD,
        _BEFORE,
        PLAIN,
    ),
    Scenario(
        "length-too-long-stream",
        "a stream whose Content-Length is larger than what comes, closed without a terminal event",
        _once(Head(framing="length", length=99_999), Lifecycle(), Tokens(5), Close()),
        _GOOD,
        _broken(5),
    ),
    Scenario(
        "bad-chunk",
        "a chunk size that is no number, after 5 tokens",
        _once(*_OPENING, Tokens(5), Raw(b"zz\r\nrubbish\r\n"), Hang()),
        _GOOD,
        _broken(5),
        _PAIR,
    ),
    Scenario(
        "length-and-chunks",
        "Content-Length and chunks at once: refused or read as chunks, never both",
        _once(Head(headers=("content-length: 20",)), Lifecycle(), Tokens(12), *_ENDING),
        _GOOD,
        Must(by=("primary", "fallback"), primary=(1, 3), fallback=(0, 1)),
        _PAIR,
    ),
    Scenario("not-http", "an answer that is not HTTP", _once(Raw(b"+OK ready\r\n"), Hang()), _GOOD, _BEFORE, _BOTH),
    Scenario(
        "stale-connection",
        "the kept connection is reset when it is used again",
        Scene(((Healthy(),), (Reset(),), (Healthy(),))),
        _GOOD,
        Must(by=("primary", "fallback"), primary=(2, 4), fallback=(0, 1)),
        _BOTH,
        series=Series(count=2, every_s=1.0),
    ),
    Scenario("one-byte", "one byte at a time", _once(Drip((Healthy(),))), _GOOD, _KEPT, _BOTH, longest_s=20.0),
    Scenario(
        "done-then-more",
        "more events after the terminal one: not passed on",
        _once(*_OPENING, Tokens(12), Stop(), Done(), Tokens(3), End()),
        _GOOD,
        Must(by=("primary",), fallback=(0, 0), tokens=12),
    ),
)

_CONTENT = (
    Scenario("truncated-json", "JSON cut in half with a right length", _once(Whole(cut=60)), _GOOD, _BEFORE, PLAIN),
    Scenario(
        "html-with-200",
        "an HTML page with status 200",
        _once(Head(200, "text/html", "length", len(_HTML)), Raw(_HTML)),
        _GOOD,
        _BEFORE,
        _BOTH,
    ),
    Scenario(
        "html-as-promised",
        "an HTML page with status 200 and the right content type",
        _once(Head(framing="length", length=len(_HTML)), Raw(_HTML)),
        _GOOD,
        _BEFORE,
        _BOTH,
    ),
    Scenario("empty-200", "status 200 without a body", _once(Head(framing="length")), _GOOD, _BEFORE, _BOTH),
    Scenario(
        "json-for-stream",
        "a whole answer to a stream call",
        _once(Whole(kind="application/json")),
        _GOOD,
        _BEFORE,
        _PAIR,
    ),
    Scenario("only-lifecycle", "a stream that ends before any content", _once(*_OPENING, End()), _GOOD, _BEFORE),
    Scenario(
        "only-terminal", "a stream of nothing but its terminal event", _once(Head(), Done(), End()), _GOOD, _BEFORE
    ),
    Scenario(
        "bad-utf8-first",
        "invalid UTF-8 in the first content",
        _once(*_OPENING, BadUtf8(), *_ENDING),
        _GOOD,
        _BEFORE,
        _PAIR,
    ),
    Scenario(
        "bad-utf8-later",
        "invalid UTF-8 after 5 tokens",
        _once(*_OPENING, Tokens(5), BadUtf8(), *_ENDING),
        _GOOD,
        _broken(5),
        _PAIR,
    ),
    Scenario(
        "bad-utf8-whole",
        "invalid UTF-8 in a whole answer",
        _once(Whole(into=(b"p1.3", b"\xff\xfe"))),
        _GOOD,
        _BEFORE,
        PLAIN,
    ),
    Scenario("gzip-bomb", "a gzip body that inflates to 64 MiB", _once(GzipBomb()), _GOOD, _BEFORE, _BOTH),
    Scenario(
        "error-before-content",
        "an error event inside a 200 stream, after its lifecycle events",
        _once(*_OPENING, Complaint("overloaded"), End()),
        _GOOD,
        _BEFORE,
    ),
    Scenario(
        "error-after-content",
        "an error event after 5 tokens",
        _once(*_OPENING, Tokens(5), Complaint("overloaded"), End()),
        _GOOD,
        _broken(5),
    ),
    Scenario(
        "big-event", "a single event of 1 MB", _once(*_OPENING, BigToken(_MB), *_ENDING), _GOOD, _KEPT, longest_s=10.0
    ),
    Scenario(
        "cut-in-tool-call",
        "a stream cut in the middle of a tool call's arguments",
        _once(*_OPENING, ToolParts(), Close()),
        _GOOD,
        _broken(0),
    ),
    Scenario(
        "reasoning-first",
        "reasoning at once, text after 16 s: reasoning is content",
        _once(*_OPENING, Thought(), Wait(16.0), Tokens(12), *_ENDING),
        _GOOD,
        Must(by=("primary",), fallback=(0, 0), within_s=16.0),
        _PAIR,
        longest_s=25.0,
    ),
    Scenario(
        "stop-then-silence",
        "finish reason, then silence: an end within the idle limit",
        _once(*_OPENING, Tokens(12), Stop(), Hang()),
        _GOOD,
        Must(see=("answer", "broken"), by=("primary",), tokens=12, fallback=(0, 0), within_s=20.0),
        longest_s=30.0,
    ),
    Scenario(
        "stall-in-whole",
        "a whole answer that stalls in the middle",
        _once(Head(framing="length", length=4000), Raw(b'{"id": "wall", '), Hang()),
        _GOOD,
        Must(within_s=20.0),
        PLAIN,
        longest_s=40.0,
    ),
)

_FLOODS = (
    Scenario(
        "endless-line",
        "an event that never ends: cut off in bounded memory",
        _once(Head(), Body(b'data: {"choices":[{"delta":{"content":"'), Flood(b"a" * 65_536)),
        _GOOD,
        Must(primary=(1, 2), most_sent_bytes=64 * _MB),
        _PAIR,
        longest_s=15.0,
    ),
    Scenario(
        "endless-comments",
        "comments for ever and no content",
        _once(Head(), Flood(b": still here\n\n", gap_s=0.1)),
        _GOOD,
        Must(first_within_s=15.0),
        _PAIR,
        longest_s=25.0,
    ),
    Scenario(
        "endless-head",
        "headers without an end",
        _once(Raw(b"HTTP/1.1 200 OK\r\n"), Flood(b"x-a: " + b"b" * 1000 + b"\r\n", is_framed=False)),
        _GOOD,
        Must(primary=(1, 3), most_sent_bytes=16 * _MB),
        _BOTH,
    ),
    Scenario(
        "endless-whole",
        "a whole answer without an end: cut off in bounded memory",
        _once(Head(), Body(b'{"id": "'), Flood(b"a" * 65_536)),
        _GOOD,
        Must(primary=(1, 2), most_sent_bytes=128 * _MB),
        (CHAT_PLAIN,),
        longest_s=20.0,
    ),
    Scenario(
        "never-read",
        "an upstream that does not read the request (4 MB)",
        _once(NeverRead(40.0)),
        _GOOD,
        Must(first_within_s=15.0),
        _PAIR,
        prompt_bytes=4 * _MB,
        longest_s=30.0,
    ),
    Scenario(
        "slow-reader",
        "the caller does not read: the upstream is slowed, not stored",
        _once(*_OPENING, EndlessTokens()),
        _GOOD,
        Must(see=("left",), by=("primary",), fallback=(0, 0), most_sent_bytes=48 * _MB),
        _PAIR,
        leave_after_s=2.0,
        is_reading=False,
    ),
)

_LEAVING = tuple(
    Scenario(name, title, _once(*steps), _GOOD, must, variants, leave_after_s=0.2, is_leaving_unanswered=unanswered)
    for must in (Must(see=("left",), by=("primary",), fallback=(0, 0), closes_within_s=0.25),)
    for name, title, steps, variants, unanswered in (
        ("leaves-in-stream", "the caller leaves in the middle", (*_OPENING, Tokens(5), Hang()), _PAIR, False),
        ("leaves-before-head", "the caller leaves before the headers", (Hang(),), (*_PAIR, *PLAIN), True),
        ("leaves-before-content", "the caller leaves before the content", (*_OPENING, Hang()), _PAIR, True),
        (
            "leaves-in-whole",
            "the caller leaves while a whole answer arrives",
            (Head(framing="length", length=4000), Raw(b"{"), Hang()),
            (CHAT_PLAIN, MESSAGES_PLAIN),
            True,
        ),
    )
)

EXTRAS: tuple[Scenario, ...] = (*_REFUSALS, *_FRAMING, *_CONTENT, *_FLOODS, *_LEAVING)
