"""Texts for the clipboard: harmless in a shell and a terminal."""

from __future__ import annotations

import json
import shlex

from atp_console import copying
from atp_engine.core.views import RequestDetail, RequestView
from tests.support.console import request_view


def _detail(
    request_body: str | None, response_body: str | None = None, view: RequestView | None = None
) -> RequestDetail:
    return RequestDetail(view or request_view(), None, (), request_body, response_body, (), 1, 1, "", "")


def test_curl_is_one_command_that_holds_the_body_and_no_key() -> None:
    body = json.dumps({"model": "it's", "messages": [{"role": "user", "content": '$(reboot) `x` "y"'}]})
    command = copying.curl(_detail(body), "http://127.0.0.1:7443")
    words = shlex.split(command)
    assert words[:2] == ["curl", "http://127.0.0.1:7443/v1/messages"]
    assert words[-1] == body
    assert "authorization: Bearer $ATP_KEY" in words


def test_without_a_body_there_is_no_curl() -> None:
    assert copying.curl(_detail(None), "http://x") == ""


def test_text_says_why_there_is_none() -> None:
    failed = request_view(error_message="\x1b[31mbroken")
    assert copying.as_text(_detail(None, None, failed)) == "broken"
    assert copying.as_text(_detail(None, None, request_view())) == "(no answer was kept)"
    assert copying.as_text(_detail(None, '{"type":"message","content":"Hi"}')) == "Hi"


def test_a_row_of_any_list_is_readable_line_by_line_and_says_nothing_of_what_is_not_there() -> None:
    told = copying.fields_of(request_view(session_id="\x1b]52;c;x\x07cc-1", error_code="")).split("\n")
    assert "session id: cc-1" in told
    assert "asked: auto" in told
    assert not any(line.startswith("error code") for line in told)
