"""Texts that leave the console: harmless in a shell, a spreadsheet and a terminal."""

from __future__ import annotations

import csv
import json
import shlex

from atp_console import copying
from atp_engine.core.types import PriceState
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


def test_csv_defuses_formulas_and_leaves_unknown_costs_empty() -> None:
    rows = [
        request_view(
            asked='=HYPERLINK("http://evil")',
            session_id="@x",
            price_state=PriceState.UNKNOWN,
            cost_nusd=0,
            ttft_ms=None,
        )
    ]
    (row,) = csv.DictReader(copying.rows_as_csv(rows).splitlines())
    assert row["asked"].startswith("'=")
    assert row["session_id"] == "'@x"
    assert row["cost_nusd"] == ""
    assert row["ttft_ms"] == ""
    assert row["prompt_tokens"] == "41204"


def test_jsonl_is_the_api_s_own_json() -> None:
    lines = copying.rows_as_jsonl([request_view(id="a"), request_view(id="b")]).splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]


def test_text_says_why_there_is_none() -> None:
    failed = request_view(error_message="\x1b[31mbroken")
    assert copying.as_text(_detail(None, None, failed)) == "broken"
    assert copying.as_text(_detail(None, None, request_view())) == "(no answer was kept)"
    assert copying.as_text(_detail(None, '{"type":"message","content":"Hi"}')) == "Hi"


def test_json_holds_everything() -> None:
    assert json.loads(copying.as_json(_detail("{}")))["request"]["id"] == request_view().id
