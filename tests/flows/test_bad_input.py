"""Hostile and mistaken requests over real sockets: refused in the caller's dialect, with an id, and never forwarded."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.calls import Answer, chunks, parse_answer, parse_answers
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Upstream, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
LIMIT = 1_048_576
LIMITS = f"[server]\nport = 0\nmax_body_bytes = {LIMIT}\nheader_timeout_s = 0.4\nbody_timeout_s = 0.4\n"
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "model-near",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
GOOD = b'{"model":"auto","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'


@dataclass
class Scene:
    """One engine in front of one upstream, for all tests of this module."""

    engine: Running
    upstream: Upstream

    async def refused(self, *pieces: bytes, path: str, status: int, said: str = "") -> Answer:
        """Sends, and checks everything that holds for every refusal."""
        forwarded = len(self.upstream.requests)
        answer = parse_answer(await self.engine.raw(*pieces))
        assert answer.status == status, answer
        check_shape(answer, path)
        assert said in message_of(answer), answer.body
        assert len(self.upstream.requests) == forwarded, "a refused request went upstream"
        return answer

    def send(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        """A whole POST request."""
        return self.engine.head("POST", path, len(body), headers) + body


def check_shape(answer: Answer, path: str) -> None:
    """An error in the dialect of the path, with its request id where that dialect's clients look."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    if path.startswith(MESSAGES):
        assert body["type"] == "error"
        assert set(body["error"]) == {"type", "message"}
        assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-atp-request-id"]
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"] == answer.headers["x-atp-request-id"]
    assert answer.headers["x-atp-request-id"].startswith("req_")
    assert "Traceback" not in answer.body.decode()


def message_of(answer: Answer) -> str:
    message: str = answer.json()["error"]["message"]
    return message


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with Upstream(answer(REPLY)) as upstream:
        config = upstream_config({"near": upstream.port}).replace("[server]\nport = 0\n", LIMITS)
        async with running(tmp_path_factory.mktemp("bad-input"), config) as engine:
            yield Scene(engine, upstream)
            assert (await engine.call("GET", "/healthz", token="")).json()["status"] == "ok"
            assert (await engine.status())["in_flight"] == 0


