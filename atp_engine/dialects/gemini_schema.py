"""Gemini's `Schema` (a part of OpenAPI 3.0, types in capitals) as JSON schema, for other vendors.

The other way needs no conversion: Gemini takes JSON schema as it is in `parametersJsonSchema` and
`responseJsonSchema` (ai.google.dev/api/caching#FunctionDeclaration, November 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.dialects import json_text

_ANY: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        name: "".join(word if not place else word.capitalize() for place, word in enumerate(name.split("_")))
        for name in (
            "any_of", "max_items", "min_items", "max_length", "min_length", "max_properties", "min_properties",
            "property_ordering", "additional_properties",
        )
    }
)  # fmt: skip
_COUNTS = frozenset({"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"})
_NOT_JSON_SCHEMA = frozenset({"propertyOrdering", "nullable", "example"})
_DEEPEST = 64


def json_schema(raw: msgspec.Raw) -> msgspec.Raw:
    """The schema as JSON schema. Raises ValueError when it is not an object or nested too deeply."""
    return msgspec.Raw(msgspec.json.encode(_converted(json_text.decode(_ANY, bytes(raw)), 0)))


def _converted(schema: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if not isinstance(schema, dict):
        return schema
    written: dict[str, Any] = {}
    for given, value in schema.items():
        name = _NAMES.get(given, given)
        if name in _NOT_JSON_SCHEMA:
            continue
        written[name] = _member(name, value, depth + 1)
    kind = written.get("type")
    if schema.get("nullable") is True and isinstance(kind, str):
        written["type"] = [kind, "null"]
        if isinstance(written.get("enum"), list):
            written["enum"] = [*written["enum"], None]
    return written


def _member(name: str, value: Any, depth: int) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isdigit():
        return int(value)  # the vendor's JSON writes 64-bit numbers as text
    if name in ("properties", "$defs", "defs") and isinstance(value, dict):
        return {key: _converted(inner, depth) for key, inner in value.items()}
    if name == "anyOf" and isinstance(value, list):
        return [_converted(inner, depth) for inner in value]
    return _converted(value, depth) if name in ("items", "additionalProperties") else value
