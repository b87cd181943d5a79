"""`atp-console keys`: client keys and admin tokens of the running engine; secrets are printed once.

A key or token is named by its id, or by its name where only one that counts has it.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from math import isfinite
from typing import TypeVar

import msgspec

from atp_console.commands.command import Place, Refused
from atp_console.launch import ask
from atp_engine.client.keys_client import KeysClient
from atp_engine.core.key_views import KeySummary, KeyWindow, KeyWish, TokenSummary, TokenWish
from atp_engine.core.text import safe_text
from atp_engine.core.types import QoS
from atp_engine.core.window_views import WindowView

_UNITS_S = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_T = TypeVar("_T")


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new key; its secret is printed once")
    create.add_argument("name")
    create.add_argument("--project", default="", help="a label to count and limit several keys by")
    create.add_argument("--qos", choices=[qos.value for qos in QoS], default="silver", help="its class in the queue")
    create.add_argument("--expires", metavar="TIME", help="how long it counts: 12h, 30d ...")
    create.add_argument(
        "--route", action="append", default=[], metavar="NAME", help="a route it may ask for, or pattern"
    )
    create.add_argument("--model", action="append", default=[], metavar="NAME", help="a model it may use")
    create.add_argument("--tag", action="append", default=[], metavar="TEXT", help="a tag; may be repeated")
    create.add_argument("--requests-per-minute", type=int, default=0, metavar="N")
    window = create.add_argument_group("its own window")
    window.add_argument("--period", default="day", help="in_flight, minute, hour, day (default) or month")
    window.add_argument("--max-usd", type=float, metavar="USD")
    window.add_argument("--max-tokens", type=int, metavar="N")
    window.add_argument("--max-parallel", type=int, metavar="N")
    window.add_argument("--on-exceed", default="refuse", help="refuse (default), queue, cheapest or local_only")
    acts.add_parser("list", help="every key, without secrets")
    for name, summary in (
        ("show", "one key with its windows"),
        ("rotate", "a new secret; the old one ends at once"),
        ("revoke", "end it at once"),
        ("token-revoke", "end an admin token"),
    ):
        acts.add_parser(name, help=summary).add_argument("key", metavar="ID|NAME")
    token = acts.add_parser("token-create", help="a new admin token; its secret is printed once")
    token.add_argument("name")
    token.add_argument("--role", choices=["viewer", "operator", "admin"], default="viewer")
    token.add_argument("--expires", metavar="TIME", help="how long it counts: 12h, 30d ...")
    acts.add_parser("token-list", help="every admin token, without secrets")
    for act in acts.choices.values():
        act.add_argument("--json", action="store_true", help="print JSON")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`."""
    _ACTS[arguments.act](_Caller(place), arguments)
    return 0


class _Caller:
    """Calls the running engine, one connection per call."""

    def __init__(self, place: Place) -> None:
        self._endpoint = place.endpoint()

    def __call__(self, use: Callable[[KeysClient], Awaitable[_T]]) -> _T:
        async def call(client: object) -> _T:
            return await use(KeysClient(client))  # type: ignore[arg-type]

        return ask(self._endpoint, call)


def _create(call: _Caller, arguments: Namespace) -> None:
    if arguments.max_usd is not None and not isfinite(arguments.max_usd):
        raise Refused("--max-usd is a finite number", 2)
    limits = (arguments.max_usd, arguments.max_tokens, arguments.max_parallel)
    window = KeyWindow(
        period=arguments.period,
        max_parallel=arguments.max_parallel,
        max_tokens=arguments.max_tokens,
        max_usd=arguments.max_usd,
        on_exceed=arguments.on_exceed,
    )
    wish = KeyWish(
        name=arguments.name,
        project=arguments.project,
        qos=QoS(arguments.qos),
        requests_per_minute=arguments.requests_per_minute,
        expires_in_s=_seconds(arguments.expires),
        routes=tuple(arguments.route),
        models=tuple(arguments.model),
        tags=tuple(arguments.tag),
        windows=(window,) if any(limit is not None for limit in limits) else (),
    )
    made = call(lambda client: client.create(wish))
    _tell_secret(made, made.key.id, made.secret, arguments)


def _rotate(call: _Caller, arguments: Namespace) -> None:
    key = _named(call(lambda client: client.list()), arguments.key, "key")
    made = call(lambda client: client.rotate(key.id))
    _tell_secret(made, made.key.id, made.secret, arguments)


def _revoke(call: _Caller, arguments: Namespace) -> None:
    key = _named(call(lambda client: client.list()), arguments.key, "key")
    if not call(lambda client: client.revoke(key.id)):
        raise Refused(f"{key.id} was over already")
    print(f"{key.id} ({safe_text(key.name)}) is revoked")


