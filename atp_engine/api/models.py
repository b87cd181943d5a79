"""`GET /v1/models` and `/v1/models/{id}`: what clients may ask for, in OpenAI's, Anthropic's or Gemini's shape.

Anthropic's shape is used when the request carries `anthropic-version` or comes under `/anthropic`, Gemini's
when it carries `x-goog-api-key` or comes under `/v1beta`. Each entry also says context window, price,
health and whether it is usable now, which SDKs ignore and people read.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from atp_engine.api.auth import Call
from atp_engine.api.errors import dialect_of
from atp_engine.core.errors import InvalidRequest, UnknownModel
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import NANO_PER_USD
from atp_engine.core.types import Caller, DeploymentSpec, Dialect
from atp_engine.routing.health import HealthBook
from atp_engine.routing.table import Route
from atp_engine.services.access import is_allowed
from atp_engine.services.runtime import Runtime, RuntimeRef

_CREATED_AT = "1970-01-01T00:00:00Z"
"""Vendors' own dates are not known to a router; SDKs want the field, and the epoch says unknown."""
_MOST = 1_000
_GEMINI_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
_GRADES = ("healthy", "unknown", "degraded", "failing")
"""From best to worst."""


class ModelList:
    """The two endpoints."""

    def __init__(self, runtime: RuntimeRef, health: HealthBook, clock: Clock) -> None:
        self._runtime = runtime
        self._health = health
        self._clock = clock

    async def all(self, call: Call) -> Response:
        """Every name that can be asked for; Anthropic's pages go by `limit`, `after_id`, `before_id`."""
        found, dialect = self.entries(call.visitor.caller), _dialect(call)
        if dialect is Dialect.GEMINI:
            return _answer({"models": [_gemini(entry) for entry in found]})
        if dialect is not Dialect.ANTHROPIC:
            return _answer({"object": "list", "data": [_openai(entry) for entry in found]})
        return _answer(_page([_anthropic(entry) for entry in found], call))

    async def one(self, call: Call) -> Response:
        """One name; raises UnknownModel (404) when nothing has it."""
        name, dialect = str(call.request.path_params["id"]), _dialect(call)
        entry = self._entry(self.route(name), name, self._runtime.current)
        if dialect is Dialect.GEMINI:
            return _answer(_gemini(entry))
        return _answer(_anthropic(entry) if dialect is Dialect.ANTHROPIC else _openai(entry))

    def entries(self, caller: Caller | None = None) -> list[dict[str, Any]]:
        """What is known of every name that the caller may ask for, in no dialect's shape."""
        runtime = self._runtime.current
        return [
            self._entry(route, name, runtime)
            for name in runtime.table.names()
            if (route := runtime.table.resolve(name)) and (caller is None or is_allowed(caller, route))
        ]

    def route(self, name: str) -> Route:
        """What serves a name; raises UnknownModel (404) when nothing does."""
        runtime = self._runtime.current
        route = runtime.table.resolve(name)
        if route is None:
            near = runtime.table.near(name)
            raise UnknownModel("no such model" + (f"; did you mean {', '.join(near)}?" if near else ""), param="model")
        return route

    def _entry(self, route: Route, name: str, runtime: Runtime) -> dict[str, Any]:
        """What is known of a name. The price is that of the first deployment, which is meant to serve."""
        first = route.deployments[0]
        price = runtime.table.price(first)
        now = self._clock.monotonic()
        usable = [
            spec
            for spec in route.deployments
            if self._health.is_enabled(spec.key, is_stated=spec.is_enabled) and self._health.is_callable(spec.key, now)
        ]
        return {
            "id": name,
            "owned_by": first.provider if len(route.deployments) == 1 else "atp",
            "context_tokens": max(spec.context_tokens for spec in route.deployments) or None,
            "max_output_tokens": max(spec.max_output_tokens for spec in route.deployments) or None,
            "health": min((self._grade(spec, now) for spec in route.deployments), key=_GRADES.index),
            "tasks": sorted({"embeddings" if spec.is_embedding else "chat" for spec in route.deployments}),
            "is_usable": bool(usable),
            "deployments": [spec.key for spec in route.deployments],
            "input_usd_per_mtok": None if price is None else price.input_nusd / NANO_PER_USD,
            "output_usd_per_mtok": None if price is None else price.output_nusd / NANO_PER_USD,
        }

    def _grade(self, spec: DeploymentSpec, now: float) -> str:
        """healthy, degraded, failing, or unknown while there was no traffic."""
        health = self._health.get(spec.key)
        grade = "unknown" if health is None else health.grade(now)
        return grade if grade in _GRADES else "unknown"


def _dialect(call: Call) -> Dialect | None:
    request = call.request
    return dialect_of(request.scope["path"], request.scope["headers"])


def _openai(entry: dict[str, Any]) -> dict[str, Any]:
    return {"object": "model", "created": 0, **entry}


def _gemini(entry: dict[str, Any]) -> dict[str, Any]:
    """A `Model` of ai.google.dev/api/models, November 2026, on one page of all."""
    shaped = {
        "name": f"models/{entry['id']}",
        "version": "001",
        "displayName": entry["id"],
        "description": f"Served by {', '.join(entry['deployments'])}",
        "inputTokenLimit": entry["context_tokens"],
        "outputTokenLimit": entry["max_output_tokens"],
        "supportedGenerationMethods": _GEMINI_METHODS,
    }
    return {name: value for name, value in shaped.items() if value is not None}


def _anthropic(entry: dict[str, Any]) -> dict[str, Any]:
    """With the fields of version 2026-10-21, which older SDKs ignore."""
    return {
        "type": "model",
        "display_name": entry["id"],
        "created_at": _CREATED_AT,
        "lifecycle": "active",
        "max_input_tokens": entry["context_tokens"],
        "max_tokens": entry["max_output_tokens"],
        **entry,
    }


def _page(entries: list[dict[str, Any]], call: Call) -> dict[str, Any]:
    """The part of the list that was asked for. Raises InvalidRequest naming the parameter."""
    query = call.request.query_params
    limit = query.get("limit", str(_MOST))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= _MOST):
        raise InvalidRequest(f"`limit` must be a number from 1 to {_MOST}.", param="limit")
    ids = [entry["id"] for entry in entries]
    first, last = 0, len(ids)
    for name in ("after_id", "before_id"):
        wanted = query.get(name)
        if wanted is None:
            continue
        if wanted not in ids:
            raise InvalidRequest(f"`{name}` is no model of this list.", param=name)
        if name == "after_id":
            first = ids.index(wanted) + 1
        else:
            last = ids.index(wanted)
    page = entries[first:last]
    size = int(limit)
    is_backwards = "before_id" in query and "after_id" not in query
    shown = page[-size:] if is_backwards else page[:size]
    return {
        "data": shown,
        "has_more": len(shown) < len(page),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }


def _answer(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), headers={"content-type": "application/json"})
