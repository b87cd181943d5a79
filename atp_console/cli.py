"""The `atp-console` command: parses, starts, attaches, and turns every failure into one plain line.

The only module of the console that builds an engine. Imports are deferred so that each command loads
what it needs. Exit codes: 0 done, 1 the engine or the machine refused, 2 the call or the config is wrong.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from atp_console.commands.command import Place, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atp_console.commands.command import Command
    from atp_engine.client.endpoint import Endpoint
    from atp_engine.config.load import Environment, Loaded
    from atp_engine.config.paths import Paths
    from atp_engine.core.ports import Clock
    from atp_engine.providers.transport import Transport

_EPILOG = "Without a command: start an engine if none answers for the data directory, and open the console on it."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser(given).parse_args(given)
    from atp_engine.client.errors import EngineError
    from atp_engine.core.errors import ATPError, ConfigError

    try:
        code: int = arguments.run(arguments)
        return code
    except ConfigError as error:
        print(error.public_message, file=sys.stderr)
        return 2
    except Refused as error:
        print(error if error.code == 2 else f"atp-console: {error}", file=sys.stderr)
        return error.code
    except (ATPError, EngineError) as error:
        print(f"atp-console: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _shared(default: str | None = None) -> tuple[argparse.ArgumentParser, ...]:
    """Where things are, how the server listens, how the console looks. A command takes them with a default of
    SUPPRESS: what was said before its name stands unless it is said again after it."""
    places, server, look = (argparse.ArgumentParser(add_help=False, argument_default=default) for _ in range(3))
    places.add_argument("--config", type=Path, metavar="FILE", help="config file (default: the XDG config directory)")
    places.add_argument("--data-dir", type=Path, metavar="DIR", help="data directory (default: the XDG data directory)")
    server.add_argument("--host", help="address to listen on (default: the config's, 127.0.0.1)")
    server.add_argument("--port", type=_port, help="port to listen on (default: the config's, 7443)")
    server.add_argument("--log-level", choices=["debug", "info", "warning", "error"], help="lowest level logged")
    look.add_argument("--readonly", action="store_true", help="look only: no act is possible")
    look.add_argument("--ascii", action="store_true", help="letters instead of symbols")
    look.add_argument("--theme", help="a Textual theme by name")
    look.add_argument("--settings", type=Path, metavar="FILE", help="the console's own settings: keys, colours")
    return places, server, look


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    places, server, look = _shared(argparse.SUPPRESS)
    parser = argparse.ArgumentParser(
        prog="atp-console",
        description="A local-first LLM traffic router with a live console.",
        epilog=_EPILOG,
        parents=_shared(),
    )
    parser.set_defaults(run=_console)
    commands = parser.add_subparsers(title="commands", metavar="")
    serve = _add(commands, "serve", _serve, "the engine in the foreground, headless", [places, server])
    serve.add_argument(
        "--log-file", type=Path, help="where the log goes unless the config says (default: standard error)"
    )
    attach = _add(commands, "attach", _attach, "the console on a running engine", [places, look])
    attach.add_argument(
        "url", nargs="?", help="http://host:port of a remote engine (token: ATP_TOKEN_FILE or --token-file)"
    )
    attach.add_argument("--token-file", type=Path, help="file with the admin token of the remote engine")
    attach.add_argument("--rw", action="store_true", help="allow acts on a remote engine")
    _add(commands, "demo", _demo, "a living system: imitated clients on simulated models", [places, server, look])
    traffic = _add(commands, "traffic", _traffic, "imitated clients against the running engine, until ended", [places])
    traffic.add_argument("--clients", type=int, default=8, help="conversations at once (default 8)")
    traffic.add_argument("--seed", type=int, default=7443, help="same seed, same conversations")
    _add(commands, "dashboard", _dashboard, "a one-time link that opens the web dashboard", [places])
    _add(commands, "status", _status, "what the running engine is doing", [places])
    check = _add(commands, "check", _check, "every problem of a config file", [places])
    check.add_argument("file", nargs="?", type=Path, help="the file (default: the config file)")
    for name, (summary, is_placed) in _COMMANDS.items():
        parents = [places] if is_placed else []
        own = _add(commands, name, partial(_run_command, name), summary, parents)
        if name in argv:
            _command(name).declare(own)
    _add(commands, "schema", _schema, "JSON Schema of the config file, for editors", [])
    _add(commands, "version", _version, "the version", [])
    return parser


def _command(name: str) -> Command:
    match name:
        case "deployments":
            from atp_console.commands import deployments

            return deployments
        case "config":
            from atp_console.commands import config

            return config
        case "import":
            from atp_console.commands import import_config

            return import_config
        case "wall":
            from atp_console.commands import wall

            return wall
        case "ledger":
            from atp_console.commands import ledger

            return ledger
        case "storage":
            from atp_console.commands import storage

            return storage
        case "keys":
            from atp_console.commands import keys

            return keys
    from atp_console.commands import keymap

    return keymap


_COMMANDS = {
    "deployments": ("the deployments as they are now; KEY ACT acts on one", True),
    "config": ("the running config: history, diff, rollback, apply, edit, get, set", True),
    "import": ("a config from litellm, claude-code-router or llama-swap", True),
    "wall": ("the fault wall: a misbehaving upstream against this router or any gateway", False),
    "ledger": ("what every upstream call cost: verify, export, reconcile", True),
    "storage": ("what the disk holds; pin requests to it: show, pin, unpin, pins", True),
    "keymap": ("every action of the console with its keys, and what is wrong in console.toml", False),
    "keys": ("client keys and admin tokens: create, list, show, rotate, revoke", True),
}
"""Commands with a module of their own, loaded when named: summary, whether they work at a `Place`."""


def _run_command(name: str, arguments: argparse.Namespace) -> int:
    placed = arguments if hasattr(arguments, "data_dir") else argparse.Namespace(data_dir=None, config=None)
    environment, paths = _places(placed)
    own = _settings_file(arguments)
    place = Place(paths.data_dir, paths.config_file, lambda: _running_endpoint(arguments), environment.editor, own)
    return _command(name).run(place, arguments)


def _settings_file(arguments: argparse.Namespace) -> Path:
    from atp_engine.config.load import environment

    given: Path | None = getattr(arguments, "settings", None)
    return given.expanduser().absolute() if given else environment().config_home / "atp-console" / "console.toml"


def _port(text: str) -> int:
    """A port from the command line; the system would take 70000 for 4464."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 0 to 65535")
    return number


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: object,
    summary: str,
    parents: list[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary, parents=parents)
    parser.set_defaults(run=run)
    return parser


