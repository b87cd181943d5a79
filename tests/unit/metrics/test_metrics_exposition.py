from __future__ import annotations

from time import perf_counter

import pytest

from atp_engine.metrics.catalog import Catalog
from atp_engine.metrics.exposition import render
from atp_engine.metrics.instruments import MAX_CHILDREN, Registry
from tests.support.prometheus_text import parse

HOSTILE = ['quote"', "back\\slash", "new\nline", "\\n", 'x",y="z', "\x1b[31m", "ünï", "\ud800", "", "a" * 3_000, "}"]


def test_the_page_of_a_fresh_engine_is_valid_and_all_of_one_family() -> None:
    catalog = Catalog("0.1.0")
    catalog.read_process()
    families = parse(render(catalog.registry))
    assert all(name.startswith("atp_") for name in families)
    assert families["atp_build_info"].samples["atp_build_info", (("version", "0.1.0"),)] == 1
    assert families["atp_cost_usd_total"].samples["atp_cost_usd_total", ()] == 0
    assert "atp_in_flight" not in families


def test_the_page_shows_what_was_counted() -> None:
    catalog = Catalog("0.1.0")
    catalog.requests.child("ok", "auto").inc()
    catalog.requests.child("ok", "auto").inc()
    catalog.cost.child().inc(1_500_000_000)
    catalog.in_flight.child().set(3)
    for seconds in (0.001, 0.5, 0.5001, 3.0, 5_000.0):
        catalog.duration.child().observe(seconds)
    families = parse(render(catalog.registry))
    assert families["atp_requests_total"].samples["atp_requests_total", (("state", "ok"), ("route", "auto"))] == 2
    assert families["atp_cost_usd_total"].samples["atp_cost_usd_total", ()] == 1.5
    assert families["atp_in_flight"].samples["atp_in_flight", ()] == 3
    buckets = {
        pairs[0][1]: value
        for (sample, pairs), value in families["atp_request_duration_seconds"].samples.items()
        if sample.endswith("_bucket")
    }
    assert (buckets["0.00390625"], buckets["0.5"], buckets["1.0"], buckets["4.0"]) == (1, 2, 3, 4)
    assert (buckets["1024.0"], buckets["+Inf"]) == (4, 5)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_label_values_come_back_unharmed(value: str) -> None:
    registry = Registry()
    registry.counter("c_total", "d", "model").child(value).inc()
    registry.histogram("h_seconds", "d", "model").child(value).observe(1)
    families = parse(render(registry))
    expected = value.encode("utf-8", "replace").decode()
    assert families["c_total"].samples["c_total", (("model", expected),)] == 1


def test_descriptions_are_escaped() -> None:
    registry = Registry()
    registry.counter("c_total", "two\nlines \\ here")
    assert b"# HELP c_total two\\nlines \\\\ here\n" in render(registry)


def test_a_full_catalog_renders_within_a_bounded_time_and_size() -> None:
    catalog = Catalog("0.1.0")
    for number in range(2 * MAX_CHILDREN):
        catalog.attempts.child(f"provider/model-{number}", "ok").inc()
        catalog.requests.child("ok", f"route-{number}").inc()
        catalog.circuit_state.child(f"provider/model-{number}").set(0)
    started = perf_counter()
    page = render(catalog.registry)
    assert perf_counter() - started < 0.25
    assert len(page) < 200_000
    parse(page)


def test_process_figures_are_plausible() -> None:
    catalog = Catalog("0.1.0")
    catalog.read_process()
    assert catalog.cpu_seconds.child().value > 0
    assert catalog.resident_bytes.child().value > 1_000_000
    assert 2 < catalog.open_files.child().value < 100_000
