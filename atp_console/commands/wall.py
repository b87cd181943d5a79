"""`atp-console wall`: the fault wall against this router or any gateway."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from atp_console.commands.command import Place, Refused
from atp_console.launch import CannotStart
from atp_console.wall.command import SHORT_FACTOR, Options, WallError, configuration, listing
from atp_console.wall.command import run as run_wall


def declare(wall: ArgumentParser) -> None:
    """See `Command`."""
    wall.add_argument("--factor", type=float, default=None, help="divide every wait by this (default 8)")
    wall.add_argument("--full-time", action="store_true", help="the product's default timeouts as they are (90 s)")
    wall.add_argument("--core", action="store_true", help="the sixteen core scenarios only")
    wall.add_argument("--only", action="append", default=[], metavar="NAME", help="a scenario; may be repeated")
    wall.add_argument("--variant", action="append", default=[], metavar="NAME", help="a variant; may be repeated")
    wall.add_argument("--at-once", type=int, default=0, metavar="N", help="most scenarios side by side (24; target: 4)")
    wall.add_argument("--json", action="store_true", help="the report as JSON")
    wall.add_argument("--verbose", action="store_true", help="a line for every variant")
    wall.add_argument("--list", action="store_true", help="name the scenarios and end")
    wall.add_argument("--target", default="", metavar="URL", help="a gateway's base URL, instead of an engine of ours")
    wall.add_argument("--key", default="", help="the credential for the target")
    wall.add_argument("--key-file", type=Path, help="a file with that credential")
    wall.add_argument("--model-template", default="{case}", help="the target's models: {case}, {scenario}, {variant}")
    wall.add_argument("--listen", default="", metavar="HOST:PORT", help="where the upstream listens for the target")
    wall.add_argument("--configuration", action="store_true", help="list what to configure in the target and end")


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`; exit code 1 when a scenario failed."""
    factor = arguments.factor or (1.0 if arguments.full_time or arguments.target else SHORT_FACTOR)
    if not 0.1 <= factor <= 100:
        raise Refused("--factor is a number from 0.1 to 100")
    key = arguments.key
    if arguments.key_file is not None:
        try:
            key = arguments.key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"cannot read the key file {arguments.key_file}: {error}") from None
    options = Options(
        factor,
        tuple(arguments.only),
        tuple(arguments.variant),
        is_core_only=arguments.core,
        target=arguments.target,
        key=key,
        model_template=arguments.model_template,
        at_once=max(0, arguments.at_once),
        listen=arguments.listen,
    )
    try:
        if arguments.list:
            print(listing())
            return 0
        if arguments.configuration:
            print(configuration(options))
            return 0
        report = run_wall(options)
    except (WallError, CannotStart) as error:
        raise Refused(str(error)) from None
    print(report.json() if arguments.json else report.text(is_verbose=arguments.verbose))
    return 0 if report.has_passed else 1
