"""Estimates are corrected by what vendors report, and their error is known."""

from __future__ import annotations

import pytest

from atp_engine.services.estimates import Estimates
from atp_engine.storage.estimates import Counted


def test_a_deployment_that_was_never_heard_of_leaves_an_estimate_as_it_is() -> None:
    book = Estimates([])
    assert book.corrected("new", 100) == 100
    assert book.error("new") is None


def test_what_a_vendor_reports_corrects_the_next_estimate_of_its_deployment_alone() -> None:
    book = Estimates([])
    for estimated in (100, 400, 250, 800, 90, 300, 120):
        book.learn("dense", estimated, round(estimated * 1.3))
    assert book.corrected("dense", 1000) == pytest.approx(1300, rel=0.02)
    assert book.corrected("other", 1000) == 1000
    error = book.error("dense")
    assert error is not None
    assert error < 0.02


def test_the_error_is_told_only_after_a_few_calls_and_shows_how_vendors_vary() -> None:
    book = Estimates([])
    for place in range(200):
        book.learn("moody", 1000, 800 if place % 2 else 1200)
        if place < 5:
            assert book.error("moody") is None
    error = book.error("moody")
    assert error is not None
    assert 0.1 < error < 0.4


def test_the_ledgers_latest_requests_teach_the_same_as_they_did_when_they_happened() -> None:
    lived = Estimates([])
    ledger = [Counted("a", 100 + place, 130 + place) for place in range(50)]
    for one in ledger:
        lived.learn(*one)
    read = Estimates(ledger)
    assert (read.corrected("a", 500), read.error("a")) == (lived.corrected("a", 500), lived.error("a"))


@pytest.mark.parametrize(("estimated", "reported"), [(0, 5), (5, 0), (-1, 4), (4, -1)])
def test_nonsense_teaches_nothing(estimated: int, reported: int) -> None:
    book = Estimates([])
    book.learn("a", estimated, reported)
    assert book.corrected("a", 77) == 77


def test_the_book_forgets_the_deployments_that_were_silent_longest() -> None:
    book = Estimates([])
    for place in range(3000):
        book.learn(f"d{place}", 100, 200)
    assert book.corrected("d0", 100) == 100
    assert book.corrected("d2999", 100) == 200
