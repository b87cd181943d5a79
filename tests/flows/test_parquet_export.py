"""`atp-console ledger export --format parquet`: written and read back, or a plain line that says what to install."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from pathlib import Path

import pytest

from atp_console.cli import main
from tests.support.running import SIMULATED, running

HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


@pytest.mark.skipif(not HAS_ARROW, reason="pyarrow is not installed: its wheel has 55 MB, pip install '.[parquet]'")
async def test_the_lines_are_written_as_parquet_and_read_back(tmp_path: Path) -> None:
    target = tmp_path / "lines.parquet"
    async with running(tmp_path, SIMULATED) as engine:
        asked = [(await engine.post("/v1/chat/completions", BODY)).headers["x-atp-request-id"] for _ in range(3)]
        words = ["ledger", "--data-dir", str(engine.paths.data_dir)]
        assert await asyncio.to_thread(main, [*words, "export", "--format", "parquet", "--output", str(target)]) == 0
        lines = (await engine.admin("GET", "/admin/ledger")).json()["lines"]
    table = importlib.import_module("pyarrow.parquet").read_table(target)
    assert table.to_pylist() == lines
    assert [line["request_id"] for line in lines] == asked
    kinds = {name: str(table.schema.field(name).type) for name in ("line", "started_at", "cost_nusd", "is_estimated")}
    assert kinds == {"line": "int64", "started_at": "double", "cost_nusd": "int64", "is_estimated": "bool"}


@pytest.mark.skipif(HAS_ARROW, reason="pyarrow is installed")
def test_without_the_extra_a_plain_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ledger", "--data-dir", str(tmp_path), "export", "--format", "parquet", "--output", str(tmp_path / "x")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "pip install 'atp-console[parquet]'" in said and "Traceback" not in said
