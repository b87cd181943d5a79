"""Requests of an operator: a prompt tried on a model, a recorded request sent again or only decided again.

`api/admin_play` calls it. A play runs through the whole walk on a task of its own; faces follow it by its
id as they follow any request. At most `MOST_AT_ONCE` run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from atp_engine.core.errors import ATPError, InvalidRequest, QueueFull, UnknownModel, let_go
from atp_engine.core.play_views import PlayAsk, PlayStarted
from atp_engine.core.ports import NewId
from atp_engine.core.redact import MARK
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, Dialect, RouteDecision
from atp_engine.dialects.facts import read_facts
from atp_engine.services.attempt import Head, RawCall
from atp_engine.services.attempts import Attempts
from atp_engine.services.completions import Completions
from atp_engine.services.history import History
from atp_engine.services.runtime import RuntimeRef
from atp_engine.services.trial import Collected

MOST_AT_ONCE = 16
_CALLER = Caller(key_id="atp-console", key_name="console")
_log = logging.getLogger(__name__)

Spawn = Callable[[str, Coroutine[Any, Any, None]], object]
"""Starts a named task of the engine."""


class NotReplayable(InvalidRequest):
    """The recorded request cannot be sent again."""

    code = "not_replayable"
    http_status = 409


class Playground:
    """Starts plays and replays, and decides recorded requests anew."""

    def __init__(
        self, completions: Completions, attempts: Attempts, runtime: RuntimeRef, history: History, new_id: NewId
    ) -> None:
        self._completions = completions
        self._attempts = attempts
        self._runtime = runtime
        self._history = history
        self._new_id = new_id
        self._open = 0
        self.spawn: Spawn | None = None
        """Set once the engine has a loop."""

    def play(self, ask: PlayAsk) -> PlayStarted:
        """Sends a prompt. Raises InvalidRequest naming the field, UnknownModel, QueueFull."""
        if not ask.prompt.strip():
            raise InvalidRequest("there is nothing to send", param="prompt")
        self._check_model(ask.model)
        messages = [{"role": "system", "content": ask.system}] if ask.system.strip() else []
        body: dict[str, Any] = {"model": ask.model, "stream": True, "messages": [*messages, _user(ask.prompt)]}
        for name in ("temperature", "max_tokens"):
            if getattr(ask, name) is not None:
                body[name] = getattr(ask, name)
        headers = [(b"x-session-id", ask.session.encode())] if ask.session else []
        return self._start(Dialect.OPENAI_CHAT, msgspec.json.encode(body), headers, ask.model)

    async def replay(self, request_id: str, model: str) -> PlayStarted | None:
        """Sends a recorded request again; None when there is no such request.

        Raises NotReplayable when its body was not kept whole, UnknownModel, QueueFull, StorageError.
        """
        found = await self._recorded(request_id)
        if found is None:
            return None
        dialect, body, is_redacted = found
        body["model"] = model = model or body.get("model") or ""
        self._check_model(model)
        started = self._start(dialect, msgspec.json.encode(body), [], model)
        return msgspec.structs.replace(started, is_redacted=is_redacted)

    async def decide(self, request_id: str, model: str) -> RouteDecision | None:
        """How the recorded request would be routed now; nothing is called. Raises as `replay` does."""
        found = await self._recorded(request_id)
        if found is None:
            return None
        dialect, body, _ = found
        body["model"] = model = model or body.get("model") or ""
        runtime = self._runtime.current
        route = self._check_model(model)
        facts = read_facts(dialect, msgspec.json.encode(body))
        return self._attempts.decide(runtime, route, facts)

    async def _recorded(self, request_id: str) -> tuple[Dialect, dict[str, Any], bool] | None:
        detail = await self._history.detail(request_id)
        if detail is None:
            return None
        if detail.request_body is None:
            raise NotReplayable("its body was not kept (storage.is_bodies_kept), or the request is still open")
        try:
            body = msgspec.json.decode(detail.request_body)
        except msgspec.DecodeError:
            body = None
        if not isinstance(body, dict):
            raise NotReplayable("its kept body is not whole: it was cut at storage.body_max_bytes, or is not JSON")
        return Dialect(detail.request.dialect), body, MARK in detail.request_body

    def _check_model(self, model: str) -> Any:
        table = self._runtime.current.table
        route = table.resolve(model)
        if route is None:
            near = ", ".join(table.near(model) or table.names()[:8])
            raise UnknownModel(
                f"no route or model is called {safe_text(model, limit=128)!r}; near: {near}", param="model"
            )
        return route

    def _start(self, dialect: Dialect, body: bytes, headers: list[tuple[bytes, bytes]], model: str) -> PlayStarted:
        if self.spawn is None or self._open >= MOST_AT_ONCE:
            raise QueueFull(f"{MOST_AT_ONCE} plays are running already", retry_after_s=2.0)
        request_id = self._new_id()
        head = Head([(b"user-agent", b"atp-console"), *headers])
        self._open += 1
        self.spawn(f"play {request_id}", self._run(RawCall(request_id, dialect, head, b"", body)))
        return PlayStarted(request_id, model)

    async def _run(self, call: RawCall) -> None:
        try:
            await self._completions.run(call, _CALLER, Collected())
        except ATPError as error:
            let_go(error)  # it is on record under the request's id
        except Exception:  # a task's boundary: a bug is told and must not end the engine
            _log.exception("a play failed by a bug", extra={"request_id": call.id})
        finally:
            self._open -= 1


def _user(prompt: str) -> dict[str, str]:
    return {"role": "user", "content": prompt}
