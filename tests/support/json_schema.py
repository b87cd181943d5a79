"""A small strict check of values against the parts of JSON schema that tools use."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def fits(value: object, schema: Any, root: Any = None) -> bool:
    """True when the value is valid under the schema."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return True
    if "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
            target = target[step] if step else target
        return fits(value, target, root)
    for key, check in (("allOf", all), ("anyOf", any), ("oneOf", any)):
        if key in schema and not check(fits(value, option, root) for option in schema[key]):
            return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    return _fits_type(value, schema) and _fits_bounds(value, schema, root)


def _fits_type(value: object, schema: dict[str, Any]) -> bool:
    stated = schema.get("type")
    if stated is None:
        return True
    names = stated if isinstance(stated, list) else [stated]
    is_number_like = not isinstance(value, bool)
    return any(isinstance(value, _TYPES[name]) and (is_number_like or name == "boolean") for name in names)


def _fits_bounds(value: object, schema: dict[str, Any], root: Any) -> bool:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is False and set(value) - set(properties):
            return False
        return set(schema.get("required", ())) <= set(value) and all(
            fits(inner, properties.get(key, True), root) for key, inner in value.items()
        )
    if isinstance(value, list):
        is_long_enough = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1_000)
        return is_long_enough and all(fits(inner, schema.get("items", True), root) for inner in value)
    if isinstance(value, str):
        is_long_enough = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1_000_000)
        return is_long_enough and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float) and not isinstance(value, bool):
        step = schema.get("multipleOf")
        return (
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
            and (step is None or abs(value / step - round(value / step)) < 1e-9)
        )
    return True
