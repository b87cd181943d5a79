"""Credentials leave text, everything else stays as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.redact import holds_credential, redact

KEY = "abcdefghij0123456789ABCDEFGHIJ012345"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"sk-{KEY}", KEY),
        (f"sk-ant-api03-{KEY}", KEY),
        (f"OPENAI_API_KEY=sk-proj-{KEY}", KEY),
        (f"gsk_{KEY}", KEY),
        (f"xai-{KEY}", KEY),
        (f"AIza{KEY}", KEY),
        ("AKIAABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"),
        (f"ghp_{KEY}", KEY),
        (f"hf_{KEY}", KEY),
        ("atp_" + "abcdefghijklmnopqrstuvwxyz234567" * 2, "abcdefghijklmnop"),
        ("atp_admin_" + "mnopqrstuvwxyz234567abcdefghijkl" * 2, "mnopqrst"),
        (f"Authorization: Bearer {KEY}", KEY),
        (f"proxy-authorization: Basic {KEY}", KEY),
        ('{"authorization":"lettersonly"}', "lettersonly"),
        ("Cookie: theme=dark; sid=deadbeef", "deadbeef"),
        ("set-cookie: sid=deadbeef; HttpOnly", "deadbeef"),
        (f"x-api-key: {KEY}", KEY),
        ('"api_key": "nottelling"', "nottelling"),
        (r"{\"password\": \"hunter22\"}", "hunter22"),
        ("https://kim:pa55word@host/v1", "pa55word"),
        (f"https://host/v1?key={KEY}&alt=sse", KEY),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.SflKxwRJSMeK", "SflKxwRJSMeK"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        (f"\ud800 sk-{KEY}", KEY),
        (f"grüße sk-{KEY}", KEY),
    ],
)
def test_credentials_are_replaced_and_the_result_is_stable(text: str, secret: str) -> None:
    cleaned = redact(text)
    assert secret not in cleaned
    assert "***" in cleaned
    assert redact(cleaned) == cleaned
    assert holds_credential(text)


@pytest.mark.parametrize(
    "text",
    [
        "the bearer authentication scheme and a basic understanding of things",
        "a cookie: it is a small file",
        "atp_request_duration_seconds_bucket and atp_engine.services.completions",
        "scikit sk-learn, task-abcdefghijklmnopqrstuvwxyz, risk-management-for-everybody",
        'api_key=os.environ["X"]',
        '"api_key": "env:OPENAI_API_KEY"',
        "password = getpass()",
        "at 12:30 http://127.0.0.1:7443/v1",
        '{"max_tokens": 4096, "model": "gpt-5-mini-2025-08-07"}',
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert not holds_credential(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_key_is_found_in_any_surroundings_and_json_stays_json(before: str, after: str) -> None:
    body = json.dumps({"messages": [f"{before} sk-{KEY} {after}"], "api_key": KEY})
    cleaned = redact(body)
    assert KEY not in cleaned
    json.loads(cleaned)


@pytest.mark.parametrize(
    "text",
    [
        "sk-" * 60_000,
        "://a:" * 40_000,
        "api_key=" * 20_000,
        "cookie: a=b;" * 15_000,
        "-----BEGIN PRIVATE KEY-----" * 8_000,
    ],
)
def test_hostile_repetitions_end(text: str) -> None:
    assert len(redact(text)) <= len(text) + 3
