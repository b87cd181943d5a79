"""`atp-console deployments`: every deployment with its live state, and what an operator may do to one."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace

import msgspec

from atp_console.commands.command import Place, Refused
from atp_console.format import duration, share
from atp_engine.client.engine_client import EngineClient, connect
from atp_engine.core.deployment_views import ACTS
from atp_engine.core.text import safe_text
from atp_engine.core.views import DeploymentView

_HEAD = ("DEPLOYMENT", "HEALTH", "CIRCUIT", "IN FLIGHT", "QUEUED", "P95", "FAILED", "NOTE")


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("key", nargs="?", default="", metavar="KEY", help="the deployment to act on")
    parser.add_argument(
        "act", nargs="?", default="", metavar="ACT", help=f"{', '.join(ACTS)} or probe (the vendor's free model list)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`; a probe that failed is exit code 1."""
    key, act = arguments.key, arguments.act
    if act and act not in (*ACTS, "probe"):
        raise Refused(
            f"{safe_text(act)} is nothing that can be done to a deployment: {', '.join(ACTS)} or probe", code=2
        )
    text, code = asyncio.run(_answer(connect(place.endpoint()), key, act, is_json=arguments.json))
    print(text)
    return code


async def _answer(client: EngineClient, key: str, act: str, *, is_json: bool) -> tuple[str, int]:
    try:
        if act == "probe":
            reply = await client.probe(key)
            shown = msgspec.json.encode(reply).decode() if is_json else safe_text(reply.message)
            return shown, 1 if reply.has_list and not reply.is_ok else 0
        if act:
            views: tuple[DeploymentView, ...] = (await client.act(key, act),)
        else:
            views = tuple([view for view in await client.deployments() if not key or view.key == key])
            if key and not views:
                raise Refused(f"there is no deployment {safe_text(key)}")
        return (msgspec.json.encode(views).decode() if is_json else table(views)), 0
    finally:
        await client.aclose()


def table(views: tuple[DeploymentView, ...]) -> str:
    """The deployments in columns, as wide as they must be."""
    rows = [_HEAD, *[_row(view) for view in views]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]).rstrip() for row in rows
    )


def _row(view: DeploymentView) -> tuple[str, ...]:
    return (
        safe_text(view.key),
        view.health,
        view.circuit,
        f"{view.in_flight}/{view.limit}" if view.limit else str(view.in_flight),
        str(view.queued),
        duration(view.p95_ms),
        "-" if view.error_rate is None else share(view.error_rate),
        safe_text(view.block or ("" if view.is_enabled else "disabled")),
    )
