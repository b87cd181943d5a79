"""The triplet window, {max_parallel, max_tokens, max_usd} and a request rate: the one primitive that admits work.

A `Rule` says what is limited, a `Window` counts for one subject of it (a key, a session ...), a `Hold` is
what one request has reserved in all its windows. Pure: times are arguments. The invariant: what is
used, in doubt and reserved never grows beyond the limit by a reservation, in any window or in none.
Only a call that uses more than was reserved for it passes a limit, by that difference; it is charged whole.
"""

from __future__ import annotations

from datetime import tzinfo
from enum import StrEnum
from math import inf

import msgspec

from atp_engine.limits.rate import TokenBucket
from atp_engine.limits.window_calendar import Period, bounds

NO_LIMIT = 2**62
THRESHOLDS = (80, 95, 100)
"""Percent of a limit at which people are told."""
_SOON_S = 1.0


class Scope(StrEnum):
    """Whose work a window counts."""

    __hash__ = str.__hash__

    EVERYTHING = "everything"
    KEY = "key"
    PROJECT = "project"
    SESSION = "session"
    ROUTE = "route"
    DEPLOYMENT = "deployment"


class OnExceed(StrEnum):
    """What becomes of a request that does not fit: the last two of four are soft."""

    __hash__ = str.__hash__

    REFUSE = "refuse"
    QUEUE = "queue"
    CHEAPEST = "cheapest"
    LOCAL_ONLY = "local_only"


class Rule(msgspec.Struct, frozen=True, eq=False):
    """A limit from the config or from a key. Amounts are NO_LIMIT where nothing is said."""

    name: str
    scope: Scope
    of: frozenset[str]
    """Names of subjects; empty is every one. Each subject has a window of its own."""
    period: Period
    zone: tzinfo
    max_parallel: int = NO_LIMIT
    max_tokens: int = NO_LIMIT
    max_nusd: int = NO_LIMIT
    per_minute: int = 0
    """Requests per minute, 0 for none; a deployment's are upstream calls."""
    on_exceed: OnExceed = OnExceed.REFUSE

    @property
    def is_soft(self) -> bool:
        """Work beyond it is made cheaper instead of refused."""
        return self.on_exceed in (OnExceed.CHEAPEST, OnExceed.LOCAL_ONLY)

    @property
    def is_durable(self) -> bool:
        """Its counts outlive a crash."""
        return self.period is not Period.IN_FLIGHT and (self.max_tokens, self.max_nusd) != (NO_LIMIT, NO_LIMIT)

    @property
    def fingerprint(self) -> str:
        """What was counted: as long as it is the same, counts carry over to a rule with other limits."""
        counted = "durable" if self.is_durable else "in memory"
        return "|".join((self.scope, self.period, str(self.zone), counted, ",".join(sorted(self.of))))


