"""The config's life over the admin API; a face makes one around its `EngineClient`.

All calls raise EngineGone or EngineRefused: 422 with every problem of a wrong text, 409 with both sides when the
file was changed underneath.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.client.engine_client import EngineClient
from atp_engine.core.config_views import ConfigApplied, ConfigDiff, ConfigHistory, ConfigReport, ConfigText


class ConfigClient:
    """The calls about the config; `face` says whose changes they are: cli, console, dashboard or api."""

    def __init__(self, engine: EngineClient, face: str) -> None:
        self._engine = engine
        self._face = face

    async def history(self, limit: int = 50) -> ConfigHistory:
        """The kept versions, newest first."""
        return await self._engine.call("GET", f"/admin/config/history?limit={limit}", ConfigHistory)

    async def text(self, version: int | None = None) -> ConfigText:
        """The files of a version, None for the live one, 0 for what stands on the disk."""
        query = "" if version is None else f"?version={version}"
        return await self._engine.call("GET", f"/admin/config/text{query}", ConfigText)

    async def diff(self, before: int | None = None, after: int = 0) -> ConfigDiff:
        """What lies between two versions: None is the live one, 0 what stands on the disk."""
        query = f"?after={after}" if before is None else f"?before={before}&after={after}"
        return await self._engine.call("GET", f"/admin/config/diff{query}", ConfigDiff)

    async def check(self, text: str) -> ConfigReport:
        """What a text would do; nothing changes."""
        return await self._engine.call("POST", "/admin/config/check", ConfigReport, body=_json({"text": text}))

    async def apply(self, text: str, *, base: str = "", reason: str = "", guard: str | None = None) -> ConfigApplied:
        """Makes a text live. `base` is the digest that its author started from; `guard` a time, `off`, or None for
        what this face does by itself."""
        return await self._change("apply", guard, text=text, base=base, reason=reason)

    async def set(self, key: str, value: str | None, *, reason: str = "", guard: str | None = None) -> ConfigApplied:
        """Changes one value; None takes the key out."""
        return await self._change("set", guard, key=key, value=value, reason=reason)

    async def rollback(
        self, version: int, *, base: str = "", reason: str = "", guard: str | None = None
    ) -> ConfigApplied:
        """Makes a kept version live again."""
        return await self._change("rollback", guard, version=version, base=base, reason=reason)

    async def _change(self, act: str, guard: str | None, **fields: Any) -> ConfigApplied:
        body = _json({**fields, "guard": guard, "face": self._face})
        return await self._engine.call("POST", f"/admin/config/{act}", ConfigApplied, body=body)


def _json(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value)
