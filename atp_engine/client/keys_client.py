"""Keys, admin tokens and windows over the admin API; a face makes one around its `EngineClient`.

All calls raise EngineGone or EngineRefused. Secrets are in `create`'s and `rotate`'s answers and never again.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from atp_engine.client.engine_client import EngineClient
from atp_engine.core.key_views import KeyMade, KeySummary, KeyWish, RevokeReply, TokenMade, TokenSummary, TokenWish
from atp_engine.core.window_views import WindowView


class KeysClient:
    """The calls about keys."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    async def list(self) -> tuple[KeySummary, ...]:
        """Every key, the oldest first."""
        return await self._engine.call("GET", "/admin/keys", tuple[KeySummary, ...])

    async def show(self, id: str) -> KeySummary:
        """One key; EngineRefused(404) when it is not known."""
        return await self._engine.call("GET", f"/admin/keys/{quote(id, safe='')}", KeySummary)

    async def create(self, wish: KeyWish) -> KeyMade:
        """A new key with its secret."""
        return await self._engine.call("POST", "/admin/keys", KeyMade, body=msgspec.json.encode(wish))

    async def rotate(self, id: str) -> KeyMade:
        """A new secret for a key; the old one ends at once."""
        return await self._engine.call("POST", f"/admin/keys/{quote(id, safe='')}/rotate", KeyMade)

    async def revoke(self, id: str) -> bool:
        """Ends a key; False when it was over already or is not known."""
        reply = await self._engine.call("POST", f"/admin/keys/{quote(id, safe='')}/revoke", RevokeReply)
        return reply.revoked

    async def tokens(self) -> tuple[TokenSummary, ...]:
        """Every admin token that was made here."""
        return await self._engine.call("GET", "/admin/tokens", tuple[TokenSummary, ...])

    async def create_token(self, wish: TokenWish) -> TokenMade:
        """A new admin token with its secret."""
        return await self._engine.call("POST", "/admin/tokens", TokenMade, body=msgspec.json.encode(wish))

    async def revoke_token(self, id: str) -> bool:
        """Ends an admin token; False when it was over already or is not known."""
        reply = await self._engine.call("POST", f"/admin/tokens/{quote(id, safe='')}/revoke", RevokeReply)
        return reply.revoked

    async def windows(self) -> tuple[WindowView, ...]:
        """Every window with its counts."""
        return await self._engine.call("GET", "/admin/windows", tuple[WindowView, ...])
