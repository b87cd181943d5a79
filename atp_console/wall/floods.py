"""Rows of the wall about what must be bounded: floods, readers that stop, callers that leave."""

from __future__ import annotations

from atp_console.wall.pieces import BOTH, GOOD, HEARD_5, MB, OPENING, PAIR, once
from atp_console.wall.scenario import CHAT_PLAIN, MESSAGES_PLAIN, PLAIN, Must, Scenario
from atp_console.wall.steps import Body, EndlessTokens, Flood, Hang, Head, NeverRead, Raw

FLOODS: tuple[Scenario, ...] = (
    Scenario(
        "endless-line",
        "an event that never ends: cut off in bounded memory",
        once(Head(), Body(b'data: {"choices":[{"delta":{"content":"'), Flood(b"a" * 65_536)),
        GOOD,
        Must(primary=(1, 2), most_sent_bytes=64 * MB),
        PAIR,
        longest_s=15.0,
    ),
    Scenario(
        "endless-comments",
        "comments for ever and no content",
        once(Head(), Flood(b": still here\n\n", gap_s=0.1)),
        GOOD,
        Must(first_within_s=15.0),
        PAIR,
        longest_s=25.0,
    ),
    Scenario(
        "flood-of-comments",
        "comments as fast as they are taken, no content and no fallback",
        once(Head(), Flood(b": still here\n\n" * 1000)),
        None,
        Must(see=("error",), by=(), statuses=(502,), primary=(1, 2), fallback=(0, 0), most_sent_bytes=32 * MB),
        PAIR,
        longest_s=10.0,
    ),
    Scenario(
        "endless-head",
        "headers without an end",
        once(Raw(b"HTTP/1.1 200 OK\r\n"), Flood(b"x-a: " + b"b" * 1000 + b"\r\n", is_framed=False)),
        GOOD,
        Must(primary=(1, 2), most_sent_bytes=16 * MB),
        BOTH,
    ),
    Scenario(
        "endless-whole",
        "a whole answer without an end: cut off in bounded memory",
        once(Head(), Body(b'{"id": "'), Flood(b"a" * 65_536)),
        GOOD,
        Must(primary=(1, 2), most_sent_bytes=128 * MB),
        (CHAT_PLAIN,),
        longest_s=20.0,
    ),
    Scenario(
        "never-read",
        "an upstream that does not read the request (4 MB)",
        once(NeverRead(40.0)),
        GOOD,
        Must(first_within_s=15.0),
        PAIR,
        prompt_bytes=4 * MB,
        longest_s=30.0,
    ),
    Scenario(
        "slow-reader",
        "the caller does not read: the upstream is slowed, not stored",
        once(*OPENING, EndlessTokens()),
        GOOD,
        Must(see=("left",), by=("primary",), fallback=(0, 0), most_sent_bytes=48 * MB),
        PAIR,
        leave_after_s=2.0,
        is_reading=False,
    ),
)

LEAVING: tuple[Scenario, ...] = tuple(
    Scenario(name, title, once(*steps), GOOD, must, variants, leave_after_s=0.2, is_leaving_unanswered=unanswered)
    for must in (Must(see=("left",), by=("primary",), fallback=(0, 0), closes_within_s=0.25),)
    for name, title, steps, variants, unanswered in (
        ("leaves-in-stream", "the caller leaves in the middle", (*HEARD_5, Hang()), PAIR, False),
        ("leaves-before-head", "the caller leaves before the headers", (Hang(),), (*PAIR, *PLAIN), True),
        ("leaves-before-content", "the caller leaves before the content", (*OPENING, Hang()), PAIR, True),
        (
            "leaves-in-whole",
            "the caller leaves while a whole answer arrives",
            (Head(framing="length", length=4000), Raw(b"{"), Hang()),
            (CHAT_PLAIN, MESSAGES_PLAIN),
            True,
        ),
    )
)
