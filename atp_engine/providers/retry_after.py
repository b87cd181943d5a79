"""When a vendor wants to be asked again: the many forms of Retry-After as seconds from now.

`http` asks for every answer that is not 200. Pure: the clock is an argument, and the answer's own Date
is preferred to it, so a vendor's clock that is off does no harm. Forms as of November 2026.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

Headers = list[tuple[bytes, bytes]]

LONGEST_WAIT_S = 86_400.0
"""Nobody is believed beyond a day. How long we are willing to wait is decided by those who wait."""

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_PART = r"(?:(\d{1,6}(?:\.\d{1,9})?)%s)?"
_DURATION = re.compile("".join(_PART % unit for unit in ("d", "h", "m(?!s)", "s", "ms")), re.ASCII)
_LIMIT = re.compile(r"(?:anthropic|x)-ratelimit-(?:.+-)?reset(?:-.+)?")
"""`x-ratelimit-reset`, `x-ratelimit-reset-tokens`, `anthropic-ratelimit-tokens-reset`."""
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d.{0,20}", re.ASCII)
_SECONDS_SINCE_EPOCH = 1_000_000_000.0
_MILLISECONDS_SINCE_EPOCH = 1_000_000_000_000.0


def retry_after_s(headers: Headers, now: float) -> float | None:
    """The wait that a rate limited answer asks for, in seconds, 0 to a day; None when it does not.

    `now` is UTC epoch seconds; names are in lower case. Read in this order: retry-after-ms, retry-after
    (seconds or a date), then the reset of whichever limit has nothing left (OpenAI's durations,
    Anthropic's instants), else the earliest reset named.
    """
    stated = stated_wait_s(headers, now)
    return stated if stated is not None else _reset_wait_s(headers, now)


def stated_wait_s(headers: Headers, now: float) -> float | None:
    """Only what is said outright; for failures that have nothing to do with rates."""
    values = _texts(headers)
    milliseconds = _number(values.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000.0)
    return _wait(values.get("retry-after", ""), _base(values, now))


def _reset_wait_s(headers: Headers, now: float) -> float | None:
    values = _texts(headers)
    base = _base(values, now)
    spent: list[float] = []
    named: list[float] = []
    for name, value in values.items():
        found = _LIMIT.fullmatch(name)
        wait = _wait(value, base) if found else None
        if found is None or wait is None:
            continue
        named.append(wait)
        if _number(values.get(name.replace("reset", "remaining"), "")) == 0:
            spent.append(wait)
    if spent:
        return max(spent)
    return min(named, default=None)


def _texts(headers: Headers) -> dict[str, str]:
    """Header values by name, the first of equal names."""
    values: dict[str, str] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1"), value[:128].decode("latin-1").strip())
    return values


def _base(values: dict[str, str], now: float) -> float:
    """The instant that dates count from."""
    sent_at = _instant(values.get("date", ""))
    return now if sent_at is None else sent_at


def _wait(text: str, base: float) -> float | None:
    number = _number(text)
    if number is not None:
        if number >= _MILLISECONDS_SINCE_EPOCH:
            return _bounded(number / 1000.0 - base)
        return _bounded(number - base if number >= _SECONDS_SINCE_EPOCH else number)
    found = _DURATION.fullmatch(text)
    if found and text:
        days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return _bounded(days * 86_400 + hours * 3_600 + minutes * 60 + seconds + milliseconds / 1000)
    at = _instant(text)
    return None if at is None else _bounded(at - base)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _instant(text: str) -> float | None:
    """Epoch seconds of an HTTP date or an RFC 3339 instant, None for anything else."""
    try:
        at = datetime.fromisoformat(text) if _RFC_3339.fullmatch(text) else parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
