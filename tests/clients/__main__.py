"""`make clients`: runs every client that installs here against an engine and prints what worked.

    python -m tests.clients [--only WORD ...] [--no-install]

Each run is judged by what the client printed and by the admin API: every request it caused must be known by
the client's name and lie in the right live session. Nothing is written into the repository.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import install
from tests.clients.catalog import CASES, CLIENTS, RESUME, SUBAGENT, WRONG_KEY, Client, Place
from tests.clients.stand_in import script
from tests.support.running import Running, running, upstream_config
from tests.support.upstream import Upstream

_RUN_S = 120.0
_REFUSED = re.compile(r"401|[Aa]uthentication|[Ii]nvalid API key|[Uu]nauthorized|not known here|/login", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Outcome:
    """How a case went: `fault` is empty when all is as it must be."""

    fault: str
    requests: int
    seconds: float


class Runs:
    """Runs cases one after the other and remembers which requests belong to which."""

    def __init__(self, engine: Running, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._seen: set[str] = set()
        self._sessions: dict[str, set[str]] = {}

    async def case(self, client: Client, case: str) -> Outcome:
        """One case of one client."""
        home = self._home(client)
        key = "atp-wrong-key-0000000000" if case == WRONG_KEY else self._engine.key
        place = Place(home, self._engine.url, key)
        started = time.monotonic()
        code, output = await self._run(client, place, case)
        requests = await self._new_requests()
        seconds = time.monotonic() - started
        fault = self._refused(code, output, requests) if case == WRONG_KEY else ""
        if case != WRONG_KEY:
            fault = self._said(client, case, code, output) or await self._landed(client, case, requests)
        return Outcome(fault, len(requests), seconds)

    def _home(self, client: Client) -> Path:
        home = self._folder / re.sub(r"\W+", "-", client.name)
        if not home.exists():
            (home / "project").mkdir(parents=True)
            if client.prepare is not None:
                client.prepare(Place(home, self._engine.url, self._engine.key))
        return home

    async def _run(self, client: Client, place: Place, case: str) -> tuple[int, str]:
        run = client.run(place, case)
        kept = {name: os.environ[name] for name in ("LANG", "TERM", "TMPDIR") if name in os.environ}
        path = f"{install.NODE / 'node_modules' / '.bin'}:{os.environ.get('PATH', '')}"
        environment = {**kept, "PATH": path, "HOME": str(place.home), "NO_COLOR": "1", "CI": "1", **run.environment}
        process = await asyncio.create_subprocess_exec(
            *run.command,
            cwd=place.project,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _RUN_S)
        except TimeoutError:
            os.killpg(process.pid, 9)
            await process.wait()
            return -1, "no end within the time limit"
        return process.returncode or 0, _COLOUR.sub("", output.decode("utf-8", "replace"))

    async def _new_requests(self) -> list[dict[str, Any]]:
        page = (await self._engine.admin("GET", "/admin/requests?q=&limit=200")).json()["requests"]
        found = [view for view in page if view["id"] not in self._seen]
        self._seen |= {view["id"] for view in found}
        return found

    def _said(self, client: Client, case: str, code: int, output: str) -> str:
        wanted = client.expected(case)
        plain = re.sub(r"\s+", " ", output)
        if wanted not in plain.replace('"}', "") and wanted not in _joined(output):
            return f"said (exit {code}): {plain.strip()[-220:]}"
        return ""

    def _refused(self, code: int, output: str, requests: list[dict[str, Any]]) -> str:
        if requests:
            return "a request with a wrong key was let in"
        return "" if _REFUSED.search(output) else f"exit {code}: {output.strip()[-220:]}"

    async def _landed(self, client: Client, case: str, requests: list[dict[str, Any]]) -> str:
        """Why the requests are not where they should be; empty when they are."""
        if not requests:
            return "no request arrived"
        names = {view["client"] for view in requests} - set(client.names)
        if names:
            return f"taken for {', '.join(sorted(names))}"
        bad = [f"{view['state']} {view['error_code']}" for view in requests if view["state"] != "ok"]
        if bad:
            return f"not ok: {', '.join(bad)}"
        live = {view["id"] for view in (await self._engine.admin("GET", "/admin/sessions?limit=500")).json()}
        used = {view["session_id"] for view in requests}
        if not used <= live:
            return f"in sessions that are not live: {used - live}"
        before = self._sessions.setdefault(client.name, set())
        if case == RESUME and not used & before:
            return "resumed into a new session"
        if client.has_session_id and len(used) > 1:
            return f"in {len(used)} sessions"
        if client.has_session_id and any(session.startswith("s-") for session in used):
            return "its own session id was not read"
        if case == SUBAGENT and len(requests) < 3:
            return "the subagent asked nothing"
        self._sessions[client.name] = before | used
        return ""


def _joined(output: str) -> str:
    """The text of streamed JSON lines, put together."""
    pieces = re.findall(r'"text":"((?:[^"\\]|\\.)*)"', output)
    return "".join(pieces)


async def main() -> int:
    """Installs, runs, prints; 1 when a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients")
    parser.add_argument("--only", nargs="*", default=[], help="words that a client's name must hold")
    parser.add_argument("--no-install", action="store_true")
    arguments = parser.parse_args()
    for fault in [] if arguments.no_install else install.install():
        print(f"not installed: {fault}", flush=True)
    chosen = [
        one for one in CLIENTS if not arguments.only or any(w.lower() in one.name.lower() for w in arguments.only)
    ]
    folder = Path(tempfile.mkdtemp(prefix="atp-clients-"))
    try:
        return await _table(chosen, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _table(chosen: list[Client], folder: Path) -> int:
    failed = 0
    faults: list[str] = []
    print(f"{'client':<30}" + "".join(f"{case:>11}" for case in CASES), flush=True)
    async with Upstream(script) as upstream, running(folder, upstream_config({"stand-in": upstream.port})) as engine:
        runs = Runs(engine, folder)
        for client in chosen:
            cells = []
            for case in CASES:
                if case not in client.cases:
                    cells.append("-")
                    continue
                outcome = await runs.case(client, case)
                cells.append(f"ok {outcome.seconds:.1f}s" if not outcome.fault else "FAILED")
                if outcome.fault:
                    failed += 1
                    faults.append(f"{client.name}, {case}: {outcome.fault}")
            print(f"{client.name:<30}" + "".join(f"{cell:>11}" for cell in cells), flush=True)
    for fault in faults:
        print(f"\n{fault}")
    print(json.dumps({"failed": failed}))
    return 1 if failed else 0


raise SystemExit(asyncio.run(main()))
