"""What the rows of the wall share: behaviours and expectations that come up again and again."""

from __future__ import annotations

from atp_console.wall.answers import Healthy
from atp_console.wall.scenario import CHAT, MESSAGES, PLAIN, Must
from atp_console.wall.steps import Done, End, Head, Heard, Lifecycle, Stop, Tokens
from atp_console.wall.turn import Step
from atp_console.wall.upstream import Scene

MB = 1_048_576
GOOD = Scene(((Healthy(),),))
PAIR = (CHAT, MESSAGES)
BOTH = (*PAIR, *PLAIN)
OPENING: tuple[Step, ...] = (Head(), Lifecycle())
HEARD_5: tuple[Step, ...] = (*OPENING, Tokens(5), Heard())
"""Five tokens have reached the caller."""
ENDING: tuple[Step, ...] = (Stop(), Done(), End())
BEFORE = Must(primary=(1, 2))
"""A failure before the first content: the fallback answers, after at most one retry."""
KEPT = Must(by=("primary",), fallback=(0, 0))
"""Nothing is wrong: the primary's answer arrives."""


def broken(tokens: int) -> Must:
    """A failure after the first content: an error inside the stream."""
    return Must(see=("broken",), by=("primary",), tokens=tokens, fallback=(0, 0))


def once(*steps: Step) -> Scene:
    """The same for every call."""
    return Scene((steps,))