@pytest.fixture(params=[CHAT, MESSAGES])
def path(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def with_member(member: bytes) -> bytes:
    return GOOD.replace(b'"max_tokens":5', b'"max_tokens":5,' + member)


BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "JSON"),
    "not JSON": (b"model=auto&messages=hi", "JSON"),
    "an array": (b"[" + GOOD + b"]", "object"),
    "a text": (b'"hello"', "object"),
    "null": (b"null", "object"),
    "cut in the middle": (GOOD[:-9], "JSON"),
    "two documents": (GOOD + GOOD, "JSON"),
    "a trailing comma": (GOOD[:-1] + b",}", "JSON"),
    "no model": (b'{"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}', "model"),
    "an empty model": (GOOD.replace(b'"auto"', b'""'), "model"),
    "a number as the model": (GOOD.replace(b'"auto"', b"7"), "model"),
    "no messages": (b'{"model":"auto","max_tokens":5}', "messages"),
    "empty messages": (b'{"model":"auto","max_tokens":5,"messages":[]}', "messages"),
    "messages of the wrong kind": (b'{"model":"auto","max_tokens":5,"messages":"hi"}', "messages"),
    "a message that is no object": (b'{"model":"auto","max_tokens":5,"messages":["hi"]}', "messages"),
    "not a number": (with_member(b'"temperature":NaN'), "JSON"),
    "infinity": (with_member(b'"temperature":-Infinity'), "JSON"),
    "a number out of range": (with_member(b'"temperature":1e999'), "range"),
    "a flag of the wrong kind": (with_member(b'"stream":"yes"'), "stream"),
    "a hundred thousand brackets": (with_member(b'"x":' + b"[" * 100_000 + b"]" * 100_000), ""),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "UTF-8"),
    "bytes that are not UTF-8": (GOOD.replace(b"hi", b"\xff\xfe"), "UTF-8"),
    "an overlong encoding": (GOOD.replace(b"hi", b"\xc0\xaf"), "UTF-8"),
    "a surrogate's bytes": (GOOD.replace(b"hi", b"\xed\xa0\x80"), "UTF-8"),
    "a raw control character": (GOOD.replace(b"hi", b"a\x00b"), "JSON"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_cannot_be_read_is_refused_and_said_why(scene: Scene, path: str, name: str) -> None:
    body, said = BODIES[name]
    await scene.refused(scene.send(path, body), path=path, status=400, said=said)


HEADERS: dict[str, tuple[dict[str, str], int, str]] = {
    "a wrong key": ({"authorization": "Bearer atp_key_wrong"}, 401, "not known"),
    "no key": ({"authorization": ""}, 401, "key is needed"),
    "another scheme": ({"authorization": "Basic dXNlcjpwYXNz"}, 401, "Bearer"),
    "two keys that disagree": ({"x-api-key": "atp_key_other"}, 401, "two different keys"),
    "a compressed body": ({"content-encoding": "gzip"}, 400, "compressed"),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, 415, "application/json"),
    "a plain text": ({"content-type": "text/plain"}, 415, "application/json"),
    "no content type": ({"content-type": ""}, 415, "application/json"),
    "a foreign host": ({"host": "evil.example"}, 421, "Host"),
    "a host that begins as ours": ({"host": "127.0.0.1.evil.example"}, 421, "Host"),
    "no host": ({"host": ""}, 421, "Host"),
    "a foreign origin": ({"origin": "http://evil.example"}, 403, "origins"),
    "no origin at all": ({"origin": "null"}, 403, "origins"),
    "a cross-site fetch": ({"sec-fetch-site": "cross-site"}, 403, "origins"),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_a_head_that_is_not_acceptable_is_refused_before_the_body_counts(
    scene: Scene, path: str, name: str
) -> None:
    headers, status, said = HEADERS[name]
    body = gzip.compress(GOOD) if "content-encoding" in headers else GOOD
    await scene.refused(scene.send(path, body, headers), path=path, status=status, said=said)
    incomplete = scene.engine.head("POST", path, 500_000, headers)
    await scene.refused(incomplete, path=path, status=status, said=said)


async def test_an_unknown_model_is_told_with_near_names(scene: Scene, path: str) -> None:
    answer = await scene.refused(
        scene.send(path, GOOD.replace(b"auto", b"atuo")), path=path, status=404, said="did you mean auto"
    )
    assert answer.json()["error"].get("param", "model") == "model"
    odd = GOOD.replace(b"auto", b"\\u001b[31m" + b"x" * 200)
    answer = await scene.refused(scene.send(path, odd), path=path, status=404)
    assert "\x1b" not in message_of(answer)
    assert "[31m" not in message_of(answer)


async def test_the_last_of_two_equal_keys_counts_for_us_and_for_the_upstream(scene: Scene, path: str) -> None:
    twice = GOOD.replace(b'{"model":"auto"', b'{"model":"nope","model":"auto"')
    answer = parse_answer(await scene.engine.raw(scene.send(path, twice)))
    assert answer.status == 200
    assert scene.upstream.requests[-1].body.count(b'"nope"') == 0
    assert json.loads(scene.upstream.requests[-1].body)["model"] == "model-near"
    other = GOOD.replace(b'{"model":"auto"', b'{"model":"auto","model":"nope"')
    await scene.refused(scene.send(path, other), path=path, status=404)


async def test_a_lone_surrogate_goes_on_as_the_replacement_character(scene: Scene, path: str) -> None:
    answer = parse_answer(await scene.engine.raw(scene.send(path, GOOD.replace(b"hi", b"a\\ud800b"))))
    assert answer.status == 200
    assert json.loads(scene.upstream.requests[-1].body)["messages"][0]["content"] == "a\ufffdb"


# Size.


async def refused_early(scene: Scene, path: str, *pieces: bytes) -> float:
    """Sends without reading until the engine has closed; returns the ms from the first byte to the 413's end."""
    started = time.monotonic()
    async with scene.engine.connection() as (reader, writer):
        for piece in pieces:
            writer.write(piece)
        raw = await asyncio.wait_for(reader.read(), 5)
        took_ms = (time.monotonic() - started) * 1000.0
    answer = parse_answer(raw)
    assert answer.status == 413, answer
    assert answer.headers["connection"] == "close"
    check_shape(answer, path)
    return took_ms


async def test_a_body_over_the_limit_is_refused_before_it_is_read(scene: Scene, path: str) -> None:
    announced = scene.engine.head("POST", path, LIMIT + 1)
    forwarded = len(scene.upstream.requests)
    assert await refused_early(scene, path, announced) < 100.0
    assert await refused_early(scene, path, announced + b"{") < 100.0
    waiting = scene.engine.head("POST", path, 10 * LIMIT, {"expect": "100-continue"})
    assert await refused_early(scene, path, waiting) < 100.0
    await scene.refused(scene.engine.head("POST", path, LIMIT + 1, {"x-api-key": "other"}), path=path, status=401)
    assert len(scene.upstream.requests) == forwarded


async def test_a_client_that_goes_on_sending_still_gets_the_answer(scene: Scene, path: str) -> None:
    """Closing at once would reset the connection, and the refusal would be lost with it."""
    body = b"x" * (8 * LIMIT)
    assert await refused_early(scene, path, scene.engine.head("POST", path, len(body)), body) < 1_000.0
    head = scene.engine.head("POST", path, None, {"transfer-encoding": "chunked"})
    assert await refused_early(scene, path, head, *chunks(*[body[:65_536]] * 64)) < 1_000.0


async def test_a_chunked_body_counts_as_it_comes(scene: Scene, path: str) -> None:
    head = scene.engine.head("POST", path, None, {"transfer-encoding": "chunked"})
    whole = head + b"".join(chunks(GOOD[:20], GOOD[20:])) + b"0\r\n\r\n"
    assert parse_answer(await scene.engine.raw(whole)).status == 200
    forwarded = len(scene.upstream.requests)
    endless = b"".join(chunks(*[b" " * 65_536] * 17))
    assert await refused_early(scene, path, head + endless) < 1_000.0
    assert len(scene.upstream.requests) == forwarded


async def test_a_body_in_a_thousand_pieces_is_the_same_body(scene: Scene, path: str) -> None:
    text = GOOD.replace(b"hi", b"hi" * 1_000)
    head = scene.engine.head("POST", path, None, {"transfer-encoding": "chunked"})
    pieces = chunks(*[text[at : at + 2] for at in range(0, len(text), 2)])
    assert parse_answer(await scene.engine.raw(head, b"".join(pieces) + b"0\r\n\r\n")).status == 200
    assert json.loads(scene.upstream.requests[-1].body)["messages"][0]["content"] == "hi" * 1_000


async def test_a_header_without_end_is_refused_at_64_kib(scene: Scene, path: str) -> None:
    long = {"x-long": "a" * 70_000}
    await scene.refused(scene.send(path, GOOD, long), path=path, status=431, said="headers")
    head = scene.engine.head("POST", path, 0)[:-2]
    endless = [b"x-%d: %b\r\n" % (number, b"a" * 4_000) for number in range(200)]
    await scene.refused(head, *endless, path=path, status=431, said="headers")
    assert parse_answer(await scene.engine.raw(scene.send(path, GOOD, {"x-long": "a" * 50_000}))).status == 200


# HTTP itself.


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda request: request.replace(old, new, 1)


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "two lengths": replaced(b"content-length:", b"content-length: 6\r\ncontent-length:"),
    "a length and chunks": replaced(b"content-length:", b"transfer-encoding: chunked\r\ncontent-length:"),
    "a coding after chunked": replaced(b"content-length: 75", b"transfer-encoding: chunked, identity"),
    "an unknown coding": replaced(b"content-length: 75", b"transfer-encoding: xchunked"),
    "a length in words": replaced(b"content-length: 75", b"content-length: many"),
    "a negative length": replaced(b"content-length: 75", b"content-length: -75"),
    "a signed length": replaced(b"content-length: 75", b"content-length: +75"),
    "a length out of range": replaced(b"content-length: 75", b"content-length: " + b"9" * 40),
    "a folded header": replaced(b"content-length:", b"x-a: b\r\n c\r\ncontent-length:"),
    "a space before the colon": replaced(b"content-length:", b"x-a : b\r\ncontent-length:"),
    "a header without a name": replaced(b"content-length:", b": b\r\ncontent-length:"),
    "a zero byte in a header": replaced(b"content-length:", b"x-a: b\x00c\r\ncontent-length:"),
    "bare line feeds": lambda request: request.replace(b"\r\n", b"\n"),
    "a bad version": replaced(b"HTTP/1.1", b"HTTP/9.9"),
    "an unknown method": replaced(b"POST", b"BREW"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_http_is_refused_with_an_id_and_the_connection_ends(scene: Scene, path: str, name: str) -> None:
    request = MALFORMED[name](scene.send(path, GOOD))
    forwarded = len(scene.upstream.requests)
    answer = parse_answer(await scene.engine.raw(request))
    assert answer.status == 400, answer
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-atp-request-id"].startswith("req_")
    assert "HTTP" in answer.json()["error"]["message"]
    assert len(scene.upstream.requests) == forwarded


async def test_bytes_of_another_protocol_are_told_that_this_is_http(scene: Scene) -> None:
    for hello in (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(100), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        answer = parse_answer(await scene.engine.raw(hello))
        assert answer.status == 400
        assert answer.json()["error"]["code"] == "invalid_request"


async def test_a_broken_chunk_ends_the_request_that_it_belongs_to(scene: Scene, path: str) -> None:
    head = scene.engine.head("POST", path, None, {"transfer-encoding": "chunked"})
    for broken in (b"zz\r\n", b"5\r\nabcdefgh", b"-1\r\n", b"fffffffffffffffff\r\n"):
        await scene.refused(head, broken, path=path, status=400, said="HTTP")
    await until_idle(scene)


async def test_rubbish_after_a_request_does_not_spoil_its_answer(scene: Scene, path: str) -> None:
    request = scene.send(path, GOOD, {"connection": "keep-alive"})
    answer = parse_answer(await scene.engine.raw(request + b"\x00\x01 rubbish\r\n\r\n"))
    assert answer.status == 200


async def test_a_request_that_was_answered_early_gets_no_second_answer(scene: Scene, path: str) -> None:
    for rest in (b"zz\r\n", b"1\r\n"):
        head = scene.engine.head("POST", path, None, {"transfer-encoding": "chunked", "x-api-key": "other"})
        head = head.replace(b"connection: close", b"connection: keep-alive")
        async with scene.engine.connection() as (reader, writer):
            writer.write(head)
            begin = await asyncio.wait_for(reader.readuntil(b"}"), 5)
            writer.write(rest)
            raw = begin + await asyncio.wait_for(reader.read(), 5)
        assert [answer.status for answer in parse_answers(raw)] == [401]


async def test_pipelined_requests_are_answered_in_their_order(scene: Scene, path: str) -> None:
    kept = {"connection": "keep-alive"}
    unknown = GOOD.replace(b"auto", b"nope")
    forwarded = len(scene.upstream.requests)
    raw = await scene.engine.raw(
        scene.send(path, GOOD, kept) + scene.send(path, unknown, kept) + scene.send(path, b"[]", kept)
        + scene.send(path, GOOD)
    )  # fmt: skip
    assert [answer.status for answer in parse_answers(raw)] == [200, 404, 400, 200]
    assert len(scene.upstream.requests) == forwarded + 2


async def test_an_upgrade_that_we_do_not_speak_is_answered_as_if_not_asked(scene: Scene, path: str) -> None:
    """Java's HttpClient and `curl --http2` send this with every first request."""
    asked = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
    request = scene.send(path, GOOD, asked)
    last = scene.send(path, GOOD)
    for pieces in ((request + last,), (request[:-10], request[-10:] + last), (request[:40], request[40:], last)):
        raw = await scene.engine.raw(*pieces)
        assert [answer.status for answer in parse_answers(raw)] == [200, 200]
    chunked = scene.engine.head("POST", path, None, {**asked, "transfer-encoding": "chunked"})
    raw = await scene.engine.raw(chunked, *chunks(GOOD[:7], GOOD[7:]), b"0\r\n\r\n" + last)
    assert [answer.status for answer in parse_answers(raw)] == [200, 200]


async def test_http_1_0_and_expect_are_served(scene: Scene, path: str) -> None:
    old = scene.send(path, GOOD, {"connection": ""}).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert parse_answer(await scene.engine.raw(old)).status == 200
    async with scene.engine.connection() as (reader, writer):
        writer.write(scene.engine.head("POST", path, len(GOOD), {"expect": "100-continue"}))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(GOOD)
        assert parse_answer(await asyncio.wait_for(reader.read(), 5)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
async def test_another_method_is_refused_naming_the_right_one(scene: Scene, path: str, method: str) -> None:
    request = scene.engine.head(method, path, 0, {"content-type": "application/json"})
    answer = parse_answer(await scene.engine.raw(request))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    if method == "HEAD":
        assert not answer.body
        assert answer.headers["x-atp-request-id"]
    else:
        check_shape(answer, path)


@pytest.mark.parametrize("near", ["{}/", "{}/nope", "/{}", "{}%00", "/v1/../{}"])
async def test_a_path_near_an_endpoint_is_not_the_endpoint(scene: Scene, path: str, near: str) -> None:
    forwarded = len(scene.upstream.requests)
    answer = parse_answer(await scene.engine.raw(scene.send(near.format(path), GOOD)))
    assert answer.status in (400, 404)
    assert answer.headers["x-atp-request-id"]
    assert len(scene.upstream.requests) == forwarded


async def test_an_unknown_path_below_v1_answers_in_the_callers_dialect(scene: Scene) -> None:
    await scene.refused(scene.send("/v1/nope", GOOD), path=CHAT, status=404)
    versioned = scene.send("/v1/nope", GOOD, {"anthropic-version": "2023-06-01"})
    await scene.refused(versioned, path=MESSAGES, status=404)
    await scene.refused(scene.send("/v1/messages/nope", GOOD), path=MESSAGES, status=404)


# Time.


async def test_a_request_that_does_not_arrive_is_cut_in_time_and_others_do_not_notice(scene: Scene) -> None:
    head = scene.engine.head("POST", CHAT, 100)

    async def cut(*pieces: bytes) -> float:
        started = time.monotonic()
        raw = await scene.engine.raw(*pieces, within_s=5)
        assert not raw or parse_answer(raw).status == 408
        return time.monotonic() - started

    async def drip(start: bytes, piece: bytes) -> float:
        started = time.monotonic()
        async with scene.engine.connection() as (reader, writer):
            writer.write(start)
            read = asyncio.create_task(reader.read())
            while not read.done():
                writer.write(piece)
                await asyncio.wait({read}, timeout=0.02)
        raw = read.result()
        assert not raw or parse_answer(raw).status == 408
        return time.monotonic() - started

    forwarded = len(scene.upstream.requests)
    slow = asyncio.gather(
        cut(b""), cut(head[:30]), cut(head), cut(head + b"{"), drip(head[:-2] + b"x-slow: ", b"a"), drip(head, b" "),
        drip(scene.engine.head("POST", MESSAGES, None, {"transfer-encoding": "chunked"}), b"1\r\n \r\n"),
    )  # fmt: skip
    answer = parse_answer(await scene.engine.raw(scene.send(CHAT, GOOD)))
    assert answer.status == 200
    assert max(await slow) < 2.5
    assert len(scene.upstream.requests) == forwarded + 1
    await until_idle(scene)


async def until_idle(scene: Scene) -> None:
    await scene.engine.until(lambda: scene.engine.engine.observatory.status().in_flight == 0)


async def test_a_client_that_sends_and_leaves_at_once_holds_nothing(scene: Scene, path: str, tmp_path: Path) -> None:
    async with scene.engine.connection() as (_, writer):
        writer.write(scene.send(path, GOOD)[:-5])
        await writer.drain()
        writer.transport.abort()
    await until_idle(scene)
