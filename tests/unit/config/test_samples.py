"""The sample configs load, and the generated ones are what the code says today."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from atp_engine.config.descriptions import descriptions, models_below
from atp_engine.config.first_run import Detection, render
from atp_engine.config.load import load, parse
from atp_engine.config.models import Config, RouteConfig, WeightedTarget
from atp_engine.config.schema import schema, schema_text
from tests.support.full_sample import full_sample

SAMPLES = Path(__file__).parents[3] / "sample_config"
KINDS = frozenset(["simulated", "anthropic", "ollama", "lmstudio", "llamacpp", "vllm"])


@pytest.mark.parametrize("name", ["minimal", "full", "local_models", "edge"])
def test_every_sample_loads_without_a_warning(name: str) -> None:
    assert load(SAMPLES / f"{name}.toml", KINDS).warnings == ()


def test_the_generated_samples_are_current() -> None:
    """`make samples` writes them anew."""
    assert (SAMPLES / "full.toml").read_text() == full_sample()
    assert (SAMPLES / "minimal.toml").read_text() == render(Detection())


def test_the_full_sample_shows_every_key_of_every_table() -> None:
    text = full_sample()
    keys = {line.removeprefix("# ").split(" = ")[0] for line in text.splitlines() if " = " in line}
    headers = {part for line in text.splitlines() if line.startswith("[") for part in line.strip("[]").split(".")}
    for model in set(models_below(Config)) - {WeightedTarget}:
        assert set(model.model_fields) <= keys | headers, model


def test_the_full_sample_states_the_defaults() -> None:
    tree = tomllib.loads(full_sample())
    config = parse(full_sample(), Path("full.toml"), KINDS).config
    plain = Config()
    for section in set(Config.model_fields) - {"providers", "deployments", "routes", "windows", "prices"}:
        assert getattr(config, section) == getattr(plain, section)
        stated = set(tree[section])
        assert {key for key, value in getattr(plain, section) if value is not None} == stated


def test_every_key_has_a_description() -> None:
    told = descriptions(Config)
    for model in models_below(Config):
        assert model.__doc__
        for name, field in model.model_fields.items():
            is_table = set(models_below(model)) & {field.annotation}  # has its class's words
            assert told[model.__name__].get(name) or is_table or model is Config, f"{model.__name__}.{name}"


def test_the_schema_knows_every_key_and_has_nothing_that_toml_lacks() -> None:
    tree = schema()
    text = schema_text()
    assert "null" not in text
    properties: dict[str, Any] = tree["$defs"]["ProviderConfig"]["properties"]
    assert properties["api_key"]["description"].startswith("Reference to the credential")
    assert "env:OPENAI_API_KEY" in properties["api_key"]["examples"]
    assert tree["$defs"]["RouteConfig"]["required"] == ["deployments"]
    assert set(tree["properties"]) == set(Config.model_fields)
    assert RouteConfig.__doc__ == tree["$defs"]["RouteConfig"]["description"]
