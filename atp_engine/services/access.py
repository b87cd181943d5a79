"""What a key may use: routes by name, and models by deployment, vendor's name or pattern.

`completions` asks for each request of a key that is restricted; most keys are not.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from atp_engine.core.errors import Forbidden
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, RouteDecision
from atp_engine.routing.table import Route


def is_allowed(caller: Caller, route: Route) -> bool:
    """True when the key may ask for this route and for at least one model behind it."""
    if caller.routes and not any(fnmatchcase(route.name, pattern) for pattern in caller.routes):
        return False
    return not caller.models or any(_may_use(caller, spec.key, spec.provider, spec.model) for spec in route.deployments)


def check_access(caller: Caller, route: Route) -> None:
    """Raises Forbidden when the key may not use the route at all."""
    if not is_allowed(caller, route):
        named = ", ".join((caller.routes or caller.models)[:8])
        asked = safe_text(route.name, limit=128)
        raise Forbidden(f"the key {caller.key_name} may not use {asked}; it may use {named}", param="model")


def forbidden(caller: Caller, decision: RouteDecision) -> dict[str, str]:
    """The ranked deployments that the key may not use, each with the reason."""
    if not caller.models:
        return {}
    return {
        verdict.deployment: "this key may not use it"
        for verdict in decision.ranked
        if not _may_use(caller, verdict.deployment, verdict.provider, verdict.model)
    }


def _may_use(caller: Caller, deployment: str, provider: str, model: str) -> bool:
    names = (deployment, model, f"{provider}/{model}")
    return any(fnmatchcase(name, pattern) for pattern in caller.models for name in names)