def _places(arguments: argparse.Namespace) -> tuple[Environment, Paths]:
    from dataclasses import replace

    from atp_engine.config.load import environment
    from atp_engine.config.paths import default_paths

    found = environment()
    if arguments.data_dir is not None:
        found = replace(found, data_dir=arguments.data_dir.expanduser().absolute())
    if arguments.config is not None:
        found = replace(found, config_file=arguments.config.expanduser().absolute())
    return found, default_paths(found)


def _serve(arguments: argparse.Namespace) -> int:
    import contextlib
    import gc
    import signal

    gc.disable()  # a start makes next to no garbage; the engine collects once and turns it on
    from atp_engine.config.first_run import detect, write_if_missing
    from atp_engine.config.load import load
    from atp_engine.engine import Engine, run
    from atp_engine.logs import configure
    from atp_engine.providers.registry import kinds

    environment, paths = _places(arguments)
    detection = detect(environment)
    if arguments.config is None:
        write_if_missing(paths.config_file, detection)

    def amend(loaded: Loaded) -> Loaded:
        return _overridden(loaded, arguments)

    loaded = amend(load(paths.config_file, kinds(), environment.aliases))
    logging = loaded.config.logging
    log_file = logging.file or arguments.log_file
    log = configure(
        logging.level,
        Path(log_file) if log_file else None,
        max_file_bytes=logging.max_file_bytes,
        kept_files=logging.kept_files,
    )
    try:
        engine = Engine(loaded, paths, environment, proxied=_proxied, edit=_edited, amend=amend, found=detection.found)

        def tell() -> None:
            lines = [f"atp-console listens on {engine.url}", f"config {loaded.path}", f"data   {paths.data_dir}"]
            with contextlib.suppress(OSError):  # whoever started it may have closed our output
                print("\n".join([*lines, *(f"warning {warning}" for warning in engine.warnings)]), flush=True)

        run(engine, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), tell)
    finally:
        log.close()
    return 0


def _proxied(clock: Clock, proxy: str | None) -> Transport:
    """The transport for proxies; its import is paid by the first config that needs it."""
    from atp_engine.providers.aiohttp_transport import AiohttpTransport

    return AiohttpTransport(clock, proxy)


def _edited(text: str, key: str, value: str | None) -> str:
    """A config text with one value changed; the library for it is loaded by the first edit."""
    from atp_engine.config.edit import edited

    return edited(text, key, value)


def _overridden(loaded: Loaded, arguments: argparse.Namespace) -> Loaded:
    """The config with what the command line says on top."""
    from dataclasses import replace

    config = loaded.config
    server = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    if server:
        config = config.model_copy(update={"server": config.server.model_copy(update=server)})
    if arguments.log_level:
        config = config.model_copy(update={"logging": config.logging.model_copy(update={"level": arguments.log_level})})
    return replace(loaded, config=config)


def _console(arguments: argparse.Namespace) -> int:
    endpoint, is_ours = _running_or_started(arguments)
    return _open(endpoint, arguments, is_readonly=arguments.readonly, owns_engine=is_ours)


def _running_or_started(arguments: argparse.Namespace) -> tuple[Endpoint, bool]:
    """An engine that answers, and whether it was started for that."""
    from atp_console.launch import CannotStart, running, serve_arguments, start

    _, paths = _places(arguments)
    found = running(paths.data_dir)
    if found is not None:
        return found[0], False
    try:
        return start(paths.data_dir, serve_arguments(vars(arguments))), True
    except CannotStart as error:
        raise Refused(str(error), error.code) from None


