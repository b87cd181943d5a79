"""What OpenAI's chat and Responses share beyond other vendors: knobs, service tiers, who takes which.

Compatible servers refuse fields that they do not know, so these go up for OpenAI's own models alone
(platform.openai.com/docs/api-reference, November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from atp_engine.dialects import ir
from atp_engine.dialects.fields import RAW, STR, Dropped, Fields
from atp_engine.dialects.reading import NULL

SHARED = ("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "moderation")
"""Top-level fields that both dialects have under one name and in one shape."""
_TIERS: Mapping[str, str] = MappingProxyType({"default": "standard"})
_OPENAI = re.compile(r"^(?:openai/)?(?:o\d|gpt-(?!oss)|chatgpt-|codex-)")
_TAKES_VERBOSITY = re.compile(r"^(?:openai/)?gpt-(?!3|4|oss)")


def take_shared(top: Fields, *names: str) -> dict[str, msgspec.Raw]:
    """The fields of `SHARED`, and `names`, as they came."""
    taken = {name: top.take(name, RAW) for name in (*SHARED, *names)}
    return {name: raw for name, raw in taken.items() if raw is not None and raw != NULL}


def take_tier(top: Fields) -> str:
    """The service tier in the words of `ir`."""
    word = top.take("service_tier", STR) or ""
    return _TIERS.get(word, word)


def take_user(top: Fields) -> str:
    """Whoever is behind the call, by either field that tells it."""
    user, safety = top.take("user", STR), top.take("safety_identifier", STR)
    if user and safety and user != safety:
        top.dropped.add("safety_identifier")
    return user or safety or ""


def knobs(request: ir.ChatRequest, dropped: Dropped) -> dict[str, object]:
    """The members for OpenAI's own models; named as dropped for others."""
    wanted: dict[str, object] = dict(request.shared)
    if request.service_tier:
        wanted["service_tier"] = "default" if request.service_tier == "standard" else request.service_tier
    if not _OPENAI.match(request.model):
        drop_knobs(request, dropped)
        return {}
    return wanted


def drop_knobs(request: ir.ChatRequest, dropped: Dropped) -> None:
    """Names all knobs, for a target that has none of them; `auto` asks for nothing."""
    for name in request.shared:
        dropped.add(name)
    if request.service_tier not in ("", "auto"):
        dropped.add("service_tier")


def verbosity(request: ir.ChatRequest, dropped: Dropped) -> str | None:
    """How much the model shall say, where it knows the word."""
    if not request.verbosity or _TAKES_VERBOSITY.match(request.model):
        return request.verbosity or None
    dropped.add("verbosity")
    return None
