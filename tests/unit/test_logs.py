"""The log is one JSON object per line and never tells what it must not."""

from __future__ import annotations

import io
import json
import logging
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atp_engine.core.errors import ConfigError, UpstreamUnreachable
from atp_engine.logs import JsonFormatter, LogSink, configure, redact

KEY = "sk-abcdefghij0123456789ABCDEFGHIJ"
log = logging.getLogger("atp_engine.test_logs")


class Ticks:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


class Capture:
    """A configured log and what it wrote."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.clock = Ticks()
        self.sink: LogSink = configure("info", stream=self.stream, monotonic=self.clock)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def capture() -> Iterator[Capture]:
    captured = Capture()
    yield captured
    captured.sink.close()


def test_a_record_is_one_json_object_with_the_request_id(capture: Capture) -> None:
    log.info("request %s done", "x", extra={"request_id": "req_1", "tries": 2, "is_stream": True, "cost": 0.5})
    (line,) = capture.lines
    assert line["event"] == "request x done"
    assert (line["request_id"], line["tries"], line["is_stream"], line["cost"]) == ("req_1", 2, True, 0.5)
    assert line["level"] == "info"
    assert line["at"].endswith("Z")


def test_credentials_are_gone_from_message_arguments_fields_and_errors(capture: Capture) -> None:
    try:
        raise ValueError(f"bad header Authorization: Bearer {KEY}")
    except ValueError:
        log.exception("call with %s", KEY, extra={"api_key": "letters", "headers": {"cookie": f"sid={KEY}"}})
    text = capture.stream.getvalue()
    assert KEY not in text
    assert "letters" not in text
    assert KEY[3:] not in text


def test_forged_lines_and_terminal_sequences_do_not_get_through(capture: Capture) -> None:
    log.info("model %s", 'x\n{"level":"error"}\r\n\x1b]52;c;aGk=\x07\x1b[31mred\u202e\ud800')
    text = capture.stream.getvalue()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\u202e" not in capture.lines[0]["event"]
    assert capture.lines[0]["event"].endswith("red")


def test_our_own_bug_keeps_its_places_and_an_expected_failure_does_not(capture: Capture) -> None:
    try:
        dict[str, int]()["missing"]
    except KeyError:
        log.exception("bug")
    try:
        raise UpstreamUnreachable("no answer") from OSError("refused")
    except UpstreamUnreachable:
        log.warning("upstream", exc_info=True)
    bug, expected = capture.lines
    assert bug["error"] == "KeyError: 'missing'"
    assert bug["trace"][-1].split(":")[0].endswith("unit/test_logs.py")
    assert "trace" not in expected
    assert expected["cause"] == "OSError: refused"


@pytest.mark.parametrize("argument", ["text", None, object()])
def test_wrong_arguments_are_told_instead_of_raising(argument: object) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d items", (argument,), None)
    assert "do not fit" in json.loads(JsonFormatter().format(record))["event"]


def test_huge_values_are_cut(capture: Capture) -> None:
    log.info("x" * 1_000_000, extra={"body": "y" * 1_000_000, "number": 10**5000})
    assert len(capture.stream.getvalue()) < 12_000


def test_a_place_that_floods_is_held_back_and_says_so(capture: Capture) -> None:
    for step in range(60):
        if step == 50:
            capture.clock.at = 11.0
        log.warning("again")
    assert len(capture.lines) == 30
    assert capture.sink.suppressed == 30
    assert capture.lines[20]["suppressed"] == 30


def test_python_warnings_become_records(capture: Capture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("old way", DeprecationWarning, "x.py", 1)
    assert "old way" in capture.lines[0]["event"]


def test_levels_are_as_asked_and_restored_afterwards() -> None:
    root = logging.getLogger()
    before, handlers = root.level, list(root.handlers)
    sink = configure("error", stream=(stream := io.StringIO()))
    log.warning("not shown")
    logging.getLogger("uvicorn").info("not shown")
    sink.close()
    assert stream.getvalue() == ""
    assert (root.level, root.handlers) == (before, handlers)


def test_the_file_is_private_and_set_aside_when_full(tmp_path: Path) -> None:
    file = tmp_path / "engine.log"
    ticks = Ticks()
    sink = configure("info", file, max_file_bytes=4_000, kept_files=2, monotonic=ticks)
    for number in range(100):
        ticks.at += 1
        log.info("line %d %s", number, "x" * 200)
    sink.close()
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert all(path.stat().st_size <= 4_000 for path in files)
    assert json.loads(file.read_text().splitlines()[-1])["event"].startswith("line 99 ")


def test_a_file_that_cannot_be_written_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logging\.file: .* cannot be written"):
        configure("info", tmp_path / "missing" / "engine.log")


def test_a_stream_that_fails_is_counted_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    sink = configure("info", stream=Full())
    log.info("lost")
    sink.close()
    assert sink.dropped == 1
    assert capsys.readouterr().err == ""


def test_redact_is_offered_here_too() -> None:
    assert redact(f"key {KEY}") == "key sk-***"
