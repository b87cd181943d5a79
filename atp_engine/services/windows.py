"""The windows of the engine: budgets of keys, projects, sessions, routes, deployments and everything.

`completions` enters before a request takes a place in the queue; the `Spending` it gets goes with the request. With
no window configured `is_active` is all that the walk looks at. How counts outlive a crash is told in
`window_leases`. Used on the event loop only, which makes every check with its reservation one step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from heapq import nlargest
from zoneinfo import ZoneInfo

import msgspec

from atp_engine.bus import EventBus
from atp_engine.config.models import Config, WindowConfig
from atp_engine.core.errors import StorageError, WindowExceeded
from atp_engine.core.events import Notice
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import Price, usd_to_nusd
from atp_engine.core.types import Caller, DeploymentSpec, RequestFacts
from atp_engine.core.window_views import WindowView
from atp_engine.limits.window import NO_LIMIT, Hold, Lack, OnExceed, Rule, Scope, Window, first_lack
from atp_engine.limits.window_calendar import BelievedTime, Period, bounds
from atp_engine.routing.prices import price_of
from atp_engine.routing.restrict import Restrictions
from atp_engine.routing.table import Route
from atp_engine.services.runtime import Runtime
from atp_engine.services.window_leases import Leases
from atp_engine.services.windows_estimate import charge_of
from atp_engine.services.windows_queue import Waiting
from atp_engine.services.windows_spending import Spending, Terms
from atp_engine.services.windows_told import exceeded, reached, title, view
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.windows import NOTHING_KEPT, LedgerSum

MOST = 100_000
"""Windows in memory; those whose period is over go first."""
_CALLERS = 4_096
_GIVEN = ("key:", "session:")
"""Begin the names of windows that keys bring with them or operators give to sessions; the config has none such."""
_FORGET_S = 3_600.0
_log = logging.getLogger("atp_engine.windows")


class Windows:
    """Enters requests, keeps counts, tells."""

    def __init__(
        self,
        config: Config,
        leases: Leases,
        requests: RequestRepository,
        clock: Clock,
        bus: EventBus,
        owner: Callable[[str], Caller | None],
    ) -> None:
        """`owner` gives the caller behind a key's id, also of one that is over."""
        self.is_active = False
        """There is a window at all."""
        self.has_deployment_rules = False
        self.restrictions = Restrictions()
        self.refused = 0
        """Requests refused by a window."""
        self._leases = leases
        self._requests = requests
        self._clock = clock
        self._bus = bus
        self._owner = owner
        self._time = BelievedTime(clock.now(), clock.monotonic())
        self._rules: dict[str, Rule] = {}
        self._config_rules: tuple[Rule, ...] = ()
        self._key_limits: tuple[tuple[str, WindowConfig], ...] = ()
        self._session_limits: tuple[tuple[str, WindowConfig], ...] = ()
        self._session_rules: tuple[Rule, ...] = ()
        self._windows: dict[tuple[str, str], Window] = {}
        self._by_caller: dict[tuple[str, str], tuple[Window, ...]] = {}
        self._by_deployment: dict[str, tuple[Window, ...]] = {}
        self._touched: set[Window] = set()
        """What the next tick has to look at."""
        self._unfilled: dict[str, tuple[Rule, int]] = {}
        self._filling = asyncio.Lock()
        self._has_started = False
        self._assumed: dict[str, Price] = {}
        self._waiting = Waiting(self._try, self.exceeded)
        self._forgotten_at = clock.monotonic()
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Takes the windows of a new config; counts carry over where a window still counts the same."""
        zone = self._zone = ZoneInfo(config.limits.time_zone)
        self._config_rules = tuple(_rule(name, window, zone) for name, window in config.windows.items())
        self._assumed = {
            name: price_of(route.assume_price, "assumed", is_assumed=True)
            for name, route in config.routes.items()
            if route.assume_price
        }
        self._waiting.configure(config.limits.max_queued, config.limits.queue_timeout_s)
        self._set()

    def apply_keys(self, limits: Iterable[tuple[str, WindowConfig]]) -> None:
        """Takes the windows that keys bring with them, each with a name and the key's id as its `of`."""
        self._key_limits = tuple(limits)
        self._set()

    def apply_sessions(self, limits: Iterable[tuple[str, WindowConfig]]) -> None:
        """Takes the windows that an operator gave to sessions, each with a name and the session's id as its `of`."""
        self._session_limits = tuple(limits)
        self._set()

    def _set(self) -> None:
        """Makes the rules of config and keys the present ones."""
        given = (*self._key_limits, *self._session_limits)
        by_hand = (_rule(name, limits, self._zone) for name, limits in given)
        before, self._rules = self._rules, {rule.name: rule for rule in (*self._config_rules, *by_hand)}
        same = {
            name
            for name, rule in self._rules.items()
            if name in before and before[name].fingerprint == rule.fingerprint
        }
        self._windows = {place: window for place, window in self._windows.items() if place[0] in same}
        for (name, _), window in self._windows.items():
            if msgspec.structs.astuple(window.rule) != msgspec.structs.astuple(self._rules[name]):
                window.change(self._rules[name])
        number = self._requests.number
        self._unfilled = {name: entry for name, entry in self._unfilled.items() if name in same}
        for name, rule in self._rules.items():
            if rule.is_durable and name not in same:
                self._unfilled[name] = (rule, number)
        rules = self._rules.values()
        self._session_rules = tuple(rule for rule in rules if rule.scope is Scope.SESSION)
        self.has_deployment_rules = any(rule.scope is Scope.DEPLOYMENT for rule in rules)
        self.is_active = bool(self._rules)
        self._by_caller.clear()
        self._by_deployment.clear()

    async def start(self) -> None:
        """Restores what the last run left; where the database cannot be read now, the first request tries again."""
        try:
            await self.fill()
        except StorageError as error:
            _log.error("the windows' counts are not restored yet: %s", error.public_message)

    async def fill(self) -> None:
        """Gives new windows what was used before them in their period. Raises StorageError."""
        if not self._unfilled:
            self._has_started = True
            return
        async with self._filling:
            if not self._unfilled:
                return
            kept = await self._leases.kept()
            if self._has_started:  # nothing can be in doubt of a rule that comes while the engine runs
                kept = msgspec.structs.replace(kept, leases=())
            for name, entry in list(self._unfilled.items()):
                rule, until = entry
                starts_at = bounds(rule.period, self.times()[0], rule.zone)[0]
                lines = await self._leases.ledger(rule, starts_at, until, kept)
                if self._unfilled.get(name) is entry:
                    del self._unfilled[name]
                    rule = self._rules[name]  # its limits may have changed meanwhile
                    self._leases.restore(rule, starts_at, kept, lines, find=self._window, window_of=self._window_of)
            self._touched.update(window for window in self._windows.values() if window.is_dirty)
            self._has_started = True

    def _window_of(self, rule: Rule, line: LedgerSum) -> tuple[Window | None, int, int]:
        """Whose window ledger lines belong to, and what they are charged there."""
        caller = self._owner(line.key_id) or Caller(line.key_id, "")
        deployment = line.deployment if rule.scope is Scope.DEPLOYMENT else ""
        subject = deployment if _matches(rule, deployment) else ""
        if rule.scope is not Scope.DEPLOYMENT:
            subject = _subject(rule, caller, line.route, line.session_id)
        tokens, nusd = charge_of(line.usage, line.nusd, line.price_state, self._assumed.get(line.route))
        return (self._window(rule, subject) if subject else None), tokens, nusd

    async def enter(
        self, runtime: Runtime, route: Route, facts: RequestFacts, caller: Caller, session_id: str
    ) -> Spending | None:
        """Reserves for a request in all of its windows at once, or in none; None when no window is its own.

        Raises WindowExceeded, StorageError when a dollar window cannot be held on the disk. Cancelling
        leaves nothing reserved. The caller must `release` what it gets.
        """
        if self._unfilled:
            try:
                await self.fill()
            except StorageError as error:
                if any(rule.max_nusd != NO_LIMIT for rule, _ in self._unfilled.values()):
                    raise _unheld(next(iter(self._unfilled)), error) from error
        windows = self._by_caller.get((caller.key_id, route.name))
        if windows is None:
            windows = self._find(caller, route)
        if self._session_rules and session_id:
            windows += tuple(
                self._window(rule, session_id) for rule in self._session_rules if _matches(rule, session_id)
            )
        if not windows and not self.has_deployment_rules:
            return None
        counts_usd = next((window.rule.name for window in windows if window.rule.max_nusd != NO_LIMIT), "")
        terms = Terms(runtime, route, facts, self._assumed.get(route.name), counts_usd)
        tokens, nusd = terms.whole()
        now, mono = self.times()
        soft = first_lack(windows, tokens, nusd, now, mono, is_soft=True)
        if soft is not None:
            terms = msgspec.structs.replace(terms, soft=soft)
            tokens, nusd = terms.whole()
        found = self._waiting.behind(windows) or self._try(windows, tokens, nusd)
        if isinstance(found, Lack):
            if found.window.rule.on_exceed is not OnExceed.QUEUE:
                raise self.exceeded(found)
            found = await self._waiting.join(windows, tokens, nusd, found)
        try:
            await self.secure(found, tokens, nusd)
        except BaseException:
            found.release()
            self.wake()
            raise
        return Spending(self, found, terms)

    def _try(self, windows: tuple[Window, ...], tokens: int, nusd: int) -> Hold | Lack:
        now, mono = self.times()
        lack = first_lack(windows, tokens, nusd, now, mono, is_soft=False)
        return Hold(windows, tokens, nusd, mono) if lack is None else lack

    async def secure(self, hold: Hold, tokens: int, nusd: int) -> None:
        """Returns once committed leases cover what is reserved, mostly at once.

        Raises StorageError when the disk does not take them and one of the windows counts dollars; others
        go on in memory.
        """
        is_short = False
        self._touched.update(hold.windows)
        for window in hold.windows:
            if window.rule.is_durable:
                if window.is_short():
                    is_short = True
                else:
                    self._leases.look_ahead(window, tokens, nusd)
        if is_short:
            try:
                await self._leases.secure(hold.windows, tokens, nusd)
            except StorageError as error:
                for window in hold.windows:
                    if window.is_short() and window.rule.max_nusd != NO_LIMIT:
                        raise _unheld(window.rule.name, error) from error

    def times(self) -> tuple[float, float]:
        """The believed wall clock and the monotonic one."""
        mono = self._clock.monotonic()
        return self._time.at(self._clock.now(), mono), mono

    def exceeded(self, lack: Lack) -> WindowExceeded:
        """The refusal, counted."""
        self.refused += 1
        return exceeded(lack, self._shown(lack.window), *self.times())

    def deployment_windows(self, spec: DeploymentSpec) -> tuple[Window, ...]:
        """The windows of a deployment itself."""
        found = self._by_deployment.get(spec.key)
        if found is None:
            rules = [rule for rule in self._rules.values() if rule.scope is Scope.DEPLOYMENT]
            found = tuple(self._window(rule, spec.key) for rule in rules if _matches(rule, spec.key))
            if len(self._by_deployment) >= _CALLERS:
                self._by_deployment.clear()
            self._by_deployment[spec.key] = found
        return found

    def deployment_lack(self, spec: DeploymentSpec, tokens: int, nusd: int) -> Lack | None:
        """What a deployment's own windows lack for a call."""
        return first_lack(self.deployment_windows(spec), tokens, nusd, *self.times(), is_soft=False)

    def counts_usd_of(self, spec: DeploymentSpec) -> str:
        """A window of the deployment that counts dollars, empty when none does."""
        windows = self.deployment_windows(spec)
        return next((window.rule.name for window in windows if window.rule.max_nusd != NO_LIMIT), "")

    def wake(self) -> None:
        """Something was given back: those who wait may fit now."""
        if self._waiting.is_any:
            self._waiting.wake()

    def tell(self, windows: Iterable[Window]) -> None:
        """Raises an event for each threshold that was reached."""
        for window in windows:
            percent = window.passed()
            if percent:
                text = reached(window, self._shown(window), percent)
                severity = "error" if percent >= 100 else "warn"
                _log.warning(text, extra={"code": "window_threshold"})
                self._bus.publish(partial(_notice, self._clock.now(), severity, text))

    def tick(self) -> None:
        """Once a second: marks, leases given back, waits that end, old windows."""
        if not self.is_active:
            return
        now, mono = self.times()
        self._leases.save(self._touched, self._rules.values())
        self._touched = {window for window in self._touched if not window.is_quiet()}
        self.wake()
        if mono - self._forgotten_at > _FORGET_S:
            self._forgotten_at = mono
            self._turn(now)
            self._prune()
            self._leases.forget(now, self._rules.values())

    async def recount(self) -> tuple[int, list[tuple[str, dict[str, tuple[int, int]]]]]:
        """How many windows were counted anew from the ledger, and those that differ: by figure, what is kept and
        what the lines say. Raises StorageError."""
        await self.fill()
        now, number = self.times()[0], self._requests.number
        self._turn(now)
        kept = {
            place: (window.posted_tokens, window.posted_nusd)
            for place, window in self._windows.items()
            if window.rule.is_durable
        }
        said: dict[tuple[str, str], tuple[int, int]] = {}
        for rule in [rule for rule in self._rules.values() if rule.is_durable]:
            starts_at = bounds(rule.period, now, rule.zone)[0]
            for line in await self._leases.ledger(rule, starts_at, number, NOTHING_KEPT):
                window, tokens, nusd = self._window_of(rule, line)
                if window is not None:
                    had = said.get((rule.name, window.subject), (0, 0))
                    said[rule.name, window.subject] = had[0] + tokens, had[1] + nusd
        wrong = []
        for place in sorted(kept.keys() | said.keys()):
            has, should = kept.get(place, (0, 0)), said.get(place, (0, 0))
            figures = {name: (h, s) for name, h, s in zip(("tokens", "nusd"), has, should, strict=True) if h != s}
            if figures:
                wrong.append((f"{place[0]} of {place[1]}", figures))
        return len(kept), wrong

    async def aclose(self) -> None:
        """Marks everything and gives all leases back: nothing is in doubt after an orderly end."""
        if self.is_active and not self._unfilled:
            self._leases.save(self._windows.values(), self._rules.values())

    def _turn(self, now: float) -> None:
        for window in self._windows.values():
            if not window.starts_at <= now < window.ends_at:
                window.turn(now)

    def views(self, most: int = 2_000) -> tuple[WindowView, ...]:
        """Every window with counts or a subject of its own, in the order of the rules; where there are more
        than `most`, those that are used most."""
        self._turn(self.times()[0])
        order = {name: place for place, name in enumerate(self._rules)}
        for rule in self._rules.values():
            if rule.scope is Scope.EVERYTHING:
                self._window(rule, "*")
            elif rule.scope in (Scope.ROUTE, Scope.DEPLOYMENT, Scope.PROJECT):
                for subject in rule.of:
                    self._window(rule, subject)
            elif rule.name.startswith(_GIVEN):
                self._window(rule, next(iter(rule.of)))
        found = list(self._windows.items())
        if len(found) > most:
            found = nlargest(most, found, key=lambda entry: entry[1].share())
        found.sort(key=lambda entry: (order[entry[0][0]], entry[0][1]))
        return tuple(view(window, self._shown(window)) for _, window in found)

    def _find(self, caller: Caller, route: Route) -> tuple[Window, ...]:
        found = []
        for rule in self._rules.values():
            if rule.scope not in (Scope.SESSION, Scope.DEPLOYMENT):
                subject = _subject(rule, caller, route.name, "")
                if subject:
                    found.append(self._window(rule, subject))
        if len(self._by_caller) >= _CALLERS:
            self._by_caller.clear()
        windows = self._by_caller[(caller.key_id, route.name)] = tuple(found)
        return windows

    def _window(self, rule: Rule, subject: str) -> Window:
        place = (rule.name, subject)
        window = self._windows.get(place)
        if window is None:
            if len(self._windows) >= MOST:
                self._prune()
                if len(self._windows) >= MOST:
                    raise WindowExceeded(
                        f"{title(rule, subject)} cannot be counted: {MOST} windows are",
                        retry_after_s=60,
                        is_budget=False,
                    )
            window = self._windows[place] = Window(rule, subject, self.times()[0])
        return window

    def _prune(self) -> None:
        """Forgets windows with nothing in them; those with counts stay until their period is over."""
        kept = {
            place: window
            for place, window in self._windows.items()
            if window.in_flight or any(window.needs()) or window.is_dirty
        }
        if len(kept) < len(self._windows):
            self._windows = kept
            self._by_caller.clear()
            self._by_deployment.clear()

    def _shown(self, window: Window) -> str:
        if window.rule.scope is not Scope.KEY:
            return window.subject
        owner = self._owner(window.subject)
        return window.subject if owner is None else owner.key_name


