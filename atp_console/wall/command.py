"""`atp-console wall`: the whole run, from options to a report.

Alone it starts this product's engine on a temporary directory; with a target it plays the upstream for
any gateway that was configured by hand with what `configuration` lists.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atp_console.wall.caller import Target
from atp_console.wall.judge import SLACK_S
from atp_console.wall.own_engine import OwnEngine, own_engine
from atp_console.wall.report import Report
from atp_console.wall.runner import Result, Wall, model_name, run_measured
from atp_console.wall.scenario import Case
from atp_console.wall.scenarios import SCENARIOS, cases
from atp_console.wall.upstream import UPSTREAM_KEY, listen

SHORT_FACTOR = 8.0
"""The shortened wall's factor."""
DEFAULT_LISTEN = "127.0.0.1:7477"
"""Where the upstream listens for a foreign gateway, so that it can be configured before."""
SHORT_SLACK_S = 2.0
"""How late a shortened limit may fire: a second of a busy machine is much of it."""
_LEAK_PATIENCE_S = 2.0


class WallError(Exception):
    """The wall cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    factor: float = SHORT_FACTOR
    names: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    is_core_only: bool = False
    target: str = ""
    """Base URL of a foreign gateway, empty for this product."""
    key: str = ""
    model_template: str = "{case}"
    at_once: int = 0
    """Most scenarios side by side; 0 is 24 for our own engine and 4 for another gateway, in which one
    scenario's flood may starve the others."""
    listen: str = ""
    """`HOST:PORT` of the upstream; any free port of loopback when empty and no target is named."""

    def cases(self) -> list[Case]:
        """The chosen cases. Raises WallError when nothing is chosen, a name or a placeholder is unknown."""
        try:
            found = cases(is_core_only=self.is_core_only, names=self.names, variants=self.variants)
        except ValueError as error:
            raise WallError(str(error)) from None
        if not found:
            raise WallError("no scenario is left by these choices")
        try:
            model_name(self.model_template, found[0])
        except (KeyError, IndexError, ValueError, AttributeError):
            raise WallError(
                f"{self.model_template!r} may hold {{case}}, {{scenario}} and {{variant}} and no other braces"
            ) from None
        return found

    def address(self) -> tuple[str, int]:
        """Where the upstream listens. Raises WallError."""
        text = self.listen or (DEFAULT_LISTEN if self.target else "127.0.0.1:0")
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise WallError(f"{text!r} is not an address such as {DEFAULT_LISTEN}")
        return host, int(port)


def run(options: Options, on_result: Callable[[Result], None] = lambda _: None) -> Report:
    """Runs the wall. Raises WallError, or CannotStart with the engine's own words."""
    chosen = options.cases()
    host, port = options.address()
    slack_s = SLACK_S if options.factor == 1.0 else SHORT_SLACK_S
    try:
        listener = listen(host, port)
    except OSError as error:
        raise WallError(f"the upstream cannot listen on {host}:{port}: {error.strerror}") from None
    with listener:
        if options.target:
            try:
                target = Target.parse(options.target, options.key)
            except ValueError as error:
                raise WallError(str(error)) from None
            wall = Wall(
                chosen,
                target,
                options.factor,
                options.model_template,
                slack_s=slack_s,
                at_once=options.at_once or 4,
            )
            started = time.monotonic()
            results, lag_ms = asyncio.run(run_measured(wall, listener, on_result))
            return Report(options.target, options.factor, time.monotonic() - started, results, lag_ms)
        port = listener.getsockname()[1]
        with (
            tempfile.TemporaryDirectory(prefix="atp-wall-") as folder,
            own_engine(Path(folder), chosen, f"{host}:{port}", options.factor) as engine,
        ):
            wall = Wall(
                chosen, engine.target, options.factor, is_own=True, slack_s=slack_s, at_once=options.at_once or 24
            )
            started = time.monotonic()
            results, lag_ms = asyncio.run(run_measured(wall, listener, on_result))
            took_s = time.monotonic() - started
            held = _leaks(engine)
            return Report("its own engine", options.factor, took_s, results, lag_ms, held, engine.peak_mib())


def _leaks(engine: OwnEngine) -> list[str]:
    """What the engine still holds after a moment of patience."""
    deadline = time.monotonic() + _LEAK_PATIENCE_S
    while (found := engine.leaks()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def configuration(options: Options) -> str:
    """What to configure in a foreign gateway: per model its deployments in order, first to last."""
    host, port = replace(options, target=options.target or "another").address()
    lines = [
        "Configure these models in the gateway, each with its deployments as ordered fallbacks, and one retry",
        f"per deployment. Every deployment's key is {UPSTREAM_KEY}; a gateway that cannot set a path may call",
        "the address alone: the model's name chooses the scenario too.",
        "",
    ]
    for case in options.cases():
        dialect = {"chat": "OpenAI chat", "messages": "Anthropic messages"}[case.variant.upstream]
        lines.append(f"{model_name(options.model_template, case)}  ({dialect})")
        for role, _ in case.scenario.scenes():
            place = f"http://{host}:{port}/{case.id}/{role}/v1"
            if role == "primary" and case.scenario.is_primary_closed:
                place = "any address at which nobody listens"
            context = ", context 8192 tokens" if case.scenario.same is not None and role != "fallback" else ""
            lines.append(f"    {role:8} {place}  model {case.id}.{role}{context}")
    return "\n".join(lines)


def listing(chosen: Sequence[str] = ()) -> str:
    """The scenarios by name."""
    rows = [scenario for scenario in SCENARIOS if not chosen or scenario.name in chosen]
    width = max(len(scenario.name) for scenario in rows)
    return "\n".join(
        f"{'core ' if scenario.is_core else 'extra'} {scenario.name:{width}}  {scenario.title}" for scenario in rows
    )
