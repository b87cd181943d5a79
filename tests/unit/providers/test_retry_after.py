"""The many ways in which vendors say when to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.providers.retry_after import LONGEST_WAIT_S, retry_after_s, stated_wait_s

NOW = 1_800_000_000.0  # 15 January 2027, 08:00:00 UTC


def wait(**headers: str) -> float | None:
    return retry_after_s([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()], NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("1.5", 1.5),
        (" 20 ", 20.0),
        ("3600", 3600.0),
        ("999999999", LONGEST_WAIT_S),
        ("1m30s", 90.0),
        ("20ms", 0.02),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723.0),
        ("1d", 86_400.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("2027-01-15T08:00:42Z", 42.0),
        ("2027-01-15T09:00:42+01:00", 42.0),
        ("1800000012", 12.0),
        ("1800000012500", 12.5),
    ],
)
def test_every_form_of_retry_after_is_read(value: str, seconds: float) -> None:
    assert wait(retry_after=value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *("", "-1", "soon", "nan", "inf", "1e9", "0x10", "1,5", "5 seconds", "s", "1s1m", "\u0661\u0662", "12" * 40),
        *("Fri, 99 Jan 2027 08:00:30 GMT", "2027-13-45T00:00:00Z", "9999-99-99", "Mon, 1 Jan 99999 00:00:00 GMT"),
    ],
)
def test_what_is_no_time_is_ignored(value: str) -> None:
    assert wait(retry_after=value) is None


def test_milliseconds_come_before_seconds() -> None:
    assert wait(retry_after="9", retry_after_ms="250") == 0.25
    assert wait(retry_after="9", retry_after_ms="garbage") == 9.0


def test_a_date_counts_from_the_answers_own_date() -> None:
    headers = {"date": "Fri, 15 Jan 2027 03:00:00 GMT", "retry_after": "Fri, 15 Jan 2027 03:00:10 GMT"}
    assert wait(**headers) == 10.0


def test_the_spent_limit_decides_among_openais() -> None:
    headers = {
        "x_ratelimit_remaining_requests": "0",
        "x_ratelimit_reset_requests": "8.64s",
        "x_ratelimit_remaining_tokens": "12",
        "x_ratelimit_reset_tokens": "6m0s",
    }
    assert wait(**headers) == pytest.approx(8.64)
    headers["x_ratelimit_remaining_tokens"] = "0"
    assert wait(**headers) == 360.0


def test_the_spent_limit_decides_among_anthropics() -> None:
    headers = {
        "anthropic_ratelimit_requests_remaining": "3",
        "anthropic_ratelimit_requests_reset": "2027-01-15T08:00:01Z",
        "anthropic_ratelimit_input_tokens_remaining": "0",
        "anthropic_ratelimit_input_tokens_reset": "2027-01-15T08:00:25Z",
    }
    assert wait(**headers) == 25.0


def test_without_a_spent_limit_the_earliest_reset_is_taken() -> None:
    assert wait(x_ratelimit_reset_requests="1s", x_ratelimit_reset_tokens="20ms") == 0.02
    assert wait(x_ratelimit_reset="1800000003") == 3.0


def test_what_is_stated_beats_the_resets() -> None:
    assert wait(retry_after="2", x_ratelimit_reset_requests="1h") == 2.0


def test_resets_mean_nothing_for_other_failures() -> None:
    assert stated_wait_s([(b"x-ratelimit-reset-requests", b"1h")], NOW) is None
    assert stated_wait_s([(b"retry-after", b"4")], NOW) == 4.0


def test_no_headers_no_wait() -> None:
    assert wait() is None
    assert wait(content_type="application/json") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"retry-after", b"retry-after-ms", b"date", b"x-ratelimit-reset-requests"])
            | st.binary(max_size=40),
            st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
        ),
        max_size=6,
    ),
    st.floats(0, 4e9),
)
def test_any_bytes_give_a_bounded_wait_or_none(headers: list[tuple[bytes, bytes]], now: float) -> None:
    seconds = retry_after_s(headers, now)
    assert seconds is None or 0.0 <= seconds <= LONGEST_WAIT_S