def _notice(at: float, severity: str, text: str, seq: int) -> Notice:
    return Notice(seq, at, severity, "window_threshold", text)


def _unheld(name: str, error: StorageError) -> StorageError:
    return StorageError(f'window "{name}" counts dollars and cannot be held on the disk: {error.public_message}')


def _matches(rule: Rule, *names: str) -> bool:
    return not rule.of or any(name in rule.of for name in names)


def _subject(rule: Rule, caller: Caller, route: str, session_id: str) -> str:
    """Whose window of the rule this is, empty when it does not concern the rule."""
    scope = rule.scope
    if scope is Scope.EVERYTHING:
        return "*"
    if scope is Scope.KEY:
        return caller.key_id if _matches(rule, caller.key_id, caller.key_name) else ""
    subject = {Scope.PROJECT: caller.project, Scope.ROUTE: route, Scope.SESSION: session_id}.get(scope, "")
    return subject if subject and _matches(rule, subject) else ""


def _rule(name: str, window: WindowConfig, zone: ZoneInfo) -> Rule:
    return Rule(
        name=name,
        scope=Scope(window.scope),
        of=frozenset(window.of),
        period=Period(window.period),
        zone=zone,
        max_parallel=NO_LIMIT if window.max_parallel is None else window.max_parallel,
        max_tokens=NO_LIMIT if window.max_tokens is None else window.max_tokens,
        max_nusd=NO_LIMIT if window.max_usd is None else usd_to_nusd(window.max_usd),
        per_minute=window.requests_per_minute or 0,
        on_exceed=OnExceed(window.on_exceed),
    )
