"""The page of one request: its tabs, what went up, what can be done from it, and hostile text in all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from atp_console.screens.request import RequestScreen
from tests.support.console_driver import Driver, driven, on_top
from tests.support.console_scene import FAILOVER_ID, OPEN_ID, busy_source

Golden = Callable[[Driver, str], None]
_EVIL = "\x1b]52;c;aGFja2Vk\x07\x1b[2J\x1b[31m[bold red]markup[/] \u202egnp.exe\x9b31m שלום 👩‍🚀 日本語"


def _written(folder: Path) -> Any:
    return json.loads(next(folder.iterdir()).read_text())


def _is_harmless(text: str) -> bool:
    is_plain = not any(ord(one) < 32 and one != "\n" for one in text)
    return is_plain and not any(one in text for one in "\x9b\x9d\u202e\x7f")


async def test_every_tab_by_its_letter_at_every_size(golden: Golden) -> None:
    async with driven(busy_source(), size=(140, 40)) as console:
        await console.press("j", "j", "enter", "e")
        screen = on_top(console)
        assert isinstance(screen, RequestScreen)
        assert "63 events" in console.text()
        assert "done" in screen.events._source[-2][1][0] + screen.events._source[-1][1][0]
        golden(console, "request-raw")
        await console.press("f")
        for words in ("passed on in the client's own dialect", "left out logit_bias", "translated", "kept back", "***"):
            assert words in "\n".join("".join(text for text, _ in line) for line in screen.sent._source)
        golden(console, "request-sent-up")
        for size in ((80, 24), (60, 16)):
            await console.resize(*size)
            golden(console, "request-sent-up")
            await console.press("e")
            golden(console, "request-raw")
            await console.press("f")
        for letter, tab in zip("abcdef", ("overview", "why", "request", "response", "events", "sent"), strict=True):
            await console.press(letter)
            assert screen.tab == tab
            if tab in ("overview", "why"):
                golden(console, f"request-{tab}")
        await console.press("left_square_bracket")
        assert screen.tab == "sent", "another request stays in the tab"
        assert "No such request." in console.text()
        await console.press("e")
        assert "No body was kept" in console.text()


async def test_hostile_text_in_bodies_frames_and_headers_is_only_text(tmp_path: Path) -> None:
    source = busy_source()
    detail, sent = source.details[FAILOVER_ID], source.sent_views[FAILOVER_ID]
    frame = json.dumps({"choices": [{"delta": {"content": _EVIL}}]}, ensure_ascii=False)
    body = json.dumps({"model": _EVIL, "messages": [{"role": _EVIL, "content": _EVIL}]}, ensure_ascii=False)
    source.details[FAILOVER_ID] = msgspec.structs.replace(
        detail,
        request_body=body,
        response_body=f"event: {_EVIL}\ndata: {frame}\n\n: {_EVIL}\n\ndata: {_EVIL}" + "\n\n" + "x" * 21_000,
    )
    headers = tuple(msgspec.structs.replace(one, name=_EVIL, value=_EVIL) for one in sent.headers or ())
    call = msgspec.structs.replace(sent.calls[0], url=_EVIL, body=body, headers=headers, note=_EVIL, dialect=_EVIL)
    source.sent_views[FAILOVER_ID] = msgspec.structs.replace(
        sent, headers=headers, query=_EVIL, body=_EVIL, notes=(_EVIL,), calls=(call,)
    )
    async with driven(source, size=(80, 24), output_dir=tmp_path) as console:
        await console.press("j", "j", "enter")
        for letter in "bcdef":
            await console.press(letter)
            assert _is_harmless(console.text()), letter
        assert "[bold red]markup[/]" in console.text(), "markup is shown, not obeyed"
        await console.press("G")
        assert _is_harmless(console.text())
        await console.press("E", "j", "enter")
        written = _written(tmp_path)
        assert written["request"]["id"] == written["sent"]["request_id"] == FAILOVER_ID


async def test_what_is_not_known_yet_is_said_and_what_is_refused_can_be_asked_again() -> None:
    source = busy_source()
    async with driven(source, size=(80, 24)) as console:
        await console.press("j", "k", "enter", "f")
        screen = on_top(console)
        assert isinstance(screen, RequestScreen)
        assert screen.request_id == OPEN_ID
        assert "It is kept when the request is over." in console.text()
        await console.press("q", "q", "j", "j", "j", "j", "j", "enter", "d")
        assert "429 rate_limited: 60 requests a minute are used up." in console.text()
        await console.press("q", "q", "k", "k", "k", "enter")
        kept = source.sent_views.pop(FAILOVER_ID)
        await console.press("f")
        assert "No such request." in console.text()
        source.sent_views[FAILOVER_ID] = kept
        await console.press("a", "f")
        assert "attempt 1 gpt-5" in console.text()
