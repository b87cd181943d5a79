"""Ollama's `GET /api/tags`, `/api/ps`, `/api/version` and `POST /api/show`: what may be asked for.

Sizes and digests are those of files on a disk, which a router has none of: the digest is made from the
name, the size is 0, and no model is loaded here.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
from starlette.responses import Response

from atp_engine.api.auth import Call
from atp_engine.api.models import ModelList
from atp_engine.core.errors import PayloadTooLarge
from atp_engine.dialects.fields import STR, Fields

SPEAKS = "0.13.0"
"""The version of the API that is spoken; clients ask for it to know what they may send."""
_UNKNOWN_AT = "1970-01-01T00:00:00Z"
_LONGEST_BODY = 64 * 1024
_ARCHITECTURE = "routed"


class OllamaModels:
    """The four endpoints."""

    def __init__(self, models: ModelList) -> None:
        self._models = models

    async def tags(self, call: Call) -> Response:
        """Every name that can be asked for."""
        return _answer({"models": [_tag(entry) for entry in self._models.entries(call.visitor.caller)]})

    async def loaded(self, call: Call) -> Response:
        """No model is in this process's memory."""
        return _answer({"models": []})

    async def version(self, call: Call) -> Response:
        """The version of the API."""
        return _answer({"version": SPEAKS})

    async def show(self, call: Call) -> Response:
        """One name; raises UnknownModel (404) when nothing has it, InvalidRequest."""
        body = b""
        async for piece in call.request.stream():
            body += piece
            if len(body) > _LONGEST_BODY:
                raise PayloadTooLarge("the request body is too large for a model's name")
        fields = Fields.of_body(body)
        older = fields.take("name", STR)
        name = older or fields.need("model", STR)
        route = self._models.route(name)
        info: dict[str, Any] = {"general.architecture": _ARCHITECTURE}
        if context := max(spec.context_tokens for spec in route.deployments):
            info[f"{_ARCHITECTURE}.context_length"] = context
        capabilities = ["completion"]
        capabilities += ["tools"] if any(spec.has_tools for spec in route.deployments) else []
        capabilities += ["vision"] if any(spec.has_images for spec in route.deployments) else []
        told = {
            "modelfile": f"# routed to {', '.join(spec.key for spec in route.deployments)}",
            "parameters": "",
            "template": "",
            "details": _details(route.deployments[0].provider),
            "model_info": info,
            "capabilities": capabilities,
            "modified_at": _UNKNOWN_AT,
        }
        return _answer(told)


def _tag(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["id"],
        "model": entry["id"],
        "modified_at": _UNKNOWN_AT,
        "size": 0,
        "digest": sha256(entry["id"].encode()).hexdigest(),
        "details": _details(entry["owned_by"]),
    }


def _details(family: str) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    }


def _answer(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), headers={"content-type": "application/json"})