def _list(call: _Caller, arguments: Namespace) -> None:
    keys = call(lambda client: client.list())
    if arguments.json:
        _print_json(keys)
        return
    rows = [
        (key.id, safe_text(key.name), key.shown_as, safe_text(key.project), key.qos.value, _state(key)) for key in keys
    ]
    _print_table(("id", "name", "key", "project", "class", "state"), rows)


def _show(call: _Caller, arguments: Namespace) -> None:
    key = _named(call(lambda client: client.list()), arguments.key, "key", counts_only=False)
    windows = [
        view
        for view in call(lambda client: client.windows())
        if (view.scope == "key" and view.subject == key.name) or view.name.startswith(f"key:{key.id}")
    ]
    if arguments.json:
        _print_json({"key": key, "windows": windows})
        return
    facts = {
        "id": key.id,
        "name": safe_text(key.name),
        "key": key.shown_as,
        "project": safe_text(key.project) or "-",
        "class": key.qos.value,
        "requests/min": str(key.requests_per_minute or "no limit"),
        "routes": safe_text(", ".join(key.routes)) or "all",
        "models": safe_text(", ".join(key.models)) or "all",
        "tags": safe_text(", ".join(key.tags)) or "-",
        "state": _state(key),
    }
    print("\n".join(f"{name:13} {value}" for name, value in facts.items()))
    for view in windows:
        print(f"{'window':13} {window_line(view)}")


def window_line(view: WindowView) -> str:
    """A window's counts in one line."""
    parts = [f"{view.name} per {view.period}"]
    if view.max_nusd is not None:
        parts.append(f"${view.used_nusd / 1e9:.4f} of ${view.max_nusd / 1e9:.2f}")
    if view.max_tokens is not None:
        parts.append(f"{view.used_tokens:,} of {view.max_tokens:,} tokens")
    if view.max_parallel is not None:
        parts.append(f"{view.in_flight} of {view.max_parallel} in flight")
    if view.frees_at is not None:
        parts.append(f"until {_moment(view.frees_at)}")
    return ", ".join(parts)


def _create_token(call: _Caller, arguments: Namespace) -> None:
    wish = TokenWish(arguments.name, arguments.role, _seconds(arguments.expires))
    made = call(lambda client: client.create_token(wish))
    _tell_secret(made, made.token.id, made.secret, arguments)


def _list_tokens(call: _Caller, arguments: Namespace) -> None:
    tokens = call(lambda client: client.tokens())
    if arguments.json:
        _print_json(tokens)
        return
    rows = [(token.id, safe_text(token.name), token.shown_as, token.role, _state(token)) for token in tokens]
    _print_table(("id", "name", "token", "role", "state"), rows)


def _revoke_token(call: _Caller, arguments: Namespace) -> None:
    token = _named(call(lambda client: client.tokens()), arguments.key, "token")
    if not call(lambda client: client.revoke_token(token.id)):
        raise Refused(f"{token.id} was over already")
    print(f"{token.id} ({safe_text(token.name)}) is revoked")


_ACTS: dict[str, Callable[[_Caller, Namespace], None]] = {
    "create": _create,
    "list": _list,
    "show": _show,
    "rotate": _rotate,
    "revoke": _revoke,
    "token-create": _create_token,
    "token-list": _list_tokens,
    "token-revoke": _revoke_token,
}

_Named = TypeVar("_Named", KeySummary, TokenSummary)


def _named(known: Sequence[_Named], asked: str, noun: str, *, counts_only: bool = True) -> _Named:
    """The one of this id or, among those that count, of this name."""
    by_id = [one for one in known if one.id == asked]
    found = by_id or [one for one in known if one.name == asked and (one.revoked_at is None or not counts_only)]
    if not found:
        raise Refused(f"there is no {noun} {safe_text(asked, limit=80)!r}; list them with: atp-console keys list")
    if len(found) > 1:
        raise Refused(f"several have this name; say which: {', '.join(one.id for one in found)}")
    return found[0]


def _tell_secret(made: object, id: str, secret: str, arguments: Namespace) -> None:
    if arguments.json:
        _print_json(made)
        return
    print(secret)
    print(f"({id}; this is the only time it is shown)", file=sys.stderr)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    matched = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if matched is None:
        raise Refused("--expires is a number with a unit: 30m, 12h, 30d, 8w", 2)
    return float(matched[1]) * _UNITS_S[matched[2]]


def _state(one: KeySummary | TokenSummary) -> str:
    if one.revoked_at is not None:
        return f"revoked {_moment(one.revoked_at)}"
    return "counts" if one.expires_at is None else f"until {_moment(one.expires_at)}"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M}"


def _print_json(value: object) -> None:
    print(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
