"""The sample that shows every key: generated from the models, so that it cannot fall behind them.

`make samples` writes it to sample_config/full.toml; tests/unit/config/test_samples.py compares.
"""

from __future__ import annotations

import textwrap
from datetime import date
from pathlib import Path
from typing import Any, get_args

import tomlkit
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from atp_engine.config.descriptions import descriptions
from atp_engine.config.first_run import Detection, render
from atp_engine.config.models import Config

_HEAD = """\
# Every key of ATP Console with its default; a line that begins with "# key =" shows a key that has none.
# Start from minimal.toml and copy from here what you need. Prices are US dollars per million tokens.
"""
_REQUIRED: dict[str, Any] = {"input": 3.0, "output": 15.0}
# Tables that people name themselves, each with the name and the values that the sample needs to give.
_NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "providers": ("simulated", {"kind": "simulated"}),
    "profiles": ("sim-example", {}),
    "deployments": ("example", {"provider": "simulated", "model": "sim-example"}),
    "routes": ("auto", {"deployments": ["example"]}),
    "windows": ("team-a", {"max_usd": 25.0}),
    "prices": ("example-model", _REQUIRED),
}
# What a key without a default could look like.
_SHOWN: dict[str, Any] = {
    "base_url": "http://127.0.0.1:8000/v1",
    "api_key": "env:NAME",
    "dialect": "openai_chat",
    "proxy": "http://127.0.0.1:3128",
    "ca_file": "private-ca.pem",
    "is_local": True,
    "task": "chat",
    "num_ctx": 32_768,
    "cache_read": 0.3,
    "cache_write": 3.75,
    "cache_write_1h": 6.0,
    "reasoning": 15.0,
    "input_above": 6.0,
    "output_above": 22.5,
    "since": date(2026, 11, 1),
    "until": date(2027, 1, 1),
    "file": "engine.log",
    "connect_s": 5.0,
    "ttft_s": 15.0,
    "idle_s": 20.0,
    "total_s": 600.0,
    "max_parallel": 8,
    "max_tokens": 2_000_000,
    "requests_per_minute": 60,
}


def full_sample() -> str:
    """The text of sample_config/full.toml."""
    blocks = [_HEAD]
    for name, field in Config.model_fields.items():
        blocks.extend(_blocks((name,), field))
    return "\n".join(blocks)


def _blocks(path: tuple[str, ...], field: FieldInfo) -> list[str]:
    """One block of lines for the table at `path` and one for each table in it."""
    model, values = _model_of(field), dict(_REQUIRED)
    if path[-1] in _NAMED:
        name, given = _NAMED[path[-1]]
        path, values = (*path, name), given
    lines = [f"# {(model.__doc__ or '').strip()}", f"[{'.'.join(path)}]"]
    inner: list[str] = []
    told = descriptions(model)[model.__name__]
    for key, member in model.model_fields.items():
        if _has_table(member):
            inner.extend(_blocks((*path, key), member))
        else:
            lines.extend(_lines(key, member, values, told.get(key, "")))
    return ["\n".join(lines) + "\n", *inner]


def _lines(key: str, field: FieldInfo, values: dict[str, Any], description: str) -> list[str]:
    described = textwrap.wrap(description, 115, initial_indent="# ", subsequent_indent="# ")
    if field.is_required() or key in values:
        return [*described, f"{key} = {_toml(values[key])}"]
    if field.default is None:
        return [*described, f"# {key} = {_toml(_SHOWN[key])}"]
    return [*described, f"{key} = {_toml(field.default)}"]


def _toml(value: Any) -> str:
    if isinstance(value, dict) and not value:
        return "{}"
    return str(tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string())


def _has_table(field: FieldInfo) -> bool:
    return _model_in(field.annotation) is not None and not str(field.annotation).startswith("tuple")


def _model_of(field: FieldInfo) -> type[BaseModel]:
    model = _model_in(field.annotation)
    if model is None:
        raise TypeError("a table of the config is a model")
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


def write_samples(folder: Path) -> None:
    """Writes the two generated samples; the others are written by hand."""
    (folder / "full.toml").write_text(full_sample())
    (folder / "minimal.toml").write_text(render(Detection()))


if __name__ == "__main__":
    write_samples(Path(__file__).parents[2] / "sample_config")
