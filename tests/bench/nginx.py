"""nginx as the reference: a plain reverse proxy to the same upstream, measured in the same run."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.process import children

_CONFIG = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    client_body_buffer_size 256k;
    upstream models {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://models;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


class Nginx:
    """One nginx with one worker on a loopback port, for the time of a `with` block."""

    def __init__(self, folder: Path, port: int, upstream_port: int) -> None:
        self._folder = folder
        self.port = port
        self._upstream_port = upstream_port
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_installed() -> bool:
        """True when there is an nginx to compare with."""
        return _binary() is not None

    def __enter__(self) -> Nginx:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self._folder, port=self.port, upstream=self._upstream_port))
        binary = _binary()
        assert binary is not None
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program with our own config
            [binary, "-e", str(self._folder / "error.log"), "-p", str(self._folder), "-c", str(config)]
        )
        deadline = time.monotonic() + 5
        while not self.pids() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def pids(self) -> list[int]:
        """The worker processes, which do the proxying."""
        assert self._process is not None
        return children(self._process.pid)


def _binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
