"""The pages and files of the dashboard: headers, caching, size, and nothing secret or inline in them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import atp_engine.api
from atp_engine.api.guard import CONTENT_SECURITY_POLICY
from tests.support.web import ADMIN_TOKEN, JSON, Face, ask, build_face, row

HERE = Path(atp_engine.api.__file__).parent
PAGES = ("/ui/", "/ui/requests/req_0001", "/ui/login")


async def cookie_of(face: Face) -> tuple[str, str]:
    answer = await ask(face.app, "POST", "/ui/login", headers=JSON, body=b'{"token":"%s"}' % ADMIN_TOKEN.encode())
    return "cookie", (answer.header("set-cookie") or "").partition(";")[0]


@pytest.mark.parametrize("path", PAGES)
async def test_pages_carry_every_security_header(path: str) -> None:
    face = build_face()
    answer = await ask(face.app, "GET", path, headers=[await cookie_of(face)])
    assert answer.status == 200
    assert answer.header("content-security-policy") == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert answer.header("cross-origin-opener-policy") == "same-origin"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", PAGES)
async def test_pages_hold_no_token_no_data_and_nothing_inline(path: str) -> None:
    face = build_face()
    face.observatory.put(row(asked="hunter2"))
    cookie = await cookie_of(face)
    page = (await ask(face.app, "GET", path, headers=[cookie])).body.decode()
    assert ADMIN_TOKEN not in page
    assert cookie[1].partition("=")[2] not in page
    assert "csrf" not in page
    assert "hunter2" not in page
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:|<script(?![^>]*\ssrc=)", page)
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert 'lang="en"' in page


async def test_a_hostile_id_never_reaches_the_page() -> None:
    face = build_face()
    path = "/ui/requests/<script>alert(1)</script>"
    answer = await ask(face.app, "GET", path, headers=[await cookie_of(face)])
    assert "alert" not in answer.body.decode()
    stranger = await ask(face.app, "GET", "/ui/requests/a\r\nset-cookie:x=y")
    assert (stranger.status, stranger.header("set-cookie")) == (303, None)


async def test_files_are_kept_under_their_hash_and_only_there() -> None:
    face = build_face()
    page = (await ask(face.app, "GET", "/ui/login")).body.decode()
    links = re.findall(r'"(/ui/static/[^"]+)"', page)
    assert len(links) >= 4
    for link in links:
        answer = await ask(face.app, "GET", link, headers=[("accept-encoding", "gzip, br")])
        assert answer.status == 200
        assert "immutable" in (answer.header("cache-control") or "")
        plain = await ask(face.app, "GET", link)
        assert gzip.decompress(answer.body) == plain.body
    stale = await ask(face.app, "GET", "/ui/static/0ld/dashboard.css")
    assert (stale.status, stale.header("cache-control")) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "/etc/passwd", "live.html", ".", "", "dashboard.css/", "x" * 9000]
)
async def test_nothing_but_the_files_is_served(name: str) -> None:
    face = build_face()
    assert (await ask(face.app, "GET", f"/ui/static/x/{name}")).status == 404


async def test_a_range_is_not_honoured() -> None:
    face = build_face()
    many = ",".join(f"{i}-" for i in range(2000))
    answer = await ask(face.app, "GET", "/ui/static/x/dashboard.css", headers=[("range", f"bytes={many}")])
    assert answer.status == 200


async def test_the_bare_address_leads_to_the_dashboard() -> None:
    face = build_face()
    for path in ("/", "/ui"):
        answer = await ask(face.app, "GET", path, headers=[("accept", "text/html,*/*")])
        assert (answer.status, answer.header("location")) == (303, "/ui/")


def test_the_whole_dashboard_is_small() -> None:
    files = [path for path in (HERE / "static").rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) <= 60_000


def test_scripts_write_text_never_markup() -> None:
    for path in (HERE / "static").rglob("*.js"):
        source = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source), (
            path
        )
        assert not re.search(r"https?://(?!www\.w3\.org)", source), path
