"""Which session a request belongs to, and the sums of the sessions that are going on.

`completions` begins, `recorder` finishes, the engine's ticker sweeps, `observatory` reads. The map is
bounded: a session ends after its idle time or when the map is full and it has been idle longest. What a
session has grown by goes to the database in batches, never per request. Used on the event loop only.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from itertools import islice
from typing import Protocol

from atp_engine.bus import EventBus
from atp_engine.config.models import SessionsConfig
from atp_engine.core.events import SessionChanged, SessionEnded
from atp_engine.core.ports import Clock
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, ClientHint, PriceState, RequestFacts, RequestState
from atp_engine.core.views import RequestView, SessionView
from atp_engine.services.session import Key, Session, title_of
from atp_engine.services.session_control import Control
from atp_engine.storage.sessions import SessionRepository

__all__ = ["Session", "Sessions"]

_ANNOUNCE_S = 0.25
"""Least time between two announcements of one session."""
_SAVE_S = 10.0
_SWEEP_STEP = 2_000
"""Most sessions ended or saved by one sweep, so that it never holds the loop for long."""
_BAD = frozenset({RequestState.FAILED, RequestState.TRUNCATED})
_KNOWN = PriceState.KNOWN
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")


class Joining(Protocol):
    """What a request must tell to find its session; `session` is where it is put."""

    caller: Caller
    hint: ClientHint
    session: Session | None
    started_at: float
    started_mono: float


class Sessions:
    """The sessions going on, by who calls and which conversation it is."""

    def __init__(self, config: SessionsConfig, clock: Clock, bus: EventBus, repository: SessionRepository) -> None:
        self._config = config
        self._clock = clock
        self._bus = bus
        self._repository = repository
        self._live: OrderedDict[Key, Session] = OrderedDict()
        self._by_id: dict[str, Session] = {}
        self._dirty: dict[Session, None] = {}
        self._pending: dict[Session, None] = {}
        self._saved_mono = clock.monotonic()
        self._held: dict[Session, None] = {}
        self.on_end: Callable[[Session], None] = lambda session: None
        self.evicted = 0
        """Sessions ended early because the map was full."""

    def __len__(self) -> int:
        return len(self._live)

    def apply(self, config: SessionsConfig) -> None:
        """Takes the settings of a new config; they count from the next request and sweep."""
        self._config = config

    async def load(self) -> None:
        """Takes up the sessions that were going on when the engine stopped. Raises StorageError."""
        now, mono = self._clock.now(), self._clock.monotonic()
        stored = await self._repository.since(now - self._config.ttl_s, self._config.max_sessions)
        for view in reversed(stored):
            session = Session.resumed(view, mono - max(0.0, now - view.last_at))
            self._live[session.key] = self._by_id[session.id] = session

    def begin(self, request: Joining, facts: RequestFacts) -> Session:
        """Counts a request into its session and tells the request which it is.

        An explicit id decides, a header's before the body's, within one client key; else requests
        belong together that have key, client, system prompt and first user message in common.
        """
        hint = request.hint
        key_id = request.caller.key_id
        explicit = hint.session_hint or facts.session_hint
        key: Key = (key_id, explicit) if explicit else (key_id, hint.client, hash(facts.prefix_seed))
        session = self._live.get(key)
        if session is None:
            session = self._start(key, request, explicit, facts)
        request.session = session
        session.requests += 1
        session.in_flight += 1
        session.last_at = request.started_at
        self._touch(session, request.started_mono)
        return session

    def finish(self, session: Session, view: RequestView) -> int:
        """Adds a finished request; returns its place among the session's finished requests, from 1."""
        session.in_flight -= 1
        session.finished += 1
        session.prompt_tokens += view.prompt_tokens
        session.output_tokens += view.output_tokens
        session.cost_nusd += view.cost_nusd
        if view.state in _BAD:
            session.errors += 1
        price_state = view.price_state
        if price_state is not _KNOWN:
            session.price_rank = max(session.price_rank, 2 if price_state is PriceState.UNKNOWN else 1)
        if view.duration_ms is not None:
            ended_at = view.started_at + view.duration_ms / 1000.0
            if ended_at > session.last_at:
                session.last_at = ended_at
        if not session.is_dirty:
            session.is_dirty = True
            self._dirty[session] = None
        mono = self._clock.monotonic()
        if session.is_live and session.is_pending:
            session.last_mono = mono
            self._live.move_to_end(session.key)
        else:
            self._touch(session, mono)
        return session.finished

    def sweep(self) -> None:
        """Ends what has been idle too long, announces and saves what changed; for the ticker."""
        mono = self._clock.monotonic()
        self._expire(mono)
        if self._pending and self._bus.has_listeners:
            pending, self._pending = self._pending, {}
            for session in pending:
                session.is_pending = False
                self._announce(session, mono)
        if mono - self._saved_mono >= _SAVE_S:
            self._saved_mono = mono
            self._save_dirty(_SWEEP_STEP)

    def views(self, limit: int) -> tuple[SessionView, ...]:
        """The sessions going on, the latest active first."""
        latest: list[SessionView] = []
        for session in reversed(self._live.values()):
            if len(latest) >= limit:
                break
            latest.append(session.view())
        return tuple(latest)

    async def view(self, id: str) -> SessionView | None:
        """A session, going on or ended; None when it is not known. Raises StorageError."""
        session = self._by_id.get(id)
        if session is not None:
            return session.view()
        return await self._repository.get(id)

    def live(self, id: str) -> Session | None:
        """A session that is going on."""
        return self._by_id.get(id)

    def held(self) -> tuple[Session, ...]:
        """The sessions that an operator holds to something."""
        return tuple(self._held)

    def hold(self, session: Session, control: Control | None) -> SessionView:
        """Holds a session to something from its next request on, or to nothing; announces it."""
        session.control = control
        if control is None:
            self._held.pop(session, None)
        else:
            self._held[session] = None
        self._announce(session, self._clock.monotonic())
        return session.view()

    def end(self, session: Session) -> None:
        """Forgets a session: its next request begins a new one."""
        if session.is_live:
            self._end(session)

    async def aclose(self) -> None:
        """Hands everything unsaved to the database, which must be closed after this."""
        self._save_dirty(len(self._dirty))

    def _start(self, key: Key, request: Joining, explicit: str, facts: RequestFacts) -> Session:
        """A new session, or the one loaded at start that this is the continuation of."""
        material = explicit.encode("utf-8", "replace") if explicit else facts.prefix_seed
        owner = f"{key[0]}\0{'' if explicit else request.hint.client}\0".encode("utf-8", "replace")
        digest = sha256(owner + material).hexdigest()
        lead = _UNSAFE.sub("", explicit)[:6] or "s"
        name = f"{lead}-{digest[:8]}"
        earlier = self._by_id.get(name)
        if earlier is not None and earlier.key == ("", name):
            del self._live[earlier.key]
            earlier.key = key
            self._live[key] = earlier
            return earlier
        length = 8
        while name in self._by_id and length < len(digest):
            length += 4
            name = f"{lead}-{digest[:length]}"
        while len(self._live) >= self._config.max_sessions:
            self._evict()
        session = Session(
            key,
            name,
            safe_text(request.hint.client, limit=64),
            request.caller.key_name,
            title_of(facts.prefix_seed),
            request.started_at,
            request.started_mono,
        )
        self._live[key] = self._by_id[name] = session
        return session

    def _touch(self, session: Session, mono: float) -> None:
        session.last_mono = mono
        if not session.is_live:
            self._save(session)
            return
        self._live.move_to_end(session.key)
        if session.is_pending:
            return
        if self._bus.has_listeners and mono - session.announced_mono >= _ANNOUNCE_S:
            self._announce(session, mono)
        else:
            session.is_pending = True
            self._pending[session] = None

    def _announce(self, session: Session, mono: float) -> None:
        session.announced_mono = mono
        self._bus.publish(lambda seq: SessionChanged(seq, session.view()))

    def _expire(self, mono: float) -> None:
        """The map is in order of activity: stops at the first session that may live on."""
        ttl_s = self._config.ttl_s
        over: list[Session] = []
        for session in self._live.values():
            if mono - session.last_mono < ttl_s or len(over) >= _SWEEP_STEP:
                break
            if not session.in_flight and session.control is None:
                over.append(session)
        for session in over:
            self._end(session)

    def _evict(self) -> None:
        """Ends the session that has been idle longest; the oldest of all when none is idle."""
        self.evicted += 1
        idle = next((session for session in self._live.values() if not session.in_flight), None)
        self._end(idle if idle is not None else next(iter(self._live.values())))

    def _end(self, session: Session) -> None:
        del self._live[session.key]
        del self._by_id[session.id]
        self._dirty.pop(session, None)
        self._pending.pop(session, None)
        session.is_live = False
        self._held.pop(session, None)
        self.on_end(session)
        self._save(session)
        self._bus.publish(lambda seq: SessionEnded(seq, session.id))

    def _save_dirty(self, limit: int) -> None:
        for session in list(islice(self._dirty, limit)):
            del self._dirty[session]
            session.is_dirty = False
            self._save(session)

    def _save(self, session: Session) -> None:
        """Hands over what was added since the last time; what finds the queue full comes again."""
        growth = session.growth()
        if growth is None:
            return
        if self._repository.save(growth):
            session.saved = session.sums()
        elif session.is_live and not session.is_dirty:
            session.is_dirty = True
            self._dirty[session] = None
