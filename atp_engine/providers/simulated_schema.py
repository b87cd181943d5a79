"""A value that fits a JSON schema: tool arguments and structured answers of the simulated models.

Covers what tool schemas use: types, required, enum, const, bounds, formats, arrays, unions, local
references. A schema it cannot read gives an empty object; depth and size are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, floor
from typing import Any

from atp_engine.providers.simulated_chance import Chance
from atp_engine.providers.simulated_text import phrase

_DEEPEST = 8
_LONGEST_ARRAY = 16
_LONGEST_TEXT = 4_096
_FORMATS = {
    "date": "2026-11-24",
    "date-time": "2026-11-24T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT15M",
    "email": "sam@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.10",
    "ipv6": "2001:db8::10",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "3f2b7c1e-6a54-4d8e-9b0a-1c2d3e4f5a6b",
}
_NAMED = (
    (re.compile(r"path|file|dir"), ("README.md", "docs/notes.md", "src/main.py")),
    (re.compile(r"url|link"), ("https://example.com/",)),
    (re.compile(r"mail"), ("sam@example.com",)),
    (re.compile(r"city|location|place"), ("Lisbon", "Oslo", "Nagoya")),
    (re.compile(r"country"), ("Portugal", "Norway", "Japan")),
    (re.compile(r"date|day"), ("2026-11-24",)),
    (re.compile(r"lang"), ("en",)),
    (re.compile(r"command|cmd"), ("echo simulated",)),
)
_PATTERN_TRIES = ("abc", "ABC", "a1", "123", "2026-11-24", "abc-123", "v1.0", "A", "1", "+15550100", "#aabbcc")


class SchemaFiller:
    """Makes values for one schema document; `prompt` flavours free text."""

    def __init__(self, schema: object, prompt: str, chance: Chance, *, with_optional: bool) -> None:
        self._root: Mapping[str, Any] = schema if isinstance(schema, dict) else {}
        self._prompt = prompt
        self._chance = chance
        self._with_optional = with_optional
        self._budget = 400
        """Values still to be made: a schema cannot make the answer explode."""

    def value(self) -> Any:
        """A value for the whole schema; an object when the schema says nothing."""
        if not self._root:
            return {}
        made = self._fill(self._root, "", 0)
        return {} if made is None and "type" not in self._root else made

    def _fill(self, schema: object, name: str, depth: int) -> Any:
        self._budget -= 1
        if not isinstance(schema, dict):
            return phrase(self._prompt, self._chance)
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return self._chance.pick(choices)
        match self._type_of(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(self._number(schema, is_whole=True))
            case "number":
                return self._number(schema, is_whole=False)
            case "boolean":
                return self._chance.random() < 0.5
            case "null":
                return None
            case _:
                return self._text(schema, name)

    def _resolved(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """The schema with its references followed and its unions decided."""
        for _ in range(_DEEPEST):
            reference = schema.get("$ref")
            parts = schema.get("allOf")
            union = schema.get("anyOf") or schema.get("oneOf")
            if isinstance(reference, str):
                schema = {**self._target(reference), **{key: schema[key] for key in schema if key != "$ref"}}
            elif isinstance(parts, list) and parts:
                schema = self._joined(schema, [part for part in parts if isinstance(part, dict)])
            elif isinstance(union, list) and union:
                options = [option for option in union if isinstance(option, dict)] or [{}]
                chosen = self._simplest(options) if depth >= 3 else options[0]
                rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                schema = {**rest, **chosen}
            else:
                break
        return schema

    def _target(self, reference: str) -> Mapping[str, Any]:
        place: Any = self._root
        if reference != "#":
            for step in reference.removeprefix("#/").split("/"):
                place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
        return place if isinstance(place, dict) else {}

    def _joined(self, schema: Mapping[str, Any], parts: list[dict[str, Any]]) -> Mapping[str, Any]:
        joined: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in (self._target(part["$ref"]) if isinstance(part.get("$ref"), str) else part for part in parts):
            for key, value in part.items():
                if key == "properties" and isinstance(value, dict):
                    joined[key] = {**_mapping(joined.get(key)), **value}
                elif key == "required":
                    joined[key] = [*_names(joined.get(key)), *_names(value)]
                else:
                    joined.setdefault(key, value)
        return joined

    def _simplest(self, options: list[dict[str, Any]]) -> dict[str, Any]:
        """Deep down, the option that ends a recursion soonest."""
        plain = [option for option in options if option.get("type") not in ("object", "array", None)]
        return (plain or options)[0]

    def _type_of(self, schema: Mapping[str, Any], depth: int) -> str:
        stated = schema.get("type")
        if isinstance(stated, list) and stated:
            options = [option for option in stated if isinstance(option, str)]
            is_tight = depth >= 3 and "null" in options
            stated = "null" if is_tight else next((option for option in options if option != "null"), "null")
        if isinstance(stated, str):
            return stated
        if "properties" in schema:
            return "object"
        return "array" if "items" in schema else "string"

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = _mapping(schema.get("properties"))
        required = _names(schema.get("required"))
        wanted = list(dict.fromkeys([*required, *(properties if self._with_optional and depth < 3 else ())]))
        made: dict[str, Any] = {}
        for key in wanted:
            if depth >= _DEEPEST or self._budget <= 0:
                break
            made[key] = self._fill(properties.get(key, {}), key.lower(), depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = _whole(schema.get("minItems"), 0)
        most = _whole(schema.get("maxItems"), _LONGEST_ARRAY)
        count = min(max(least, 0 if depth >= 3 else 2), max(most, least), _LONGEST_ARRAY)
        if depth >= _DEEPEST:
            return []
        made = []
        for _ in range(count):
            if self._budget <= 0:
                break
            made.append(self._fill(schema.get("items", {}), name, depth + 1))
        if schema.get("uniqueItems") is True:
            made = [item for place, item in enumerate(made) if item not in made[:place]]
        return made

    def _number(self, schema: Mapping[str, Any], *, is_whole: bool) -> float:
        low = _bound(schema, "minimum", "exclusiveMinimum", 1.0 if is_whole else 0.01)
        high = _bound(schema, "maximum", "exclusiveMaximum", -1.0 if is_whole else -0.01)
        if low is None and high is None:
            low, high = 1.0, 20.0
        elif low is None:
            low = (high or 0.0) - 10.0
        elif high is None:
            high = low + 10.0
        drawn = self._chance.between(float(low or 0.0), float(high or 0.0))
        step = schema.get("multipleOf")
        if isinstance(step, int | float) and 1e-6 < step < 1e15:
            return ceil(float(low or 0.0) / step) * step
        return min(max(floor(drawn), ceil(low or 0.0)), high or 0.0) if is_whole else round(drawn, 2)

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and len(pattern) < 200:
            fitting = _fitting(pattern)
            if fitting is not None:
                return fitting
        stated = schema.get("format")
        text = _FORMATS.get(stated, "") if isinstance(stated, str) else ""
        if not text:
            words = next((words for hint, words in _NAMED if hint.search(name)), None)
            text = self._chance.pick(words) if words else phrase(self._prompt, self._chance)
        least = min(_whole(schema.get("minLength"), 0), _LONGEST_TEXT)
        most = min(_whole(schema.get("maxLength"), _LONGEST_TEXT), _LONGEST_TEXT)
        return text.ljust(least, "x")[: max(most, 0)]


def _fitting(pattern: str) -> str | None:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    return next((text for text in _PATTERN_TRIES if compiled.search(text)), None)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _bound(schema: Mapping[str, Any], inclusive: str, exclusive: str, step: float) -> float | None:
    for key, nudge in ((inclusive, 0.0), (exclusive, step)):
        value = schema.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            return float(value) + nudge
    return None
