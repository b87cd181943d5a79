"""`atp-console storage`: what the disk holds and what makes room on it; requests that are to stay.

Works over the running engine.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from atp_console.commands.command import Place
from atp_engine.client.endpoint import Endpoint
from atp_engine.client.engine_client import connect
from atp_engine.client.storage_client import StorageClient
from atp_engine.core.storage_views import StorageView
from atp_engine.core.text import safe_text

_MIB = 1024 * 1024


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("show", help="sizes, caps, and what has made room")
    for act, summary in (
        ("pin", "keep a request's bodies and ledger lines until it is unpinned"),
        ("unpin", "give a request the age of others again"),
    ):
        acts.add_parser(act, help=summary).add_argument("request", metavar="ID")
    acts.add_parser("pins", help="ids of the pinned requests")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`."""
    print(asyncio.run(_said(place.endpoint(), arguments)))
    return 0


async def _said(endpoint: Endpoint, arguments: Namespace) -> str:
    engine = connect(endpoint)
    try:
        client = StorageClient(engine)
        if arguments.act == "show":
            return "\n".join(storage_lines(await client.view()))
        if arguments.act == "pins":
            return "\n".join([safe_text(one) for one in await client.pins()]) or "nothing is pinned"
        view = await client.pin(arguments.request, is_pinned=arguments.act == "pin")
        done = "pinned" if view.is_pinned else "not pinned"
        return f"{safe_text(view.request_id)} is {done}; {view.pinned} requests are"
    finally:
        await engine.aclose()


def storage_lines(view: StorageView) -> list[str]:
    """What there is, a line each."""
    oldest = "-" if view.oldest_at is None else f"{datetime.fromtimestamp(view.oldest_at, UTC):%Y-%m-%d %H:%M} UTC"
    gone = ", ".join(f"{name} {count}" for name, count in view.given_up.items() if count)
    lines = [
        f"data directory  {_size(view.data_bytes)} of {_size(view.max_disk_bytes)}",
        f"database        {_size(view.database_bytes)}, its log {_size(view.wal_bytes)}",
        f"bodies          {_size(view.bodies_bytes)} of {_size(view.max_bodies_bytes)}, {view.pinned} requests pinned",
        f"free            {_size(view.free_bytes)}",
        f"oldest request  {oldest}, kept {view.ledger_ttl_days:g} days; {view.deleted} deleted by age since the start",
        f"made room       {gone or 'nothing'}",
        f"state           {safe_text(view.state)}",
    ]
    return [*lines, f"warning         {safe_text(view.pressure)}"] if view.pressure else lines


def _size(count: int) -> str:
    return f"{count / _MIB:.1f} MiB"
