"""The rows of the registry: complete, consistent, and found by near names."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from atp_engine.config.first_run import LOCAL_SERVERS, VENDORS
from atp_engine.core.types import Dialect
from atp_engine.providers.registry import Auth, Vendor, kinds, near_kinds, vendor

ROWS = [row for kind in kinds() if (row := vendor(kind)) is not None]


def test_kinds_are_unique_and_all_have_a_row() -> None:
    assert len(ROWS) == len(set(kinds())) == len(kinds())
    assert all(row.kind == row.kind.lower() and row.title for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)
def test_a_row_can_be_used_as_it_stands(row: Vendor) -> None:
    assert row.chat_path.startswith("/")
    assert not row.models_path or row.models_path.startswith("/")
    if not row.base_url:
        assert row.kind in ("azure_openai", "custom", "simulated")
        return
    parts = urlsplit(row.base_url)
    assert parts.hostname and not row.base_url.endswith("/") and not parts.query
    if row.is_local:
        assert (parts.scheme, parts.hostname) == ("http", "127.0.0.1")
        assert parts.path == ("" if row.openai_root else "/v1")
        assert not row.key_env
    else:
        assert parts.scheme == "https"
        assert row.key_env.isupper()


def test_anthropic_speaks_its_own_dialect_with_its_own_header() -> None:
    row = vendor("anthropic")
    assert row is not None
    assert (row.dialect, row.auth, row.chat_path) == (Dialect.ANTHROPIC, Auth.X_API_KEY, "/messages")


def test_what_the_first_run_writes_is_known_here() -> None:
    for found in VENDORS:
        row = vendor(found.kind)
        assert row is not None and row.key_env in found.variables
    for server in LOCAL_SERVERS:
        row = vendor(server.kind)
        assert row is not None and urlsplit(row.base_url).port == server.port


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("opanai", "openai"),
        ("OpenAI", "openai"),
        ("claude", "anthropic"),
        ("google", "gemini"),
        ("azure", "azure_openai"),
        ("llama.cpp", "llamacpp"),
        ("lm-studio", "lmstudio"),
        ("kimi", "moonshot"),
        ("grok", "xai"),
    ],
)
def test_near_kinds_name_what_was_meant(asked: str, meant: str) -> None:
    assert vendor(asked) is None
    assert near_kinds(asked)[0] == meant
    assert len(near_kinds(asked)) <= 3


def test_nothing_near_is_nothing() -> None:
    assert near_kinds("zzzzzzzz") == ()
    assert near_kinds("") == ()
    assert near_kinds("x" * 100_000) == ()
