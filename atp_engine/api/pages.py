"""The dashboard's pages, its static files, and logging in and out.

Pages are empty shells: the script fills them from the admin API, as the terminal console does, so a
page holds no token and nothing from outside passes through a template. Static files are read once at
start and served from memory under a path that carries their hash.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from atp_engine.api.admin import NotFound, answer, read_json
from atp_engine.api.auth import Call, Gate
from atp_engine.api.guard import PAGE_HEADERS, SHARED_HEADERS
from atp_engine.api.logins import SESSION_S
from atp_engine.core.errors import InvalidRequest
from atp_engine.core.filter_fields import FIELDS
from atp_engine.core.metrics_views import GROUPS, WINDOWS
from atp_engine.core.types import QoS
from atp_engine.logs import LEVELS

_HERE = Path(__file__).parent
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


TABS = (
    ("live", "Live", "/ui/"),
    ("metrics", "Metrics", "/ui/metrics"),
    ("models", "Models", "/ui/models"),
    ("keys", "Keys & budgets", "/ui/keys"),
    ("config", "Config", "/ui/config"),
    ("logs", "Logs & audit", "/ui/logs"),
)
"""The pages beside a request's: name of template and script, title, path."""
_SCRIPTS = {
    "live": ("api", "dom", "format", "panels", "requests"),
    "metrics": ("api", "charts", "dom", "format", "shell"),
    "models": ("api", "dom", "format", "shell"),
    "keys": ("api", "dom", "format", "shell"),
    "config": ("api", "dom", "format", "shell"),
    "logs": ("api", "dom", "format", "shell"),
    "request": ("api", "bodies", "dom", "format", "timeline"),
    "login": ("dom",),
}
"""What a page's script imports, to be fetched beside it and not after it."""


class _LoginBody(msgspec.Struct, forbid_unknown_fields=True):
    code: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of the dashboard, plain and compressed."""

    content: bytes
    compressed: bytes
    content_type: str


def load_static(folder: Path) -> tuple[str, dict[str, StaticFile]]:
    """Every known file below a folder by its relative path, and a hash over all of them."""
    files: dict[str, StaticFile] = {}
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            content = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            digest.update(name.encode() + b"\0" + content)
            files[name] = StaticFile(content, gzip.compress(content, 9, mtime=0), _TYPES[path.suffix])
    return digest.hexdigest()[:12], files


class Pages:
    """The handlers behind `/ui/*`."""

    def __init__(self, gate: Gate, version: str) -> None:
        """`version` is shown in the footer."""
        self._gate = gate
        self._static_version, self._files = load_static(_HERE / "static")
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._shared = {"version": version, "static": f"/ui/static/{self._static_version}", "tabs": TABS}

    async def home(self, call: Call) -> Response:
        """Sends visitors of the bare address to the dashboard."""
        return RedirectResponse("/ui/", 303, PAGE_HEADERS)

    async def live(self, call: Call) -> Response:
        """The live table."""
        return self._page("live", fields=FIELDS.values())

    async def metrics(self, call: Call) -> Response:
        """Charts of the traffic, and its sums by model, provider, route, client, key or session."""
        return self._page("metrics", windows=WINDOWS, groups=GROUPS)

    async def models(self, call: Call) -> Response:
        """Deployments with their health, load and price, and what may be done to them."""
        return self._page("models")

    async def keys(self, call: Call) -> Response:
        """Client keys, budgets and admin tokens."""
        return self._page("keys", classes=QoS)

    async def config(self, call: Call) -> Response:
        """The config as text: checked while one types, applied, rolled back."""
        return self._page("config")

    async def logs(self, call: Call) -> Response:
        """What the engine said, and who did what."""
        return self._page("logs", levels=LEVELS)

    async def request(self, call: Call) -> Response:
        """The permanent page of one request; whether it exists is for its script to find out."""
        return self._page("request")

    async def login_page(self, call: Call) -> Response:
        """Where a launch code from the address bar or a pasted token is traded for a cookie."""
        return self._page("login")

    async def static(self, call: Call) -> Response:
        """A static file from memory; kept for a year under the current hash, else never."""
        wanted = call.request.path_params
        file = self._files.get(wanted["name"])
        if file is None:
            raise NotFound("No such file.")
        is_current = wanted["version"] == self._static_version
        headers = {
            **SHARED_HEADERS,
            "content-type": file.content_type,
            "cache-control": "public, max-age=31536000, immutable" if is_current else "no-store",
            "vary": "accept-encoding",
        }
        if "gzip" in call.request.headers.get("accept-encoding", ""):
            return Response(file.compressed, headers={**headers, "content-encoding": "gzip"})
        return Response(file.content, headers=headers)

    async def login(self, call: Call) -> Response:
        """Trades `{code}` or `{token}` for an HttpOnly cookie."""
        body = await read_json(call.request, _LoginBody)
        if bool(body.code) == bool(body.token):
            raise InvalidRequest("Send either `code` or `token`.")
        cookie, session = self._gate.login(code=body.code, token=body.token)
        response = answer({"role": session.role, "csrf_token": session.csrf_token})
        response.set_cookie(
            self._gate.cookie_name,
            cookie,
            max_age=int(SESSION_S),
            secure=call.request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def session(self, call: Call) -> Response:
        """Who looks: the role, and the token that this browser's writes must carry."""
        session = call.visitor.session
        return answer({"role": call.visitor.role, "csrf_token": session.csrf_token if session else ""})

    async def logout(self, call: Call) -> Response:
        """Ends the browser's session, its open streams included."""
        if call.visitor.session:
            self._gate.sessions.close(call.visitor.session)
        response = answer({"role": ""})
        response.delete_cookie(self._gate.cookie_name, httponly=True, samesite="strict")
        return response

    def _page(self, page: str, **values: object) -> Response:
        template = self._templates.get_template(f"{page}.html")
        text = template.render(**self._shared, page=page, scripts=_SCRIPTS[page], **values)
        return Response(text, headers={**PAGE_HEADERS, "content-type": "text/html; charset=utf-8"})