def _open(endpoint: Endpoint, arguments: argparse.Namespace, *, is_readonly: bool, owns_engine: bool) -> int:
    from atp_console.app import run
    from atp_console.global_acts import ExitChoice

    environment = _places(arguments)[0]
    choice = run(
        endpoint,
        is_readonly=is_readonly,
        is_ascii=arguments.ascii,
        owns_engine=owns_engine,
        theme=arguments.theme,
        settings_file=_settings_file(arguments),
        preferences_file=environment.state_home / "atp-console" / "console.json",
    )
    if choice is ExitChoice.STOP:
        _stop_engine(arguments)
    return 1 if choice is ExitChoice.CRASHED else 0


def _stop_engine(arguments: argparse.Namespace) -> None:
    from atp_console.launch import stop

    stop(_places(arguments)[1].data_dir)


def _attach(arguments: argparse.Namespace) -> int:
    from atp_engine.client.endpoint import Endpoint, EndpointError

    environment, paths = _places(arguments)
    url = arguments.url or environment.url
    if not url:
        return _open(_running_endpoint(arguments), arguments, is_readonly=arguments.readonly, owns_engine=False)
    token_file = arguments.token_file or environment.variables.get("ATP_TOKEN_FILE") or paths.admin_token
    try:
        token = Path(token_file).read_text().strip()
    except OSError as error:
        raise Refused(f"cannot read the token file {token_file}: {error.strerror}; pass --token-file") from None
    endpoint = Endpoint(url=url, token=token)
    try:
        endpoint.origin()
    except EndpointError as error:
        raise Refused(str(error), 2) from None
    return _open(endpoint, arguments, is_readonly=arguments.readonly or not arguments.rw, owns_engine=False)


def _demo(arguments: argparse.Namespace) -> int:
    import subprocess

    from atp_engine.config.first_run import Detection, write_if_missing

    environment, paths = _places(arguments)
    if arguments.data_dir is None:
        arguments.data_dir = environment.data_home / "atp-console-demo"
        environment, paths = _places(arguments)
    if arguments.config is None:
        arguments.config = paths.data_dir / "demo.toml"
        paths.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_if_missing(arguments.config, Detection())
    if arguments.port is None:
        arguments.port = 0
    endpoint, is_ours = _running_or_started(arguments)
    traffic = [sys.executable, "-m", "atp_console", "traffic", "--data-dir", str(paths.data_dir)]
    with subprocess.Popen(  # noqa: S603 - our own program
        traffic, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as clients:
        try:
            return _open(endpoint, arguments, is_readonly=arguments.readonly, owns_engine=is_ours)
        finally:
            clients.terminate()
            if is_ours:
                _stop_engine(arguments)


def _traffic(arguments: argparse.Namespace) -> int:
    import asyncio
    import random

    from atp_engine.client.imitation import Imitation
    from atp_engine.providers.pooled import PooledTransport
    from atp_engine.system import SystemClock

    endpoint = _running_endpoint(arguments)
    _, paths = _places(arguments)
    key = paths.client_key.read_text().strip()
    clock = SystemClock()
    rng = random.Random(arguments.seed)  # noqa: S311 - which prompt comes next

    async def imitate() -> None:
        transport = PooledTransport(clock)
        try:
            await Imitation(endpoint, key, transport, rng, clock.monotonic).run(arguments.clients)
        finally:
            await transport.aclose()

    asyncio.run(imitate())
    return 0


def _dashboard(arguments: argparse.Namespace) -> int:
    from atp_console.launch import ask

    endpoint = _running_endpoint(arguments)
    code = ask(endpoint, lambda client: client.launch_code())
    print(f"{endpoint.url}/ui/login#code={code.code}")
    print(f"(works once, within {code.expires_s:g} s)", file=sys.stderr)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from atp_console.launch import ask
    from atp_console.summary import status_lines

    engine = ask(_running_endpoint(arguments), lambda client: client.status())
    print("\n".join(status_lines(engine)))
    return 0


def _running_endpoint(arguments: argparse.Namespace) -> Endpoint:
    from atp_console.launch import running

    _, paths = _places(arguments)
    found = running(paths.data_dir)
    if found is None:
        raise Refused(f"no engine answers for {paths.data_dir}; start one with: atp-console serve")
    return found[0]


def _check(arguments: argparse.Namespace) -> int:
    from atp_engine.config.load import load
    from atp_engine.config.secrets import resolve_all
    from atp_engine.providers.registry import kinds

    environment, paths = _places(arguments)
    loaded = load(arguments.file or paths.config_file, kinds(), environment.aliases)
    _, problems = resolve_all(loaded.config, loaded.path, environment)
    for problem in (*loaded.warnings, *loaded.notices, *problems):
        print(problem, file=sys.stderr)
    config = loaded.config
    print(
        f"{loaded.path}: ok - {len(config.providers)} providers, {len(config.deployments)} deployments, "
        f"{len(config.routes)} routes"
    )
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    from atp_engine.config.schema import schema_text

    print(schema_text(), end="")
    return 0


def _version(arguments: argparse.Namespace) -> int:
    from importlib.metadata import version

    print(f"atp-console {version('atp-console')}")
    return 0
