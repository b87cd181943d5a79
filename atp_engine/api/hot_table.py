"""Which hot endpoint a request's target names; the server asks for every request.

Exact paths first. A path with names of the caller's in it, written `{name}` from its first one on, is
looked at only when no exact one fits: Gemini's clients put model and method there.
"""

from __future__ import annotations

from atp_engine.api.exchange import HotEndpoint, HotEndpoints, path_of

Row = tuple[bytes, HotEndpoint]
"""Method and endpoint."""


class HotTable:
    """The endpoints by target."""

    def __init__(self, hot: HotEndpoints) -> None:
        rows = {path.encode(): (method.encode(), endpoint) for (method, path), endpoint in hot.items()}
        self._exact: dict[bytes, Row] = {path: row for path, row in rows.items() if b"{" not in path}
        self._open = tuple((path.partition(b"{")[0], row) for path, row in rows.items() if b"{" in path)

    def find(self, url: bytes) -> Row | None:
        """The row for a request's target, None when it is served elsewhere."""
        found = self._exact.get(url)
        if found is not None:
            return found
        path = path_of(url)
        found = self._exact.get(path)
        if found is not None or b":" not in path:
            return found
        return next((row for start, row in self._open if path.startswith(start)), None)
