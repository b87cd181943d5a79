"""A quick look for model servers on this machine's loopback ports.

`config/first_run.py` calls it once, before there is a config. All ports are asked at the same time and the
whole look never takes longer than its budget; what answers is treated as hostile: bounded, and believed
only where it is a well-formed list of models.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from atp_engine.core.redact import holds_credential

MAX_ANSWER_BYTES = 262_144
MAX_MODELS = 64
_MODEL = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})\r\n", re.IGNORECASE)
# HTTP/1.0: the answer is not chunked and ends with the connection.
_QUESTION = "GET /v1/models HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ModelList:
    """What a server said it has; `owner` is the `owned_by` of its first model, empty when not said."""

    models: tuple[str, ...]
    owner: str


@dataclass(slots=True)
class _Call:
    port: int
    socket: socket.socket
    answer: bytearray = field(default_factory=bytearray)

    def is_complete(self) -> bool:
        head, separator, body = bytes(self.answer).partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if separator else None
        return length is not None and len(body) >= int(length[1])


def ask_for_models(ports: Iterable[int], budget_s: float) -> dict[int, ModelList]:
    """The model lists of the OpenAI-compatible servers on these ports of 127.0.0.1, within `budget_s`."""
    ends_at = time.monotonic() + budget_s
    calls: list[_Call] = []
    with selectors.DefaultSelector() as selector:
        try:
            for port in ports:
                call = _Call(port, socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                calls.append(call)
                call.socket.setblocking(False)
                call.socket.connect_ex(("127.0.0.1", port))
                selector.register(call.socket, selectors.EVENT_WRITE, call)
            while selector.get_map() and (left_s := ends_at - time.monotonic()) > 0:
                for key, _ in selector.select(left_s):
                    _go_on(selector, key.data)
        finally:
            for call in calls:
                call.socket.close()
    lists = {call.port: read_models(bytes(call.answer)) for call in calls}
    return {port: found for port, found in lists.items() if found is not None}


def read_models(answer: bytes) -> ModelList | None:
    """The models in a whole HTTP answer; None when it is anything but a well-formed list."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator or not re.match(rb"HTTP/1\.[01] 200\b", head):
        return None
    try:
        listed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    rows = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(rows, list):
        return None
    rows = [row for row in rows[:MAX_MODELS] if isinstance(row, dict) and _is_model_name(row.get("id"))]
    owner = rows[0].get("owned_by") if rows else ""
    names = dict.fromkeys(str(row["id"]) for row in rows)
    return ModelList(models=tuple(names), owner=owner if isinstance(owner, str) else "")


def _is_model_name(name: object) -> bool:
    return isinstance(name, str) and bool(_MODEL.fullmatch(name)) and not holds_credential(name)


def _go_on(selector: selectors.BaseSelector, call: _Call) -> None:
    """One step of a call: the question once connected, then what there is to read."""
    try:
        if selector.get_key(call.socket).events == selectors.EVENT_WRITE:
            call.socket.send(_QUESTION.format(port=call.port).encode())
            selector.modify(call.socket, selectors.EVENT_READ, call)
            return
        part = call.socket.recv(65_536)
        call.answer += part
        is_over = not part or len(call.answer) > MAX_ANSWER_BYTES or call.is_complete()
    except OSError:  # refused, reset: no server
        is_over = True
    if is_over:
        selector.unregister(call.socket)
