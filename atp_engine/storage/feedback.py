"""What callers thought of their answers, by request: written when told, read with the request.

`services/feedback` writes. A request keeps its latest 50 entries.
"""

from __future__ import annotations

import sqlite3

import msgspec

from atp_engine.core.views import FeedbackView
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

MOST = 50
_INSERT = """
    INSERT INTO feedback (request_id, at, score, labels, is_accepted, is_regenerated, comment)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_TRIM = """
    DELETE FROM feedback WHERE request_id = ?1 AND number NOT IN (
        SELECT number FROM feedback WHERE request_id = ?1 ORDER BY number DESC LIMIT ?2
    )
"""
_OF = """
    SELECT at, score, labels, is_accepted, is_regenerated, comment FROM feedback WHERE request_id = ? ORDER BY number
"""
_LABELS = msgspec.json.Decoder(tuple[str, ...])


class FeedbackRepository:
    """Adds and reads feedback."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, request_id: str, feedback: FeedbackView) -> None:
        """Returns when it is committed. Raises StorageError."""
        row = (
            request_id,
            feedback.at,
            feedback.score,
            msgspec.json.encode(feedback.labels).decode(),
            feedback.is_accepted,
            feedback.is_regenerated,
            feedback.comment,
        )

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT, row)
            connection.execute(_TRIM, (request_id, MOST))

        await self._database.commit(Write(action=write))

    async def of(self, request_id: str) -> tuple[FeedbackView, ...]:
        """The feedback on a request, oldest first. Raises StorageError."""
        return await self._database.read(lambda connection: _read(connection, request_id))


def _read(connection: sqlite3.Connection, request_id: str) -> tuple[FeedbackView, ...]:
    return tuple(
        FeedbackView(
            at=at,
            score=score,
            labels=_LABELS.decode(labels),
            is_accepted=None if accepted is None else bool(accepted),
            is_regenerated=None if regenerated is None else bool(regenerated),
            comment=comment,
        )
        for at, score, labels, accepted, regenerated, comment in connection.execute(_OF, (request_id,))
    )
