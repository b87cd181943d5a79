"""What each key of the config is for: the docstring below it in the models' source, read when somebody asks.

`config/schema.py` and the generated sample ask. pydantic could attach them while the classes are made, but that
parses every class's source at every start, which nobody who serves traffic needs.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every model that its fields hold, each once."""
    waiting: list[Any] = [model]
    seen: set[type[BaseModel]] = set()
    while waiting:
        part = waiting.pop(0)
        if not (isinstance(part, type) and issubclass(part, BaseModel)):
            waiting.extend(get_args(part))
        elif part not in seen:
            seen.add(part)
            yield part
            waiting.extend(field.annotation for field in part.model_fields.values())


def descriptions(model: type[BaseModel]) -> dict[str, dict[str, str]]:
    """By class name and key, for the model and all below it."""
    found: dict[str, dict[str, str]] = {}
    models = list(models_below(model))
    for module in {kind.__module__ for kind in models}:
        found.update(_of_module(inspect.getsource(sys.modules[module])))
    return {kind.__name__: _with_bases(kind, found) for kind in models}


def _with_bases(kind: type[BaseModel], found: dict[str, dict[str, str]]) -> dict[str, str]:
    """A class's keys, those of the classes that it extends included."""
    told: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        told.update(found.get(base.__name__, {}))
    return told


def _of_module(source: str) -> dict[str, dict[str, str]]:
    return {node.name: _of_class(node) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = inspect.cleandoc(text.value.value)
    return found
