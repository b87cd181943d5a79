"""`/admin/keys` and `/admin/tokens`: client keys and admin tokens, made, listed, rotated and revoked.

A secret leaves once, in the answer to the call that made it.
"""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import NotFound, answer, read_json
from atp_engine.api.auth import Call
from atp_engine.core.key_views import KeyWish, RevokeReply, TokenWish
from atp_engine.services.keys import Keys
from atp_engine.services.keys_admin import AdminTokens


class AdminKeys:
    """The handlers."""

    def __init__(self, keys: Keys, tokens: AdminTokens) -> None:
        self._keys = keys
        self._tokens = tokens

    async def all(self, call: Call) -> Response:
        """Every key, the oldest first, without secrets."""
        return answer(self._keys.list())

    async def one(self, call: Call) -> Response:
        """One key by its id."""
        key = self._keys.find(_id(call))
        if key is None:
            raise NotFound("No such key.")
        return answer(key)

    async def create(self, call: Call) -> Response:
        """A new key; its secret is in this answer only."""
        return answer(await self._keys.create(await read_json(call.request, KeyWish), actor=call.visitor.name))

    async def rotate(self, call: Call) -> Response:
        """A new secret for a key; the old one ends at once."""
        made = await self._keys.rotate(_id(call), actor=call.visitor.name)
        if made is None:
            raise NotFound("No such key that counts.")
        return answer(made)

    async def revoke(self, call: Call) -> Response:
        """Ends a key."""
        return answer(RevokeReply(await self._keys.revoke(_id(call), actor=call.visitor.name)))

    async def tokens(self, call: Call) -> Response:
        """Every admin token that was made here, without secrets."""
        return answer(self._tokens.list())

    async def create_token(self, call: Call) -> Response:
        """A new admin token; its secret is in this answer only."""
        return answer(await self._tokens.create(await read_json(call.request, TokenWish), actor=call.visitor.name))

    async def revoke_token(self, call: Call) -> Response:
        """Ends an admin token."""
        return answer(RevokeReply(await self._tokens.revoke(_id(call), actor=call.visitor.name)))


def _id(call: Call) -> str:
    return str(call.request.path_params["id"])
