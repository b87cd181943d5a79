"""Databases on temporary files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRepository
from atp_engine.system import SystemClock


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An open, empty database; bulk work is due after 100 rows so that tests see it happen."""
    database = Database.open(tmp_path / "atp.db", SystemClock(), summarise_every=100)
    yield database
    await database.aclose()


@pytest.fixture
def requests(database: Database) -> RequestRepository:
    """Its requests."""
    return RequestRepository(database)
