"""Liveness depends on nothing, readiness names each dependency, and both answer quickly whatever breaks."""

from __future__ import annotations

import asyncio

import pytest

from atp_engine.core.errors import StorageError
from tests.support.web import ask, build_face


async def well() -> str:
    return ""


async def full_disk() -> str:
    return "the disk is full\x1b[31m"


async def broken() -> str:
    raise StorageError("/var/lib/atp/atp.db is locked by pid 9")


async def stuck() -> str:
    await asyncio.Event().wait()
    return ""


async def stubborn() -> str:
    """Does not even give up when it is cancelled, for a while."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.2)
    return ""


async def test_ready_when_every_dependency_works() -> None:
    answer = await ask(build_face().app, "GET", "/readyz")
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "config": "ok", "providers": "ok"}}


@pytest.mark.parametrize(
    ("probe", "said"), [(full_disk, "the disk is full"), (broken, "failed"), (stuck, "no answer in time")]
)
async def test_not_ready_names_what_is_wrong_and_leaks_nothing(probe: object, said: str) -> None:
    face = build_face(probes={"database": probe, "config": well})  # type: ignore[dict-item]
    answer = await ask(face.app, "GET", "/readyz")
    assert answer.status == 503
    assert answer.json() == {"status": "unavailable", "checks": {"database": said, "config": "ok"}}
    assert "atp.db" not in answer.body.decode()


async def test_a_lasting_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    face = build_face(probes={"database": broken})
    for _ in range(3):
        await ask(face.app, "GET", "/readyz")
    assert [record.getMessage() for record in caplog.records] == ["the readiness probe of database failed"]


async def test_readiness_answers_in_time_when_all_is_stuck() -> None:
    face = build_face(probes={"database": stuck, "config": stubborn, "providers": stuck, "disk": broken})
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await ask(face.app, "GET", "/readyz")
    assert loop.time() - began < 0.4  # 80 ms of patience, and a busy machine
    assert answer.status == 503
    assert list(answer.json()["checks"]) == ["database", "config", "providers", "disk"]


async def test_liveness_asks_nobody() -> None:
    face = build_face(probes={"database": stuck, "config": broken})
    answer = await ask(face.app, "GET", "/livez")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_the_summary_says_degraded_with_versions_and_stays_a_200() -> None:
    face = build_face(probes={"database": broken, "config": well})
    answer = await ask(face.app, "GET", "/healthz")
    assert answer.status == 200
    summary = answer.json()
    assert summary["status"] == "degraded"
    assert summary["checks"] == {"database": "failed", "config": "ok"}
    assert (summary["version"], summary["sqlite_version"]) == ("0.1.0", "3.40.1")


async def test_health_needs_no_token_and_takes_head() -> None:
    face = build_face()
    for path in ("/livez", "/readyz", "/healthz"):
        assert (await ask(face.app, "HEAD", path)).status == 200
