"""A file system of its own, a few megabytes small, that a test may fill without being root.

`python -m tests.support.full_disk FOLDER` is the program that `run_on_small_disk` starts there: an engine whose disk
fills up and becomes free again, judged by what a client sees.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, running
from tests.support.source_tree import ROOT
from tests.support.until import until

CONFIG = """
[server]
port = 0
[storage]
min_free_bytes = 0
[providers.sim]
kind = "simulated"
[deployments.sim]
provider = "sim"
model = "sim-instant"
price = { input = 1, output = 2 }
[routes.auto]
deployments = ["sim"]
[routes.paid]
deployments = ["sim"]
[windows.money]
scope = "route"
of = ["paid"]
max_usd = 100.0
"""


def run_on_small_disk(folder: Path, program: str, megabytes: int = 16) -> dict[str, Any]:
    """Runs a module with `folder` on a small disk of its own; what it printed as JSON.

    Any user may do that in a namespace of his own, unless the system forbids it: then the test is skipped.
    """
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux) for a small file system of its own")
    shell = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    able = subprocess.run([*start, shell, str(folder), "true"], capture_output=True, text=True, check=False)  # noqa: S603
    if able.returncode:
        pytest.skip(f"no file system of one's own: {able.stderr.strip()[:200]}")
    command = [*start, shell, str(folder), sys.executable, "-m", program, str(folder)]
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, timeout=60)  # noqa: S603
    assert done.returncode == 0, done.stderr[-3_000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def fill(file: Path) -> int:
    """Takes the last byte of the disk; returns the error's number."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (1 << 20, 4_096, 1):
            try:
                while True:
                    os.write(descriptor, b"x" * size)
            except OSError as error:
                number = error.errno or 0
    finally:
        os.close(descriptor)
    return number


async def _ask(engine: Running, model: str, **more: object) -> Any:
    body = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hello " * 200}], **more}
    return await engine.post("/v1/chat/completions", body)


async def _story(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    async with running(folder, CONFIG) as engine:

        def state() -> str:
            return engine.engine.observatory.status().storage_state

        before = [await _ask(engine, model) for model in ("auto", "paid") * 2]
        told["errno"] = fill(folder / "filler")
        answers = await asyncio.gather(*[_ask(engine, "auto") for _ in range(40)])
        told["state"] = state()
        told["refused"] = (await _ask(engine, "paid", max_tokens=20_000_000)).status
        await until(lambda: bool(engine.engine.warnings))
        told["warnings"] = engine.engine.warnings
        ready = await engine.admin("GET", "/readyz")
        told["ready"] = [ready.status, ready.json()["checks"]["database"]]
        told["health"] = (await engine.admin("GET", "/healthz")).json()["status"]
        (folder / "filler").unlink()
        await until(lambda: state() == "ok", 10.0)
        after = [await _ask(engine, model) for model in ("auto", "paid")]
        await until(lambda: not engine.engine.warnings)
        done = [*before, *answers, *after]
        told["statuses"] = sorted({answer.status for answer in done})
        told["differences"] = (await engine.admin("POST", "/admin/ledger/verify")).json()["differences"]
        told["lost"] = engine.engine.observatory.status().dropped["records"]
        logs = (await engine.admin("GET", "/admin/logs?level=info&limit=500")).json()
        told["log"] = json.dumps(logs)
        ids = [answer.headers["x-atp-request-id"] for answer in done]
    with closing(sqlite3.connect(folder / "data" / "atp.db")) as rows:
        stored = [row[0] for row in rows.execute("SELECT id FROM requests")]
        told["missing"] = len(set(ids) - set(stored))
        told["double"] = len(stored) - len(set(stored))
        told["lines"] = rows.execute("SELECT count(*) FROM attempts").fetchone()[0] - len(ids)
        told["integrity"] = rows.execute("PRAGMA integrity_check").fetchone()[0]
    return told


def main() -> None:
    """See the module."""
    logging.getLogger().setLevel(logging.INFO)
    told = asyncio.run(_story(Path(sys.argv[1])))
    assert told.pop("errno") == errno.ENOSPC
    print(json.dumps(told))


if __name__ == "__main__":
    main()
