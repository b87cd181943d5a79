"""The engine under test: `atp-console serve` in a process of its own, on a fresh data directory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

_CONFIG = """
[server]
port = {port}

[providers.bench]
kind = "custom"
base_url = "http://127.0.0.1:{upstream}/json1k"
is_local = true

[providers.bench4k]
kind = "custom"
base_url = "http://127.0.0.1:{upstream}/json4k"
is_local = true

[providers.stream]
kind = "custom"
base_url = "http://127.0.0.1:{upstream}/sse"
is_local = true

[providers.burst]
kind = "custom"
base_url = "http://127.0.0.1:{upstream}/burst"
is_local = true

[providers.simulated]
kind = "simulated"

[providers.failing]
kind = "custom"
base_url = "http://127.0.0.1:{upstream}/fail"
is_local = true

[deployments.failing]
provider = "failing"
model = "bench"

[deployments.bench]
provider = "bench"
model = "bench"

[deployments.bench4k]
provider = "bench4k"
model = "bench"

[deployments.stream]
provider = "stream"
model = "bench"

[deployments.burst]
provider = "burst"
model = "bench"

[storage]
is_bodies_kept = {is_bodies_kept}
commit = "{commit}"
"""


class Engine:
    """One engine process for the time of a `with` block; `key` is its first client key."""

    def __init__(
        self,
        folder: Path,
        port: int,
        upstream_port: int,
        *,
        is_bodies_kept: bool = False,
        commit: str = "before_reply",
    ) -> None:
        self.folder = folder
        self.port = port
        self._upstream_port = upstream_port
        self._options = {"is_bodies_kept": str(is_bodies_kept).lower(), "commit": commit}
        self._process: subprocess.Popen[bytes] | None = None
        self.key = ""
        self.ready_s = 0.0

    def __enter__(self) -> Engine:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "atp.toml"
        config.write_text(_CONFIG.format(port=self.port, upstream=self._upstream_port, **self._options))
        self.start()
        return self

    def start(self) -> None:
        """Starts the process and waits until it answers; `ready_s` is how long that took."""
        started = time.monotonic()
        command = [sys.executable, "-m", "atp_console", "serve"]
        command += ["--config", str(self.folder / "atp.toml"), "--data-dir", str(self.folder / "data")]
        with (self.folder / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, stderr=log, stdout=log, env={**os.environ, "HOME": str(self.folder)}
            )
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=1):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self._process.poll() is not None or time.monotonic() - started > 15:
                    raise RuntimeError((self.folder / "engine.log").read_text()[-2000:]) from None
                time.sleep(0.01)
        self.ready_s = time.monotonic() - started
        self.key = (self.folder / "data" / "client.key").read_text().strip()

    def stop(self) -> None:
        """Ends the process in an orderly way."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        assert self._process is not None
        return self._process.pid

    @property
    def admin_token(self) -> str:
        """The admin token of the data directory."""
        return (self.folder / "data" / "admin.token").read_text().strip()
