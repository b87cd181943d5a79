"""Rows of the wall in which the answer itself is wrong: no JSON, no UTF-8, no end, the wrong kind."""

from __future__ import annotations

from atp_console.wall.answers import GzipBomb, OddEvents, Refusal, Whole
from atp_console.wall.pieces import BEFORE, BOTH, ENDING, GOOD, HEARD_5, KEPT, MB, OPENING, PAIR, broken, once
from atp_console.wall.scenario import PLAIN, Must, Scenario
from atp_console.wall.steps import (
    BadUtf8,
    BigToken,
    Body,
    Close,
    Complaint,
    Done,
    End,
    Hang,
    Head,
    Raw,
    Stop,
    Thought,
    Tokens,
    ToolParts,
    Wait,
)

_DEEP = b'{"choices":' + b"[" * 100_000
_HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"

CONTENTS: tuple[Scenario, ...] = (
    Scenario("truncated-json", "JSON cut in half with a right length", once(Whole(cut=60)), GOOD, BEFORE, PLAIN),
    Scenario(
        "html-with-200",
        "an HTML page with status 200",
        once(Head(200, "text/html", "length", len(_HTML)), Raw(_HTML)),
        GOOD,
        BEFORE,
        BOTH,
    ),
    Scenario(
        "html-as-promised",
        "an HTML page with status 200 and the right content type",
        once(Head(framing="length", length=len(_HTML)), Raw(_HTML)),
        GOOD,
        BEFORE,
        BOTH,
    ),
    Scenario("empty-200", "status 200 without a body", once(Head(framing="length")), GOOD, BEFORE, BOTH),
    Scenario(
        "json-for-stream",
        "a whole answer to a stream call",
        once(Whole(kind="application/json")),
        GOOD,
        BEFORE,
        PAIR,
    ),
    Scenario("only-lifecycle", "a stream that ends before any content", once(*OPENING, End()), GOOD, BEFORE),
    Scenario("only-terminal", "a stream of nothing but its terminal event", once(Head(), Done(), End()), GOOD, BEFORE),
    Scenario(
        "bad-utf8-first",
        "invalid UTF-8 in the first content",
        once(*OPENING, BadUtf8(), *ENDING),
        GOOD,
        BEFORE,
        PAIR,
    ),
    Scenario(
        "bad-utf8-later",
        "invalid UTF-8 after 5 tokens",
        once(*HEARD_5, BadUtf8(), *ENDING),
        GOOD,
        broken(5),
        PAIR,
    ),
    Scenario(
        "bad-utf8-whole",
        "invalid UTF-8 in a whole answer",
        once(Whole(into=(b"p1.3", b"\xff\xfe"))),
        GOOD,
        BEFORE,
        PLAIN,
    ),
    Scenario("gzip-bomb", "a gzip body that inflates to 64 MiB", once(GzipBomb()), GOOD, BEFORE, BOTH),
    Scenario(
        "error-before-content",
        "an error event inside a 200 stream, after its lifecycle events",
        once(*OPENING, Complaint("overloaded"), End()),
        GOOD,
        BEFORE,
    ),
    Scenario(
        "error-after-content",
        "an error event after 5 tokens",
        once(*HEARD_5, Complaint("overloaded"), End()),
        GOOD,
        broken(5),
    ),
    Scenario("big-event", "a single event of 1 MB", once(*OPENING, BigToken(MB), *ENDING), GOOD, KEPT, longest_s=10.0),
    Scenario(
        "cut-in-tool-call",
        "a stream cut in the middle of a tool call's arguments",
        once(*OPENING, ToolParts(), Close()),
        GOOD,
        broken(0),
    ),
    Scenario(
        "reasoning-first",
        "reasoning at once, text after 16 s: reasoning is content",
        once(*OPENING, Thought(), Wait(16.0), Tokens(12), *ENDING),
        GOOD,
        Must(by=("primary",), fallback=(0, 0), within_s=16.0),
        PAIR,
        longest_s=25.0,
    ),
    Scenario(
        "stop-then-silence",
        "finish reason, then silence: an end within the idle limit",
        once(*OPENING, Tokens(12), Stop(), Hang()),
        GOOD,
        Must(see=("answer", "broken"), by=("primary",), tokens=12, fallback=(0, 0), within_s=20.0),
        longest_s=30.0,
    ),
    Scenario(
        "stall-in-whole",
        "a whole answer that stalls in the middle",
        once(Head(framing="length", length=4000), Raw(b'{"id": "wall", '), Hang()),
        GOOD,
        Must(within_s=20.0),
        PLAIN,
        longest_s=40.0,
    ),
    Scenario(
        "error-with-200", "an error object with status 200", once(Refusal(200, "overloaded")), GOOD, BEFORE, PLAIN
    ),
    Scenario(
        "deep-json",
        "JSON nested a hundred thousand deep",
        once(Head(framing="length", length=len(_DEEP)), Raw(_DEEP)),
        GOOD,
        BEFORE,
        PLAIN,
    ),
    Scenario(
        "deep-json-event",
        "an event whose JSON is nested a hundred thousand deep",
        once(*HEARD_5, Body(b"data: " + _DEEP + b"\n\n"), *ENDING),
        GOOD,
        broken(5),
        PAIR,
    ),
    Scenario(
        "crlf-events",
        "events that end with CRLF, a byte order mark, comments, no space after the colon",
        once(OddEvents()),
        GOOD,
        KEPT,
    ),
)
