"""Every pair of dialects against goldens: what goes up, what comes down, for each way it can go wrong.

Rewritten by `pytest tests/wire --update-snapshots`; read the diff before you commit it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from atp_engine.core.errors import ATPError
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects.bridge import StreamTap
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.facts import read_facts
from tests.support import wire_cases_anthropic, wire_cases_crossed, wire_cases_openai
from tests.support.wire_cases import Case

CASES = wire_cases_openai.CASES + wire_cases_anthropic.CASES + wire_cases_crossed.CASES
STREAMS = [case for case in CASES if case.kind == "stream"]
_FEW_BYTES = 150
_CROSSED = {case.id for case in wire_cases_crossed.CASES}
SNAPSHOTS = Path(__file__).parents[2] / "snapshots" / "wire"
CREATED = 1_764_000_000


def _bytes(sent: Any) -> bytes:
    """JSON with lone surrogates escaped as some vendors send them; text as it is."""
    return sent.encode() if isinstance(sent, str) else json.dumps(sent).encode()


def _facts(case: Case) -> RequestFacts:
    return read_facts(case.client, _bytes(case.asked or case.sent))


def _error(error: ATPError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    told = {"class": type(error).__name__, "status": error.http_status, "message": error.public_message}
    return told | ({"param": error.param} if error.param else {})


def _usage(usage: msgspec.Struct | None) -> Any:
    """A tier is named where there is one: most answers have none."""
    told = None if usage is None else msgspec.to_builtins(usage)
    return {name: value for name, value in told.items() if name != "tier" or value} if told else told


def _request(case: Case) -> dict[str, Any]:
    pair = bridge(case.client, case.upstream)
    body = pair.request(_bytes(case.sent), _facts(case), case.model)
    return {"sent": case.sent, "upstream": json.loads(body.body), "dropped_fields": body.dropped_fields}


def _reply(case: Case) -> dict[str, Any]:
    reply = bridge(case.client, case.upstream).reply(_bytes(case.sent), created=CREATED, prompt_tokens=40)
    told = {
        "usage": _usage(reply.usage),
        "finish_reason": reply.finish_reason,
        "model": reply.model,
        "text": reply.text,
    }
    told |= {"output_chars": reply.output_chars, "dropped_fields": reply.dropped_fields}
    return {"client": json.loads(reply.body), "read": told}


def _drive(case: Case, *pieces: bytes) -> tuple[str, StreamTap]:
    tap = bridge(case.client, case.upstream).tap(_facts(case), "req_1", created=CREATED)
    written = b"".join(tap.feed(piece) for piece in pieces) + tap.finish()
    return written.decode(), tap


def _stream(case: Case) -> dict[str, Any]:
    written, tap = _drive(case, case.sent.encode())
    told = {
        "is_complete": tap.is_complete,
        "has_content": tap.has_content,
        "content_events": tap.content_events,
        "output_chars": tap.output_chars,
        "usage": _usage(tap.usage),
        "finish_reason": tap.finish_reason,
        "model": tap.model,
        "tail": tap.tail(),
        "error": _error(tap.error),
    }
    return {"upstream": case.sent.split("\n"), "client": written.split("\n"), "read": told}


def _outcome(case: Case) -> dict[str, Any]:
    run = {"request": _request, "reply": _reply, "stream": _stream}[case.kind]
    try:
        outcome = run(case)
    except ATPError as error:
        outcome = {"sent": case.sent, "error": _error(error)}
    loaded: dict[str, Any] = json.loads(json.dumps(outcome))
    return loaded


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_exchange_is_as_its_golden_says(case: Case, pytestconfig: pytest.Config) -> None:
    golden = SNAPSHOTS / f"{case.id}.json"
    outcome = _outcome(case)
    if pytestconfig.getoption("--update-snapshots"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(json.dumps(outcome, indent=1) + "\n")
    assert golden.exists(), "no golden yet; run with --update-snapshots and read it"
    assert outcome == json.loads(golden.read_text())


def _split_everywhere(case: Case) -> Any:
    """The case; the big ones of the many pairs only in long runs."""
    marks = [pytest.mark.long] if case.id in _CROSSED and len(case.sent) > _FEW_BYTES else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.mark.parametrize("upstream", list(dict.fromkeys(case.upstream for case in STREAMS)))
def test_streams_mean_the_same_byte_by_byte(upstream: Dialect) -> None:
    for case in [case for case in STREAMS if case.upstream is upstream]:
        sent = case.sent.encode()
        whole, told = _drive(case, sent)
        written, tap = _drive(case, *(sent[place : place + 1] for place in range(len(sent))))
        assert written == whole, case.id
        assert (tap.is_complete, tap.usage) == (told.is_complete, told.usage), case.id
        assert _error(tap.error) == _error(told.error), case.id


@pytest.mark.parametrize("case", [_split_everywhere(case) for case in STREAMS])
def test_a_stream_means_the_same_wherever_it_is_split(case: Case) -> None:
    sent = case.sent.encode()
    whole, told = _drive(case, sent)
    for place in range(len(sent) + 1):
        written, tap = _drive(case, sent[:place], sent[place:])
        assert written == whole, f"split at byte {place}"
        assert (tap.is_complete, tap.usage, tap.content_events) == (told.is_complete, told.usage, told.content_events)
        assert _error(tap.error) == _error(told.error)


def test_no_golden_is_left_without_its_case() -> None:
    known = {f"{case.id}.json" for case in CASES}
    assert {path.relative_to(SNAPSHOTS).as_posix() for path in SNAPSHOTS.rglob("*.json")} == known


def test_case_names_are_unique() -> None:
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))
