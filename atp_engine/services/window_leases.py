"""What the disk knows of windows: leases ahead of the work, marks behind it, and how counts come back after a start.

The rule. No work starts unless a committed lease covers what its windows have used, have in doubt and have
reserved; leases are taken in blocks, so that most requests wait for no commit. What attempts used is in
their ledger lines, which are committed before the answer ends. After any end of the process a window has used
exactly what the ledger lines of its period say (the mark, plus the lines after it). The rest of the lease is
kept in doubt until the period ends: calls were in flight that a vendor may charge without a line of ours.
An orderly end gives the rest back. Used on the event loop only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from atp_engine.core.errors import StorageError
from atp_engine.core.ports import Clock
from atp_engine.limits.window import NO_LIMIT, Rule, Scope, Window
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.windows import Amount, Kept, LedgerSum, Reached, WindowRepository

_Granted = tuple[Window, float, tuple[int, int]]


class Leases:
    """Asks for leases, writes marks, restores."""

    def __init__(self, repository: WindowRepository, requests: RequestRepository, clock: Clock) -> None:
        self._repository = repository
        self._requests = requests
        self._clock = clock
        self._granted: deque[_Granted] = deque()

    def look_ahead(self, window: Window, tokens: int, nusd: int) -> None:
        """Asks for more in good time, without a wait, when less than a request or two of this size is left."""
        if self._granted:
            self._collect()
        need_tokens, need_nusd = window.needs()
        if need_tokens + tokens + tokens <= window.wanted[0] and need_nusd + nusd + nusd <= window.wanted[1]:
            return
        rule = window.rule
        if window.wanted[0] >= min(rule.max_tokens, NO_LIMIT) and window.wanted[1] >= min(rule.max_nusd, NO_LIMIT):
            return  # all that the rule allows
        lease = window.next_lease(tokens, nusd, self._clock.monotonic())
        if lease == window.wanted:
            return
        entry = (window, window.starts_at, lease)
        if self._repository.lease_soon([_amount(window, lease)], partial(self._granted.append, entry)):
            window.wanted = lease

    async def secure(self, windows: Iterable[Window], tokens: int, nusd: int) -> None:
        """Returns once committed leases cover all these windows. Raises StorageError when they do not in time."""
        watched = tuple(windows)
        for is_last in (False, True):
            self._collect()
            short = [window for window in watched if window.is_short()]
            if not short:
                return
            grown: list[_Granted] = []
            for window in short:
                needed = window.needs()
                if is_last or needed[0] > window.wanted[0] or needed[1] > window.wanted[1]:
                    window.wanted = window.next_lease(tokens, nusd, self._clock.monotonic())
                    grown.append((window, window.starts_at, window.wanted))
            try:
                await self._repository.lease([_amount(window, lease) for window, _, lease in grown])
            except StorageError:
                for window, _, lease in grown:
                    if window.wanted == lease:
                        window.wanted = window.lease
                raise
            self._granted.extend(grown)
        self._collect()
        if any(window.is_short() for window in watched):
            raise StorageError("the leases of windows could not be committed")

    def _collect(self) -> None:
        """Takes note of what was committed; a lease of a period that is over counts for nothing."""
        granted = self._granted
        while granted:
            window, starts_at, (tokens, nusd) = granted.popleft()
            if window.starts_at == starts_at:
                window.lease = (max(window.lease[0], tokens), max(window.lease[1], nusd))
                window.wanted = (max(window.wanted[0], tokens), max(window.wanted[1], nusd))

    def save(self, windows: Iterable[Window], rules: Iterable[Rule]) -> None:
        """Writes the marks of windows that changed, and gives back what idle ones have leased too much."""
        self._collect()
        number = self._requests.number
        held = [window for window in windows if window.rule.is_durable]
        dirty = [window for window in held if window.is_dirty]
        if dirty:
            marks = [_amount(window, (window.posted_tokens, window.posted_nusd)) for window in dirty]
            if self._repository.save(marks, self._reached(rules, number)):
                for window in dirty:
                    window.is_dirty = False
        spare = [window for window in held if self._lower(window)]
        if spare:
            self._repository.lease_soon([_amount(window, window.lease) for window in spare], None)

    def forget(self, now: float, rules: Iterable[Rule]) -> None:
        """Removes what is kept of periods that ended two days ago, in case the clock was wrong, and of old rules."""
        self._repository.forget(now - 2 * 86_400.0, [rule.name for rule in rules if rule.is_durable])

    def _reached(self, rules: Iterable[Rule], number: int) -> list[Reached]:
        return [Reached(rule.name, rule.fingerprint, number) for rule in rules if rule.is_durable]

    def _lower(self, window: Window) -> bool:
        if window.in_flight or window.reserved_tokens or window.reserved_nusd or window.wanted != window.lease:
            return False
        tokens, nusd = window.needs()
        lower = (min(window.lease[0], tokens), min(window.lease[1], nusd))
        lower = (
            NO_LIMIT if window.lease[0] == NO_LIMIT else lower[0],
            NO_LIMIT if window.lease[1] == NO_LIMIT else lower[1],
        )
        if lower == window.lease:
            return False
        window.lease = window.wanted = lower
        return True

    async def kept(self) -> Kept:
        """What the last run left. Raises StorageError."""
        return await self._repository.kept()

    async def ledger(self, rule: Rule, starts_at: float, until: int, kept: Kept) -> tuple[LedgerSum, ...]:
        """What ledger lines of requests up to number `until` say that the marks of the rule do not include yet, in
        the period that began at `starts_at`. Raises StorageError."""
        reached = _reached(rule, kept)
        after = 0 if reached is None else reached.through
        is_by_session = rule.scope is Scope.SESSION
        sessions = rule.of if is_by_session else ()
        return await self._repository.sums(after, until, starts_at, by_session=is_by_session, sessions=sessions)

    def restore(
        self,
        rule: Rule,
        starts_at: float,
        kept: Kept,
        lines: tuple[LedgerSum, ...],
        *,
        find: Callable[[Rule, str], Window],
        window_of: Callable[[Rule, LedgerSum], tuple[Window | None, int, int]],
    ) -> None:
        """Adds to a rule's windows what was used, by the marks and the `ledger` lines, and what is in doubt."""
        is_same = _reached(rule, kept) is not None
        if is_same:
            for mark in kept.marks:
                if mark.rule == rule.name and mark.starts_at >= starts_at:
                    _add(find(rule, mark.subject), mark.tokens, mark.nusd)
        for line in lines:
            window, tokens, nusd = window_of(rule, line)
            if window is not None:
                _add(window, tokens, nusd)
                window.is_dirty = True
        if not is_same:
            return
        for lease in kept.leases:
            if lease.rule == rule.name and lease.starts_at >= starts_at:
                window = find(rule, lease.subject)
                if window.lease[0] != NO_LIMIT:
                    window.doubt_tokens = max(0, _known(lease.tokens) - window.tokens)
                if window.lease[1] != NO_LIMIT:
                    window.doubt_nusd = max(0, _known(lease.nusd) - window.nusd)


def _reached(rule: Rule, kept: Kept) -> Reached | None:
    """How far the marks of the rule reach, None when there are none of what it counts."""
    reached = kept.rules.get(rule.name)
    return reached if reached is not None and reached.fingerprint == rule.fingerprint else None


def _add(window: Window, tokens: int, nusd: int) -> None:
    window.tokens += tokens
    window.nusd += nusd
    window.posted_tokens += tokens
    window.posted_nusd += nusd


def _known(leased: int) -> int:
    return 0 if leased >= NO_LIMIT else leased


def _amount(window: Window, amounts: tuple[int, int]) -> Amount:
    return Amount(window.rule.name, window.subject, window.starts_at, window.ends_at, *amounts)
