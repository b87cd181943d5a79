"""The window an Ollama server is asked for: as much as a prompt needs, never what somebody else has set."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atp_engine.dialects.ollama_context import SERVERS_OWN, with_window

LONG = "word " * 8_000  # about ten thousand tokens


def _asked(text: str = LONG, *, context: int = 0, num_ctx: int | None = None, **options: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "options": options, "odd": 1}
    sent = json.loads(with_window(json.dumps(body).encode(), context, num_ctx))
    assert sent | {"options": None} == body | {"options": None}
    found: dict[str, Any] = sent["options"]
    return found


def test_a_window_grows_with_the_prompt_and_stays_within_the_models() -> None:
    assert _asked("hi") == {}
    window = _asked(temperature=0.5)["num_ctx"]
    assert window > 10_000
    assert window & (window - 1) == 0, "steps, or every call would load the model again"
    assert _asked("hi", num_predict=SERVERS_OWN)["num_ctx"] == 2 * SERVERS_OWN
    assert _asked(context=9_000)["num_ctx"] == 9_000
    assert _asked(context=131_072)["num_ctx"] == window


def test_what_the_client_or_the_config_says_counts() -> None:
    assert _asked(num_ctx=0) == {}
    assert _asked("hi", num_ctx=32_768)["num_ctx"] == 32_768
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": LONG}], "options": {"num_ctx": 512}})
    assert with_window(body.encode(), 0, 32_768) == body.encode()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"options":1}', b'{"model":"m","messages":[]}'])
def test_what_cannot_be_read_goes_as_it_is(body: bytes) -> None:
    assert with_window(body, 0, None) == body
    assert with_window(b'{"model":"m"}', 0, 8_192) == b'{"model":"m","options":{"num_ctx":8192}}'
