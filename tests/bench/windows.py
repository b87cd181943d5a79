"""Measures what windows cost a request: reserve, settle, post and release in four scopes, without any I/O but leases.

    python -m tests.bench.windows [--requests N]

CPU is the process's user and system time over all threads, the writer's included. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from tests.support.budgets import budget
from tests.support.manual_clock import ManualClock

FOUR = """
[windows.all]
max_tokens = 1_000_000_000
max_usd = 10_000
[windows.mine]
scope = "key"
period = "hour"
max_parallel = 1000
max_usd = 10_000
[windows.talk]
scope = "session"
max_tokens = 1_000_000_000
[windows.way]
scope = "route"
period = "month"
max_usd = 10_000
requests_per_minute = 10_000_000
"""


async def measure(requests: int) -> dict[str, float]:
    """Microseconds of CPU per request, with and without windows."""
    found = {}
    for name, toml in (("none", ""), ("four_scopes", FOUR)):
        with tempfile.TemporaryDirectory() as folder:
            async with budget(Path(folder), toml, ManualClock()) as desk:
                spec = desk.runtime.table.deployments["cheap"]
                record = desk.attempt(80)
                best = float("inf")
                for _ in range(5):
                    started = time.process_time()
                    for number in range(requests):
                        if desk.windows.is_active:
                            spending = await desk.enter(100, session=f"s-{number % 50}")
                            if spending is not None:
                                await spending.begin(spec)
                                spending.settle(record)
                                spending.post()
                                spending.release()
                    desk.windows.tick()
                    best = min(best, (time.process_time() - started) / requests * 1e6)
                found[name] = round(best, 2)
    return found


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=4_000, help="requests in each of five rounds")
    figures = asyncio.run(measure(parser.parse_args().requests))
    print(json.dumps({"reserve_and_settle_us": figures, "aim_us": 60}))


if __name__ == "__main__":
    main()
