"""When a window's period begins and ends, and which clock it believes.

Pure: instants and time zones are arguments. Periods follow the calendar of a stated time zone; the wall
clock is believed as long as it agrees with the monotonic one.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from math import inf

SLEW_S = 5.0
"""Most that the wall clock may differ from what the monotonic one says without being a jump."""
SETTLE_S = 60.0
"""How long the wall clock must keep to a jump before it is believed."""


class Period(StrEnum):
    """What a window's tokens and dollars are counted over."""

    __hash__ = str.__hash__

    IN_FLIGHT = "in_flight"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def bounds(period: Period, at: float, zone: tzinfo) -> tuple[float, float]:
    """The period around the instant `at` (UTC epoch seconds): its first instant and the next one's.

    A day may have 23 or 25 hours; `in_flight` has no bounds.
    """
    if period is Period.IN_FLIGHT:
        return -inf, inf
    here = datetime.fromtimestamp(at, zone)
    if period in (Period.MINUTE, Period.HOUR):
        into = here.second + here.microsecond / 1e6
        into += here.minute * 60.0 if period is Period.HOUR else 0.0
        start = round(at - into)
        return float(start), float(start + (3600 if period is Period.HOUR else 60))
    first = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period is Period.DAY:
        following = datetime.combine(first.date() + timedelta(days=1), first.timetz())
    else:
        first = first.replace(day=1)
        is_december = first.month == 12
        following = first.replace(year=first.year + is_december, month=1 if is_december else first.month + 1)
    return first.timestamp(), following.timestamp()


class BelievedTime:
    """The time that windows go by: the wall clock, but not where it jumps.

    A difference of up to 5 s between the two clocks is followed, never backwards. A larger one is a jump:
    time goes on by the monotonic clock, and the new wall time is believed once it has stood for a minute,
    as after a sleep of the machine or a correction by an operator.
    """

    __slots__ = ("_doubted_s", "_last", "_mono", "_since", "_wall")

    def __init__(self, wall: float, mono: float) -> None:
        self._wall = self._last = wall
        self._mono = mono
        self._doubted_s = 0.0
        self._since = inf

    def at(self, wall: float, mono: float) -> float:
        """The believed UTC epoch seconds."""
        expected = self._wall + (mono - self._mono)
        off_s = wall - expected
        if -SLEW_S <= off_s <= SLEW_S:
            self._since = inf
            self._wall = self._last = max(wall, self._last)  # behind: stand still until it has caught up
            self._mono = mono
            return self._wall
        if self._since == inf or abs(off_s - self._doubted_s) > SLEW_S:
            self._doubted_s, self._since = off_s, mono
        elif mono - self._since >= SETTLE_S:
            self._since = inf
            self._wall, self._mono, self._last = wall, mono, wall
            return wall
        self._last = expected
        return expected
