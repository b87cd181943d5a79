"""The admin API of the config's life: history, texts, diffs, and changes with who made them.

Handlers translate between HTTP and `services/configuration`. Texts need the admin role even to be read: they
hold header values that the effective config leaves out. A wrong text is 422 with every problem, a file that was
changed underneath is 409 with both sides; nothing has changed then.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from atp_engine.api.admin import answer, read_json
from atp_engine.api.auth import Call
from atp_engine.core.config_views import ConfigDiff, ConfigText
from atp_engine.core.errors import InvalidRequest
from atp_engine.services.configuration import Configuration, Wish
from atp_engine.services.configuration_guard import guard_s

Face = Literal["api", "cli", "console", "dashboard"]
GUARD_OF_CONSOLE = "5m"
"""Edits from the console are guarded unless it says otherwise."""
_MOST_VERSIONS = 1_000


class _Wished(msgspec.Struct, forbid_unknown_fields=True):
    """What every change may say of itself."""

    reason: str = ""
    guard: str | None = None
    face: Face = "api"
    base: str = ""


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class _Apply(_Wished, forbid_unknown_fields=True, kw_only=True):
    text: str


class _Set(_Wished, forbid_unknown_fields=True, kw_only=True):
    key: str
    value: str | None = None
    """As TOML or as plain text; None takes the key out."""


class _Rollback(_Wished, forbid_unknown_fields=True, kw_only=True):
    version: int


class AdminConfig:
    """The handlers."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    async def history(self, call: Call) -> Response:
        """The kept versions, newest first; `limit` of them."""
        limit = _number(call.request, "limit", 50)
        return answer(await self._configuration.history(min(max(limit, 1), _MOST_VERSIONS)))

    async def text(self, call: Call) -> Response:
        """The files of a version: the live one, `version=N`, or what stands on the disk with `version=0`."""
        number = _number(call.request, "version", self._configuration.version)
        return answer(await self._text(number))

    async def diff(self, call: Call) -> Response:
        """What lies between two versions: `before` (the live one) and `after` (0, the disk)."""
        before = await self._text(_number(call.request, "before", self._configuration.version))
        after = await self._text(_number(call.request, "after", 0))
        text, changes = await self._configuration.compare(before.files, after.files)
        return answer(ConfigDiff(before.version, after.version, text, changes))

    async def check(self, call: Call) -> Response:
        """What a text would do; nothing changes."""
        body = await read_json(call.request, _Text)
        return answer(await self._configuration.check(body.text))

    async def apply(self, call: Call) -> Response:
        """Writes a text into the file and makes it live."""
        body = await read_json(call.request, _Apply)
        return answer(await self._configuration.apply(body.text, body.base, _wish(body, call)))

    async def set(self, call: Call) -> Response:
        """Changes one value in the file and makes it live."""
        body = await read_json(call.request, _Set)
        return answer(await self._configuration.set(body.key, body.value, _wish(body, call)))

    async def rollback(self, call: Call) -> Response:
        """Makes the text of a kept version live again."""
        body = await read_json(call.request, _Rollback)
        return answer(await self._configuration.rollback(body.version, body.base, _wish(body, call)))

    async def _text(self, number: int) -> ConfigText:
        files = await self._configuration.texts(number)
        return ConfigText(number, self._configuration.digest_of(files), files)


def _wish(body: _Wished, call: Call) -> Wish:
    face = "dashboard" if call.visitor.session is not None else body.face
    guard = body.guard if body.guard is not None else GUARD_OF_CONSOLE if face == "console" else ""
    return Wish(f"{face} ({call.visitor.name})", body.reason[:500], guard_s(guard))


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidRequest(f"`{name}` must be a whole number.", param=name)
    return int(text)
