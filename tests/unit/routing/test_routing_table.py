from __future__ import annotations

import pytest

from atp_engine.core.errors import ConfigError
from atp_engine.core.pricing import FREE, Price, usd_to_nusd
from atp_engine.core.types import Dialect
from atp_engine.routing.table import MADE_ROUTES, Route, RoutingTable
from tests.support.routing_facts import table_of

TREE: dict[str, object] = {
    "timeouts": {"connect_s": 5, "ttft_s": 15, "idle_s": 20, "total_s": 600},
    "providers": {
        "openai": {"kind": "openai", "models": ["gpt-*", "o3"], "timeouts": {"ttft_s": 11, "idle_s": 12}},
        "claude": {"kind": "anthropic", "models": ["claude-*"]},
        "box": {"kind": "ollama", "models": ["*"]},
        "edge": {"kind": "openai", "is_local": True},
    },
    "deployments": {
        "mini": {"provider": "openai", "model": "gpt-4o-mini", "context_tokens": 128000, "timeouts": {"ttft_s": 7}},
        "sonnet": {"provider": "claude", "model": "claude-sonnet-5", "max_parallel": 4, "is_enabled": False},
        "priced": {"provider": "edge", "model": "x", "price": {"input": 1, "output": 2, "cache_read": 0.5}},
        "openai/gpt-5": {"provider": "claude", "model": "claude-opus-5"},
    },
    "routes": {
        "auto": {"deployments": ["mini", {"deployment": "sonnet", "weight": 3}, "mini"], "timeouts": {"total_s": 30}},
        "priced": {"deployments": ["mini"]},
    },
}


@pytest.fixture
def table() -> RoutingTable:
    return table_of(TREE)


def route(table: RoutingTable, name: str) -> Route:
    found = table.resolve(name)
    assert found is not None
    return found


def test_an_alias_wins_over_a_deployment_of_the_same_name(table: RoutingTable) -> None:
    assert [spec.key for spec in route(table, "priced").deployments] == ["mini"]
    assert route(table, "priced").is_alias


def test_a_deployment_can_be_asked_for_by_its_own_name(table: RoutingTable) -> None:
    found = route(table, "mini")
    assert found.name == "mini"
    assert not found.is_alias
    assert found.deployments[0].model == "gpt-4o-mini"


def test_an_alias_keeps_order_and_weights_and_drops_repeated_deployments(table: RoutingTable) -> None:
    found = route(table, "auto")
    assert [spec.key for spec in found.deployments] == ["mini", "sonnet"]
    assert found.weights == (1.0, 3.0)


def test_specs_carry_what_the_vendor_lookup_and_the_config_say(table: RoutingTable) -> None:
    sonnet = table.deployments["sonnet"]
    assert sonnet.dialect is Dialect.ANTHROPIC
    assert (sonnet.max_parallel, sonnet.is_enabled, sonnet.is_local) == (4, False, False)
    assert table.deployments["priced"].is_local


def test_a_model_pattern_makes_a_deployment_on_demand(table: RoutingTable) -> None:
    found = route(table, "claude-opus-4-5")
    assert found.deployments[0].key == "claude/claude-opus-4-5"
    assert found.deployments[0].dialect is Dialect.ANTHROPIC
    assert table.resolve("claude-opus-4-5") is found


def test_patterns_are_tried_in_the_order_of_the_config(table: RoutingTable) -> None:
    assert route(table, "gpt-9").deployments[0].provider == "openai"
    assert route(table, "qwen3:30b").deployments[0].provider == "box"


def test_provider_slash_model_names_the_provider_even_without_a_pattern(table: RoutingTable) -> None:
    found = route(table, "edge/anything")
    assert found.deployments[0].model == "anything"
    assert found.deployments[0].is_local


def test_a_configured_deployment_serves_its_model_under_the_vendors_name(table: RoutingTable) -> None:
    assert route(table, "gpt-4o-mini").deployments[0].key == "mini"
    assert route(table, "claude/claude-sonnet-5").deployments[0].key == "sonnet"


def test_a_made_deployment_never_takes_the_key_of_a_configured_one(table: RoutingTable) -> None:
    assert route(table, "openai/gpt-5").deployments[0].model == "claude-opus-5"
    assert route(table, "gpt-5").deployments[0].key == "openai/gpt-5@pattern"


@pytest.mark.parametrize("name", ["", " ", "a b", "x\n", "\x1b[31m", "ä", "m" * 257, "edge/"])
def test_names_that_cannot_be_models_find_nothing_without_a_catch_all(name: str) -> None:
    table = table_of({"providers": {"edge": {"kind": "openai", "models": ["x*"]}}})
    assert table.resolve(name) is None


def test_a_flood_of_names_keeps_the_made_routes_bounded(table: RoutingTable) -> None:
    first = route(table, "model-0")
    for number in range(3 * MADE_ROUTES):
        table.resolve(f"model-{number}")
    assert table.resolve("model-0") is not first
    assert route(table, "auto").is_alias


def test_near_names_help_with_a_typo_and_bear_huge_names(table: RoutingTable) -> None:
    assert table.near("sonet") == ["sonnet"]
    assert table.near("q" * 1_000_000) == []


def test_names_list_aliases_deployments_and_exact_patterns(table: RoutingTable) -> None:
    assert table.names() == ("auto", "priced", "mini", "sonnet", "openai/gpt-5", "o3")


def test_prices_come_from_the_config_then_the_bundle_and_local_is_free(table: RoutingTable) -> None:
    priced = table.price(table.deployments["priced"])
    assert priced == Price(usd_to_nusd(1), usd_to_nusd(2), usd_to_nusd(0.5), usd_to_nusd(1))
    bundled = table.price(table.deployments["mini"])
    assert bundled is not None
    assert bundled.input_nusd == usd_to_nusd(0.15)
    assert bundled.source.startswith("bundled 20")
    assert table.price(route(table, "llama4").deployments[0]) is FREE
    assert table.price(route(table, "gpt-unheard-of").deployments[0]) is None


def test_timeouts_come_from_route_deployment_provider_and_general_in_that_order(table: RoutingTable) -> None:
    limits = table.timeouts(route(table, "auto"), table.deployments["mini"])
    assert (limits.connect_s, limits.ttft_s, limits.idle_s, limits.total_s) == (5, 7, 12, 30)
    made = route(table, "gpt-9")
    assert table.timeouts(made, made.deployments[0]).ttft_s == 11


def test_routes_of_a_deployment_are_listed(table: RoutingTable) -> None:
    assert table.routes_of("mini") == ("auto", "priced")
    assert table.routes_of("openai/gpt-5") == ()


def test_the_table_knows_its_deployments_and_those_its_providers_can_make(table: RoutingTable) -> None:
    assert "sonnet" in table
    assert "box/qwen" in table
    assert "gone/model" not in table
    assert 7 not in table


def test_broken_references_are_config_errors_that_name_the_key() -> None:
    with pytest.raises(ConfigError) as lost_deployment:
        table_of({"routes": {"auto": {"deployments": ["ghost"]}}})
    assert lost_deployment.value.problems[0].key == "routes.auto.deployments"
    with pytest.raises(ConfigError) as lost_provider:
        table_of({"deployments": {"a": {"provider": "ghost", "model": "m"}}})
    assert "ghost" in str(lost_provider.value)
