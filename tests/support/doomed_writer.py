"""A process that commits records and prints each id once it is acknowledged, until it is killed.

Run as `python doomed_writer.py DATABASE FIRST`: ids count up from FIRST over 16 concurrent requests,
while telemetry and a session save go beside them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRepository
from atp_engine.system import SystemClock
from tests.support.records import a_record


async def main(path: Path, first: int) -> None:
    """Never returns."""
    database = Database.open(path, SystemClock(), summarise_every=200)
    requests = RequestRepository(database)
    numbers = itertools.count(first)

    async def client() -> None:
        for number in numbers:
            requests.add(a_record(f"tel_{number:012x}"))
            await requests.add_durably(a_record(f"req_{number:012x}", session_id=f"s-{number % 7}"))
            os.write(1, b"%d\n" % number)

    await asyncio.gather(*(client() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
