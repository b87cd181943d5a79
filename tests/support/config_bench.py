"""The config's service over a real file and a real database, without the engine around it.

async with config_bench(folder) as bench:
    await bench.configuration.set("limits.max_parallel", "3", WISH)
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from atp_engine.config.edit import edited
from atp_engine.config.files import ConfigFiles
from atp_engine.config.load import environment, load
from atp_engine.providers.aiohttp_transport import AiohttpTransport
from atp_engine.providers.registry import kinds
from atp_engine.services.assembly import Assembly
from atp_engine.services.configuration import Configuration, Wish
from atp_engine.services.configuration_books import Books
from atp_engine.services.configuration_stage import Stage
from atp_engine.services.runtime import Runtime
from atp_engine.storage.config_history import ConfigRepository
from atp_engine.storage.config_traffic import ConfigTraffic
from atp_engine.storage.database import Database
from atp_engine.system import SystemClock

WISH = Wish("test")


@dataclass
class Bench:
    """A config that can be changed, and what was said of it."""

    configuration: Configuration
    stage: Stage
    database: Database
    file: Path
    taken: list[Runtime] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notices: list[tuple[str, str, str]] = field(default_factory=list)


@asynccontextmanager
async def config_bench(folder: Path) -> AsyncIterator[Bench]:
    """The service on `folder/atp.toml` and `folder/atp.db`."""
    file = folder / "atp.toml"
    clock = SystemClock()
    database = Database.open(folder / "atp.db", clock)
    here = replace(environment(), home=folder)
    files = ConfigFiles(file, kinds(), (), lambda loaded: loaded, edited)
    loaded = load(file, kinds())
    books = Books(ConfigRepository(database), clock)
    assembly = Assembly(clock, AiohttpTransport)
    taken: list[Runtime] = []
    stage = Stage(here, assembly, loaded, books.version_of(files.named(loaded.files)), taken.append)
    said: list[Bench] = []

    def say(problems: tuple[str, ...], warnings: tuple[str, ...]) -> None:
        for bench in said:
            bench.problems, bench.warnings = problems, warnings

    notices: list[tuple[str, str, str]] = []
    configuration = Configuration(
        files, stage, books, ConfigTraffic(database), say, lambda *notice: notices.append(notice)
    )
    said.append(Bench(configuration, stage, database, file, taken, notices=notices))
    await configuration.open()
    try:
        yield said[0]
    finally:
        await assembly.aclose()
        await database.aclose()


def large_config(deployments: int, *, max_parallel: int = 100) -> str:
    """A config with so many deployments behind ten providers, ten to a route."""
    text = f"[server]\nport = 0\n\n[limits]\nmax_parallel = {max_parallel}\n"
    for number in range(10):
        text += f'\n[providers.p{number}]\nkind = "custom"\nbase_url = "http://127.0.0.1:{9000 + number}/v1"\n'
    for number in range(deployments):
        text += (
            f'\n[deployments.d{number}]\nprovider = "p{number % 10}"\nmodel = "m{number}"\n'
            f"context_tokens = {8_000 + number}\nprice = {{ input = {1 + number % 5}, output = {5 + number % 7} }}\n"
        )
    for number in range(deployments // 10):
        listed = ", ".join(f'"d{number * 10 + place}"' for place in range(10))
        text += f"\n[routes.r{number}]\ndeployments = [{listed}]\n"
    return text


def mutated(text: str, rng: random.Random) -> bytes:
    """The text with one to three random edits: of bytes, of lines, or of values."""
    content = text.encode()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) or 1)
        lines = content.split(b"\n")
        line = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
            case 1:
                content = content[:at] + content[at + rng.randint(1, 40) :]
            case 2:
                content = content[:at] + rng.randbytes(rng.randint(1, 8)) + content[at:]
            case 3:
                lines.insert(line, lines[rng.randrange(len(lines))])
                content = b"\n".join(lines)
            case 4:
                del lines[line]
                content = b"\n".join(lines)
            case 5:
                key, sign, _ = lines[line].partition(b"=")
                lines[line] = key + sign + b" " + rng.choice(_VALUES) if sign else lines[line]
                content = b"\n".join(lines)
            case 6:
                other = rng.randrange(len(lines))
                lines[line], lines[other] = lines[other], lines[line]
                content = b"\n".join(lines)
            case _:
                content = content[:at]
    return content


_VALUES = (
    b"-1", b"0", b"1e400", b"nan", b'""', b'"x"', b"true", b"[]", b"{}", b"[[1]]", b"99999999999999999999", b"0x1F",
    b"1979-05-27", b'"env:HOME"', b'"\\u0000"', b"'''x'''", b"{ a = 1 }", b'["example", "example"]', b"9" * 5000,
)  # fmt: skip