class Window:
    """The counts of one subject in the present period."""

    __slots__ = (
        "_before",
        "bucket",
        "doubt_nusd",
        "doubt_tokens",
        "ends_at",
        "in_flight",
        "is_dirty",
        "lease",
        "next_nusd",
        "next_tokens",
        "nusd",
        "pace",
        "posted_nusd",
        "posted_tokens",
        "reserved_nusd",
        "reserved_tokens",
        "rule",
        "starts_at",
        "subject",
        "tokens",
        "told",
        "wanted",
    )  # fmt: skip

    def __init__(self, rule: Rule, subject: str, now: float) -> None:
        self.subject = subject
        self.in_flight = self.reserved_tokens = self.reserved_nusd = 0
        self.tokens = self.nusd = 0
        """Used in this period, by what attempts reported."""
        self.doubt_tokens = self.doubt_nusd = 0
        """Held for work whose end is not known, since the engine was killed under it."""
        self.posted_tokens = self.posted_nusd = 0
        """The part of the used that is in ledger lines."""
        self.is_dirty = False
        self._before: tuple[float, int, int] | None = None
        self.bucket: TokenBucket | None = None
        self.starts_at, self.ends_at = bounds(rule.period, now, rule.zone)
        self.change(rule)

    def change(self, rule: Rule) -> None:
        """Other limits from now on; the counts stay."""
        self.rule = rule
        self.told = 0
        self._aim()
        if not rule.per_minute:
            self.bucket = None
        self._begin()

    def turn(self, now: float) -> None:
        """Enters the period around `now`.

        Later than the present one: counts begin at nothing. Earlier (the clock was wrong and was set
        back): what was used since stays used, with what that period had used before.
        """
        starts_at, ends_at = bounds(self.rule.period, now, self.rule.zone)
        if starts_at < self.starts_at:
            if self._before is not None and self._before[0] == starts_at:
                self.tokens += self._before[1]
                self.nusd += self._before[2]
            self.posted_tokens, self.posted_nusd = self.tokens, self.nusd
            self._before = None
        elif starts_at > self.starts_at:
            self._before = (self.starts_at, self.tokens + self.doubt_tokens, self.nusd + self.doubt_nusd)
            self.tokens = self.nusd = self.doubt_tokens = self.doubt_nusd = 0
            self.posted_tokens = self.posted_nusd = 0
        self.starts_at, self.ends_at = starts_at, ends_at
        self.told = 0
        self._begin()
        self._aim()

    def _begin(self) -> None:
        """Nothing of the disk's leave is known: it is asked for by the next reservation."""
        rule = self.rule
        self.lease = self.wanted = (
            0 if rule.is_durable and rule.max_tokens != NO_LIMIT else NO_LIMIT,
            0 if rule.is_durable and rule.max_nusd != NO_LIMIT else NO_LIMIT,
        )
        """Tokens and nano-dollars up to which the disk knows that they may be used; and what is on its way."""
        self.pace = (0.0, 0, 0)

    def needs(self) -> tuple[int, int]:
        """Tokens and nano-dollars that are used, in doubt or reserved."""
        return (
            self.tokens + self.doubt_tokens + self.reserved_tokens,
            self.nusd + self.doubt_nusd + self.reserved_nusd,
        )

    def share(self) -> float:
        """The largest share of a limit that is in use: 0 is nothing, 1 is full; -1 where there is no limit."""
        rule = self.rule
        needed = zip((*self.needs(), self.in_flight), (rule.max_tokens, rule.max_nusd, rule.max_parallel), strict=True)
        shares = [use / most if most else 1.0 for use, most in needed if most != NO_LIMIT]
        return max(shares, default=-1.0)

    def is_quiet(self) -> bool:
        """Nothing is in flight, on its way to the disk or still to be written."""
        return not (self.in_flight or self.is_dirty) and self.wanted == self.lease

    def is_short(self) -> bool:
        """The disk does not know yet that so much may be used."""
        tokens, nusd = self.lease
        return (
            self.nusd + self.doubt_nusd + self.reserved_nusd > nusd
            or self.tokens + self.doubt_tokens + self.reserved_tokens > tokens
        )

    def next_lease(self, tokens: int, nusd: int, mono: float) -> tuple[int, int]:
        """A lease that covers what is needed and a block ahead.

        The block is some requests of this size, doubled while leases follow each other within a second, at
        most a 64th of the limit: what a crash leaves in doubt stays small.
        """
        at, last_tokens, last_nusd = self.pace
        is_fast = mono - at < 1.0
        rule = self.rule
        ahead_tokens = min(rule.max_tokens >> 6, max(4 * tokens, 2 * last_tokens if is_fast else 0))
        ahead_nusd = min(rule.max_nusd >> 6, max(4 * nusd, 2 * last_nusd if is_fast else 0))
        self.pace = (mono, ahead_tokens, ahead_nusd)
        needed_tokens, needed_nusd = self.needs()
        return (
            NO_LIMIT if self.lease[0] == NO_LIMIT else _ahead(needed_tokens, ahead_tokens, rule.max_tokens),
            NO_LIMIT if self.lease[1] == NO_LIMIT else _ahead(needed_nusd, ahead_nusd, rule.max_nusd),
        )

    def lacks(self, tokens: int, nusd: int, mono: float) -> str:
        """The limit of the rule, by its name in the config, that this work would exceed; empty when it fits."""
        rule = self.rule
        if self.in_flight >= rule.max_parallel:
            return "max_parallel"
        if self.tokens + self.doubt_tokens + self.reserved_tokens + tokens > rule.max_tokens:
            return "max_tokens"
        if self.nusd + self.doubt_nusd + self.reserved_nusd + nusd > rule.max_nusd:
            return "max_usd"
        if rule.per_minute:
            bucket = self.bucket
            if bucket is None or bucket.per_minute != rule.per_minute:
                bucket = self.bucket = TokenBucket(rule.per_minute, mono)
            if bucket.wait_s(mono):
                return "requests_per_minute"
        return ""

    def enter(self, tokens: int, nusd: int, mono: float) -> None:
        """Takes a place and reserves; `lacks` was asked before."""
        self.in_flight += 1
        self.reserved_tokens += tokens
        self.reserved_nusd += nusd
        if self.bucket is not None:
            self.bucket.take(mono)

    def post(self, starts_at: float, tokens: int, nusd: int) -> None:
        """What was charged in the period that began at `starts_at` has its ledger line now."""
        if starts_at == self.starts_at:
            self.posted_tokens += tokens
            self.posted_nusd += nusd
            self.is_dirty = True

    def frees_in_s(self, limit: str, tokens: int, nusd: int, now: float, mono: float) -> float:
        """Seconds until work that lacked this limit may fit."""
        rule = self.rule
        if limit == "requests_per_minute" and self.bucket is not None:
            return max(_SOON_S, self.bucket.wait_s(mono))
        if limit == "max_parallel" or self.ends_at == inf:
            return _SOON_S
        used = self.tokens + self.doubt_tokens if limit == "max_tokens" else self.nusd + self.doubt_nusd
        most, more = (rule.max_tokens, tokens) if limit == "max_tokens" else (rule.max_nusd, nusd)
        is_only_reserved = used + more <= most
        return _SOON_S if is_only_reserved else max(_SOON_S, self.ends_at - now)

    def passed(self) -> int:
        """The highest threshold in percent that was reached since the last call, 0 for none."""
        reached = 0
        for limit, used in ((self.rule.max_tokens, self.tokens), (self.rule.max_nusd, self.nusd)):
            if limit != NO_LIMIT:
                reached = max([reached, *(percent for percent in THRESHOLDS if used * 100 >= limit * percent)])
        new, self.told = (reached if reached > self.told else 0), max(reached, self.told)
        self._aim()
        return new

    def _aim(self) -> None:
        """Where the next threshold lies, so that most charges pay one comparison."""
        percent = next((step for step in THRESHOLDS if step > self.told), 0)
        rule = self.rule
        self.next_tokens = -(-rule.max_tokens * percent // 100) if percent and rule.max_tokens != NO_LIMIT else NO_LIMIT
        self.next_nusd = -(-rule.max_nusd * percent // 100) if percent and rule.max_nusd != NO_LIMIT else NO_LIMIT


def _ahead(needed: int, block: int, most: int) -> int:
    return max(needed, min(needed + block, most))


class Lack(msgspec.Struct, frozen=True, eq=False):
    """Why work does not fit: the window and the name of its limit."""

    window: Window
    limit: str
    tokens: int
    nusd: int


Windows = tuple[Window, ...]


def first_lack(windows: Windows, tokens: int, nusd: int, now: float, mono: float, *, is_soft: bool) -> Lack | None:
    """The first of the soft or of the hard windows that has no room; all are brought to the present period."""
    for window in windows:
        if not window.starts_at <= now < window.ends_at:
            window.turn(now)
        if window.rule.is_soft is is_soft:
            limit = window.lacks(tokens, nusd, mono)
            if limit:
                return Lack(window, limit, tokens, nusd)
    return None


class Hold:
    """What one request has reserved: in its own windows all the time, in a deployment's during an attempt.

    `release` must follow on every exit; after it, and after any number of attempts, what is reserved is
    what it was before.
    """

    __slots__ = ("_is_idle", "_is_open", "_own", "_unposted", "_windows", "nusd", "tokens")

    def __init__(self, windows: Windows, tokens: int, nusd: int, mono: float) -> None:
        """Reserves in all of `windows`; `first_lack` was asked in the same step."""
        self._windows = windows
        self._own: Windows = ()
        self._unposted: list[tuple[Window, float, int, int]] = []
        self._is_open = True
        self._is_idle = True
        self.tokens = tokens
        self.nusd = nusd
        for window in windows:
            window.enter(tokens, nusd, mono)

    @property
    def windows(self) -> Windows:
        """All windows in which something is reserved."""
        return self._windows + self._own

    def attempt(self, own: Windows, tokens: int, nusd: int, now: float, mono: float) -> Lack | None:
        """Reserves for one upstream call, that of the deployment whose windows are `own`, instead of what
        is reserved now; or changes nothing and says what lacks. Soft windows let everything pass."""
        self._leave_own()
        more_tokens, more_nusd = tokens - self.tokens, nusd - self.nusd
        if more_tokens > 0 or more_nusd > 0:
            for window in self._windows:
                if not window.starts_at <= now < window.ends_at:
                    window.turn(now)
                lack = _lack_of_more(window, max(0, more_tokens), max(0, more_nusd))
                if lack is not None:
                    return lack
        lack = first_lack(own, tokens, nusd, now, mono, is_soft=False)
        if lack is not None:
            return lack
        for window in self._windows:
            window.reserved_tokens += more_tokens
            window.reserved_nusd += more_nusd
        for window in own:
            window.enter(tokens, nusd, mono)
        self._own = own
        self.tokens, self.nusd = tokens, nusd
        return None

    def _leave_own(self) -> None:
        for window in self._own:
            window.in_flight -= 1
            if window.bucket is not None:
                window.bucket.give_back()
            window.reserved_tokens -= self.tokens
            window.reserved_nusd -= self.nusd
        self._own = ()

    def settle(self, tokens: int, nusd: int) -> bool:
        """Ends the attempt's reservation and charges what it used; True when a window came near its limit."""
        held_tokens, held_nusd, own = self.tokens, self.nusd, self._own
        self._is_idle = False
        self.tokens = self.nusd = 0
        self._own = ()
        is_near = False
        is_used = tokens or nusd
        for window in self._windows + own if own else self._windows:
            window.reserved_tokens -= held_tokens
            window.reserved_nusd -= held_nusd
            if is_used:
                window.tokens += tokens
                window.nusd += nusd
                self._unposted.append((window, window.starts_at, tokens, nusd))
                if window.tokens >= window.next_tokens or window.nusd >= window.next_nusd:
                    is_near = True
        for window in own:
            window.in_flight -= 1
        return is_near

    def post(self) -> None:
        """The charges so far get their ledger lines in this very step."""
        for window, starts_at, tokens, nusd in self._unposted:
            window.post(starts_at, tokens, nusd)
        self._unposted.clear()

    def release(self) -> bool:
        """Gives back whatever is still reserved; False when that was done before.

        A request without a settled attempt was never served: it does not count in a request rate.
        """
        if not self._is_open:
            return False
        self._is_open = False
        self._leave_own()
        for window in self._windows:
            window.in_flight -= 1
            window.reserved_tokens -= self.tokens
            window.reserved_nusd -= self.nusd
            if self._is_idle and window.bucket is not None:
                window.bucket.give_back()
        self.tokens = self.nusd = 0
        return True


def _lack_of_more(window: Window, tokens: int, nusd: int) -> Lack | None:
    """What lacks for a reservation to grow."""
    rule = window.rule
    if rule.is_soft:
        return None
    if tokens and window.tokens + window.doubt_tokens + window.reserved_tokens + tokens > rule.max_tokens:
        return Lack(window, "max_tokens", tokens, nusd)
    if nusd and window.nusd + window.doubt_nusd + window.reserved_nusd + nusd > rule.max_nusd:
        return Lack(window, "max_usd", tokens, nusd)
    return None
