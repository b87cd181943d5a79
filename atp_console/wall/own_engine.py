"""This product as the wall's gateway: a config with a route per case, on a data directory of its own.

`command` starts it as a process when no other target is named. Timeouts stay the product's defaults;
a factor divides them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atp_console.launch import ask, start
from atp_console.wall.caller import Target
from atp_console.wall.scenario import Case
from atp_console.wall.upstream import UPSTREAM_KEY
from atp_engine.client.endpoint import Endpoint, read_engine_record

DEFAULTS_S = {"connect_s": 5.0, "ttft_s": 15.0, "idle_s": 20.0, "total_s": 600.0}
"""The product's default timeouts."""
DEFAULT_HEALTH_S = {"cooldown_s": 5.0, "max_cooldown_s": 15.0}
_DIALECTS = {"chat": "openai_chat", "messages": "anthropic"}
_CONTEXTS = {"primary": 8_192, "same": 8_192, "fallback": 200_000}
_STOP_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class OwnEngine:
    """The running engine."""

    endpoint: Endpoint
    target: Target
    pid: int

    def leaks(self) -> list[str]:
        """What is still held although nobody calls any more."""
        status = ask(self.endpoint, lambda client: client.status())
        deployments = ask(self.endpoint, lambda client: client.deployments())
        found = [f"{status.in_flight} requests in flight"] if status.in_flight else []
        found += [f"{status.queued} requests queued"] if status.queued else []
        return found + [f"{one.key}: {one.in_flight} calls in flight" for one in deployments if one.in_flight]

    def peak_mib(self) -> float | None:
        """Peak resident memory in MiB, None where the system does not tell."""
        kib = self.memory_kib("VmHWM")
        return None if kib is None else kib / 1024

    def memory_kib(self, name: str = "VmRSS") -> int | None:
        """A figure of the process's memory as Linux names it, None elsewhere."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def config_text(cases: Sequence[Case], address: str, closed_address: str, factor: float) -> str:
    """The generated config: default settings, a route per case over deployments at `address`."""
    parts = ["[server]\nport = 0\n"]
    if factor != 1.0:
        parts += [_shortened("timeouts", DEFAULTS_S, factor), _shortened("health", DEFAULT_HEALTH_S, factor)]
    for case in cases:
        keys = []
        for role, _ in case.scenario.scenes():
            key = f"{case.id}.{role}"
            keys.append(f'"{key}"')
            is_closed = role == "primary" and case.scenario.is_primary_closed
            parts.append(
                f'[providers."{key}"]\n'
                'kind = "custom"\n'
                f'base_url = "http://{closed_address if is_closed else address}/{case.id}/{role}/v1"\n'
                f'dialect = "{_DIALECTS[case.variant.upstream]}"\n'
                'api_key = "file:wall.key"\n'
                f'[deployments."{key}"]\n'
                f'provider = "{key}"\n'
                f'model = "{key}"\n'
                f"context_tokens = {_context(case, role)}\n"
            )
        parts.append(f'[routes."{case.id}"]\ndeployments = [{", ".join(keys)}]\n')
    return "\n".join(parts)


def _context(case: Case, role: str) -> int:
    """Sizes matter where the context is the fault; else they are not known."""
    return _CONTEXTS[role] if case.scenario.same is not None else 0


def _shortened(section: str, values: dict[str, float], factor: float) -> str:
    return f"[{section}]\n" + "".join(f"{name} = {value / factor:g}\n" for name, value in values.items())


@contextmanager
def own_engine(folder: Path, cases: Sequence[Case], address: str, factor: float) -> Iterator[OwnEngine]:
    """The engine with a route per case. Raises CannotStart with its own words."""
    with (
        closed_port() as port,
        engine_on(folder, config_text(cases, address, f"127.0.0.1:{port}", factor)) as engine,
    ):
        yield engine


@contextmanager
def engine_on(folder: Path, config: str) -> Iterator[OwnEngine]:
    """An engine process in `folder` with a config of its own, stopped at the end. Raises CannotStart."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    key_file = folder / "wall.key"
    key_file.touch(mode=0o600)
    key_file.write_text(UPSTREAM_KEY)
    config_file = folder / "wall.toml"
    config_file.write_text(config)
    data_dir = folder / "data"
    endpoint = start(data_dir, ["--config", str(config_file), "--data-dir", str(data_dir)])
    record = read_engine_record(data_dir)
    pid = record.pid if record is not None else 0
    try:
        client_key = (data_dir / "client.key").read_text().strip()
        yield OwnEngine(endpoint, Target.parse(endpoint.url, client_key), pid)
    finally:
        _stop(pid)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is ours and at which nobody listens: connecting is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _stop(pid: int) -> None:
    """Ends the engine, which is our child, and waits for it."""
    if not pid:
        return
    deadline = time.monotonic() + _STOP_LIMIT_S
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
