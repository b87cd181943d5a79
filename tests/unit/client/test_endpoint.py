"""Addresses of engines and the record that a running one leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from atp_engine.client.endpoint import Endpoint, EndpointError, EngineRecord, read_engine_record


def test_an_address_becomes_an_origin() -> None:
    origin = Endpoint("https://edge.example:8443/ui/").origin()
    assert (origin.scheme, origin.host, origin.port, origin.unix_path) == ("https", "edge.example", 8443, "")
    assert Endpoint("https://edge.example").origin().port == 443


def test_a_socket_is_used_instead_of_the_host_and_never_with_tls() -> None:
    origin = Endpoint("http://127.0.0.1:7443", socket="/run/atp.sock").origin()
    assert (origin.scheme, origin.unix_path, origin.port) == ("http", "/run/atp.sock", 7443)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:7443", "ftp://x", "http://", "http://x:99999", "http://user:pw@x", "http://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint(url).origin()


def test_the_token_is_never_in_a_repr() -> None:
    assert "secret" not in repr(Endpoint("http://x", token="secret"))


def test_the_record_of_a_running_engine_is_read(tmp_path: Path) -> None:
    (tmp_path / "engine.json").write_text(
        '{"pid": 12, "url": "http://127.0.0.1:7443", "socket": "/s", "version": "1", "more": 1}'
    )
    record = read_engine_record(tmp_path)
    assert record == EngineRecord(12, "http://127.0.0.1:7443", "/s", "1")
    assert record.endpoint("t").token == "t"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    assert read_engine_record(tmp_path) is None
    (tmp_path / "engine.json").write_text(text)
    assert read_engine_record(tmp_path) is None
