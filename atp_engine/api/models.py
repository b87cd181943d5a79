"""`GET /v1/models` and `/v1/models/{id}`: what clients may ask for, in OpenAI's or Anthropic's shape.

Anthropic's shape is used when the request carries `anthropic-version`. Each entry also says context
window, price and whether it is usable now, which SDKs ignore and people read.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from atp_engine.api.auth import Call
from atp_engine.core.errors import UnknownModel
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import NANO_PER_USD
from atp_engine.routing.health import HealthBook
from atp_engine.routing.table import Route
from atp_engine.services.runtime import Runtime, RuntimeRef

_CREATED_AT = "1970-01-01T00:00:00Z"
"""Vendors' own dates are not known to a router; SDKs want the field."""


class ModelList:
    """The two endpoints."""

    def __init__(self, runtime: RuntimeRef, health: HealthBook, clock: Clock) -> None:
        self._runtime = runtime
        self._health = health
        self._clock = clock

    async def all(self, call: Call) -> Response:
        """Every name that can be asked for."""
        runtime = self._runtime.current
        routes = [runtime.table.resolve(name) for name in runtime.table.names()]
        found = [
            self._entry(route, name, runtime)
            for route, name in zip(routes, runtime.table.names(), strict=True)
            if route
        ]
        if not _is_anthropic(call):
            return _answer({"object": "list", "data": [_openai(entry) for entry in found]})
        entries = [_anthropic(entry) for entry in found]
        ids = [entry["id"] for entry in entries]
        page = {
            "data": entries,
            "has_more": False,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
        return _answer(page)

    async def one(self, call: Call) -> Response:
        """One name; raises UnknownModel (404) when nothing has it."""
        name = str(call.request.path_params["id"])
        runtime = self._runtime.current
        route = runtime.table.resolve(name)
        if route is None:
            near = runtime.table.near(name)
            raise UnknownModel("no such model" + (f"; did you mean {', '.join(near)}?" if near else ""), param="model")
        entry = self._entry(route, name, runtime)
        return _answer(_anthropic(entry) if _is_anthropic(call) else _openai(entry))

    def _entry(self, route: Route, name: str, runtime: Runtime) -> dict[str, Any]:
        now = self._clock.monotonic()
        first = route.deployments[0]
        price = runtime.table.price(first)
        contexts = [spec.context_tokens for spec in route.deployments if spec.context_tokens]
        usable = [spec for spec in route.deployments if spec.is_enabled and self._health.is_callable(spec.key, now)]
        known = None if price is None else price
        return {
            "id": name,
            "owned_by": first.provider if len(route.deployments) == 1 else "atp",
            "context_tokens": max(contexts) if contexts else None,
            "is_usable": bool(usable),
            "deployments": [spec.key for spec in route.deployments],
            "input_usd_per_mtok": None if known is None else known.input_nusd / NANO_PER_USD,
            "output_usd_per_mtok": None if known is None else known.output_nusd / NANO_PER_USD,
        }


def _is_anthropic(call: Call) -> bool:
    return "anthropic-version" in call.request.headers


def _openai(entry: dict[str, Any]) -> dict[str, Any]:
    return {"object": "model", "created": 0, **entry}


def _anthropic(entry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "model", "display_name": entry["id"], "created_at": _CREATED_AT, **entry}


def _answer(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), headers={"content-type": "application/json"})
