"""The JSON Schema of the config file, for editors that complete and check TOML.

`atp-console schema` prints it. It is made from the models, so descriptions, bounds and defaults are
theirs; what JSON has and TOML has not (null) is taken out.
"""

from __future__ import annotations

import json
from typing import Any

from atp_engine.config.descriptions import descriptions
from atp_engine.config.models import Config


def schema() -> dict[str, Any]:
    """The schema as a tree: draft 2020-12, every key with its description."""
    made = Config.model_json_schema()
    tables = {**made.get("$defs", {}), Config.__name__: made}
    for name, keys in descriptions(Config).items():
        for key, text in keys.items():
            tables[name]["properties"][key]["description"] = text
    tree: dict[str, Any] = _without_null(made)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ATP Console configuration",
        **{key: value for key, value in tree.items() if key != "title"},
    }


def schema_text() -> str:
    """The schema as indented JSON with a line end."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _without_null(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_null(child) for child in node]
    if not isinstance(node, dict):
        return node
    clean = {key: _without_null(child) for key, child in node.items() if not _is_noise(key, child)}
    choices = clean.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        choices = [choice for choice in choices if choice != {"type": "null"}]
        del clean["anyOf"]
        clean = {**choices[0], **clean} if len(choices) == 1 else {**clean, "anyOf": choices}
    return clean


def _is_noise(key: str, child: Any) -> bool:
    """Defaults that TOML cannot write, tables that repeat their own defaults, titles made from names."""
    return (key == "default" and (child is None or isinstance(child, dict))) or (
        key == "title" and isinstance(child, str)
    )
