"""What differs, what it touches, what is worse: judged on values alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from atp_engine.config.load import parse
from atp_engine.config.models import Config
from atp_engine.core.errors import InvalidRequest
from atp_engine.services.configuration_diff import changes, touched
from atp_engine.services.configuration_guard import guard_s, what_is_worse
from atp_engine.storage.config_traffic import Outcome

BASE = """\
[providers.near]
kind = "simulated"

[providers.far]
kind = "openai"
headers = { x-team = "blue" }

[deployments.a]
provider = "near"
model = "m"

[deployments.b]
provider = "far"
model = "m"

[routes.left]
deployments = ["a"]

[routes.both]
deployments = ["a", { deployment = "b" }]
"""


def config(text: str = BASE) -> Config:
    return parse(text, Path("/etc/atp.toml")).config


@pytest.mark.parametrize(
    ("before", "after", "told", "names"),
    [
        ("blue", "red", ["provider far changed: headers"], {"b", "both"}),
        ('["a"]', '["b"]', ["route left changed: deployments [a] -> [b]"], {"left"}),
        ('"near"\nmodel = "m"', '"near"\nmodel = "n"', ["deployment a changed: model m -> n"], {"a", "left", "both"}),
        ("[routes.left]", "[routes.right]", ["route left removed", "route right added"], {"left", "right"}),
        ("[providers.near]", "[limits]\nmax_queued = 3\n[providers.near]",
         ["limits changed: max_queued 1024 -> 3"], {"a", "b", "left", "both"}),
        ("[providers.near]", "[server]\ndrain_s = 3\n[providers.near]", ["server changed: drain_s 10.0 -> 3.0"], set()),
        ("near", "near", [], set()),
    ],
)  # fmt: skip
def test_a_diff_speaks_of_routes_and_deployments_and_knows_what_they_touch(
    before: str, after: str, told: list[str], names: set[str]
) -> None:
    assert before in BASE
    old, new = config(), config(BASE.replace(before, after, 1))
    assert [str(change) for change in changes(old, new)] == told
    assert touched(old, new) == names


def outcomes(count: int, bad: float, ms: float, seed: int, spread: float = 0.3) -> list[Outcome]:
    rng = random.Random(seed)
    return [Outcome(rng.random() < bad, ms * rng.lognormvariate(0, spread), 1) for _ in range(count)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((500, 0.01, 300.0), (200, 0.30, 300.0), "failed"),
        ((0, 0.0, 0.0), (30, 1.0, 300.0), "too little traffic"),
        ((300, 0.0, 300.0), (300, 0.0, 700.0), "95th percentile"),
        ((500, 0.01, 300.0), (12, 1.0, 300.0), ""),
        ((0, 0.0, 0.0), (30, 0.1, 300.0), ""),
        ((500, 0.30, 300.0), (200, 0.05, 100.0), ""),
        ((20, 0.0, 300.0), (20, 0.0, 3000.0), ""),
    ],
)
def test_worse_is_what_chance_does_not_explain(
    before: tuple[int, float, float], after: tuple[int, float, float], told: str
) -> None:
    said = what_is_worse(outcomes(*before, seed=1), outcomes(*after, seed=2))
    assert (told in said) if told else said == ""


def test_the_same_traffic_is_hardly_ever_called_worse() -> None:
    alarms = sum(
        bool(what_is_worse(outcomes(400, 0.05, 300.0, seed), outcomes(150, 0.05, 300.0, seed + 10_000, 0.3)))
        for seed in range(300)
    )
    assert alarms <= 2


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300.0), ("30s", 30.0), ("1.5h", 5400.0), ("off", 0.0), ("", 0.0)])
def test_guards_are_times(text: str, seconds: float) -> None:
    assert guard_s(text) == seconds
    with pytest.raises(InvalidRequest):
        guard_s("-5m")
    for wrong in ("5", "m", "25h", "0s", "5 m", "inf"):
        with pytest.raises(InvalidRequest):
            guard_s(wrong)
