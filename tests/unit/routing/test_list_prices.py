from __future__ import annotations

from datetime import UTC, datetime

import pytest

from atp_engine.config.models import ListedPriceConfig
from atp_engine.core.pricing import cost_of, usd_to_nusd
from atp_engine.core.types import PriceState, TokenUsage
from atp_engine.routing.prices import SOURCES, list_price, listed_price


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929"])
def test_a_dated_snapshot_has_the_price_of_its_model(model: str) -> None:
    price = list_price("anthropic", model)
    assert price is not None
    assert (price.input_nusd, price.output_nusd) == (usd_to_nusd(3), usd_to_nusd(15))
    assert (price.cache_read_nusd, price.cache_write_nusd) == (usd_to_nusd(0.3), usd_to_nusd(3.75))


def test_a_snapshot_with_a_price_of_its_own_keeps_it() -> None:
    price = list_price("openai", "gpt-4o-2024-05-13")
    assert price is not None
    assert price.input_nusd == usd_to_nusd(5)


@pytest.mark.parametrize("model", ["gpt-99", "gpt-4o-mini-tts", "gpt-4o-realtime", "", "claude-sonnet-4-5"])
def test_what_is_not_listed_is_unknown_and_never_guessed_from_a_prefix(model: str) -> None:
    assert list_price("openai", model) is None
    assert list_price("", model) is None


def test_a_cost_beyond_the_size_that_a_price_holds_for_is_assumed() -> None:
    price = list_price("openai", "gpt-5.4")
    assert cost_of(price, TokenUsage(input_tokens=272_000, output_tokens=1)).state is PriceState.KNOWN
    assert cost_of(price, TokenUsage(input_tokens=1, cache_read_tokens=272_000)).state is PriceState.ASSUMED


def test_every_catalog_names_its_page() -> None:
    assert all(page.startswith("https://") for page in SOURCES.values())
    assert list_price("mistral", "codestral-2508") is not None


def test_a_config_s_price_holds_in_its_days_and_the_bundled_one_around_them() -> None:
    bundled = list_price("openai", "gpt-5")
    stated = ListedPriceConfig.model_validate(
        {"input": 1, "output": 2, "factor": 0.5, "since": "2026-11-02", "until": "2026-12-01", "source": "contract"}
    )
    price = listed_price(stated, bundled)
    assert price is not None and bundled is not None
    day = 86_400.0
    since = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
    at = [price.at(since - 1), price.at(since), price.at(since + 28 * day), price.at(since + 29 * day)]
    assert [one and one.input_nusd for one in at] == [
        bundled.input_nusd,
        usd_to_nusd(0.5),
        usd_to_nusd(0.5),
        bundled.input_nusd,
    ]
    assert at[1] is not None and at[1].source == "contract"
    unlisted = listed_price(stated, None)
    assert unlisted is not None and unlisted.at(since - 1) is None and unlisted.at(since + 29 * day) is None
