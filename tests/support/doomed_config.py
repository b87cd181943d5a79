"""Processes that end themselves at a named step of an apply, one after the other.

Run as `python doomed_config.py FOLDER ACT-STEP...`: FOLDER/ACT-STEP must hold an `atp.toml`; a child applies
`new.toml` there by ACT (`apply` as a face does, `file` as an editor does) and is killed at the step.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.config_bench import WISH, config_bench


async def _doomed(folder: Path, act: str, doom: str) -> None:
    async with config_bench(folder) as bench:

        def step(name: str) -> None:
            if name == doom:
                os.kill(os.getpid(), signal.SIGKILL)

        bench.configuration.on_step = step
        text = (folder / "new.toml").read_text()
        if act == "file":
            bench.file.write_text(text)
            await bench.configuration.reload()
        else:
            await bench.configuration.apply(text, "", WISH)


def main(folder: Path, dooms: list[str]) -> None:
    """Prints how each child ended: the signal's number, negative."""
    for doom in dooms:
        child = os.fork()
        if child == 0:
            act, _, step = doom.partition("-")
            asyncio.run(_doomed(folder / doom, act, step))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
