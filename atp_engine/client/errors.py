"""What can go wrong between a face and its engine; faces react to exactly these two.

EngineError
|- EngineGone      nobody answers, or the connection was lost: try again
`- EngineRefused   it answered and said no: status, code and the engine's own words
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of both; `message` is one plain clause for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EngineGone(EngineError):
    """The engine cannot be reached, went away, or showed no sign of life in time."""


class EngineRefused(EngineError):
    """The engine answered with an error. `status` is the HTTP status, 0 when it did not speak our API."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
