"""A machine without a config gets one that works at once, whatever answers on its ports."""

from __future__ import annotations

import dataclasses
import json
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.config.first_run import (
    LOCAL_SERVERS,
    SIMULATED_MODELS,
    VENDORS,
    Detection,
    FoundKey,
    FoundServer,
    detect,
    render,
    write_if_missing,
)
from atp_engine.config.load import Environment, environment, load, parse
from atp_engine.config.probe import MAX_ANSWER_BYTES, ask_for_models, read_models
from atp_engine.providers.registry import vendor
from atp_engine.providers.simulated_models import BUILT_IN

OLLAMA = LOCAL_SERVERS[0]
Answerer = Callable[[socket.socket], None]


def answer(models: list[object], owner: str = "library", status: str = "200 OK") -> bytes:
    rows = [{"id": model, "object": "model", "owned_by": owner} for model in models]
    body = json.dumps({"object": "list", "data": rows}).encode()
    return f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def saying(content: bytes) -> Answerer:
    def speak(client: socket.socket) -> None:
        client.recv(4_096)
        client.sendall(content)

    return speak


@contextmanager
def server(behave: Answerer) -> Iterator[int]:
    """A loopback server that treats its one client as told; what it raises on a gone client is ignored."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                client, _ = listener.accept()
                with client:
                    behave(client)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.close()
        thread.join(5)


@pytest.fixture
def env() -> Environment:
    return dataclasses.replace(environment(), variables={})


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_keys_and_servers_are_found_and_told_in_one_clause_each(env: Environment) -> None:
    env = dataclasses.replace(env, variables={"OPENAI_API_KEY": "x", "GOOGLE_API_KEY": "y", "GROQ_API_KEY": ""})
    with server(saying(answer(["llama3.2:3b", "nomic-embed-text"]))) as port:
        detection = detect(env, ports=[port, closed_port()], budget_s=5)
    assert detection.found == (
        "OpenAI key in OPENAI_API_KEY",
        "Gemini key in GOOGLE_API_KEY",
        f"Ollama at 127.0.0.1:{port} (2 models)",
    )
    config = parse(render(detection), Path("atp.toml")).config
    assert config.providers["gemini"].api_key == "env:GOOGLE_API_KEY"
    assert config.providers["ollama"].models == ("llama3.2:3b", "nomic-embed-text")
    assert config.routes["auto"].deployments == ("gpt-6.1-terra", "gemini-3.5-flash", "llama3.2:3b")


def test_nothing_found_gives_simulated_models_on_every_route() -> None:
    config = parse(render(Detection()), Path("atp.toml")).config
    assert list(config.providers) == ["simulated"]
    assert set(config.deployments) == set(SIMULATED_MODELS)
    assert set(config.routes) == {"auto", "fast", "best"}


def test_simulated_answers_never_stand_behind_a_real_provider() -> None:
    found = Detection(keys=(FoundKey(VENDORS[0], "ANTHROPIC_API_KEY"),))
    config = parse(render(found), Path("atp.toml")).config
    for route in ("auto", "fast", "best"):
        assert not set(config.routes[route].deployments) & set(SIMULATED_MODELS)
    assert config.routes["demo"].deployments == ("sim-balanced", "sim-fast")


def test_what_is_looked_for_is_known_to_the_registry() -> None:
    for known in VENDORS:
        row = vendor(known.kind)
        assert row is not None
        assert row.key_env in known.variables
    for server in LOCAL_SERVERS:
        row = vendor(server.kind)
        assert row is not None
        assert row.base_url.removesuffix("/v1") == f"http://127.0.0.1:{server.port}"  # Ollama has a dialect of its own
    assert set(SIMULATED_MODELS) <= BUILT_IN.keys()


names = st.from_regex(r"[A-Za-z0-9._:/@+-]{1,128}", fullmatch=True) | st.sampled_from(
    ["auto", "sim-fast", "demo", "/models/x.gguf", "gpt-6-luna"]
)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(VENDORS), unique=True),
    st.lists(
        st.tuples(st.sampled_from(LOCAL_SERVERS), st.integers(1, 65_535), st.lists(names, unique=True, max_size=20)),
        max_size=5,
        unique_by=lambda found: found[1],
    ),
)
def test_whatever_is_found_the_file_loads_without_a_warning(
    vendors: list[object], servers: list[tuple[object, int, list[str]]]
) -> None:
    detection = Detection(
        keys=tuple(FoundKey(vendor, vendor.variables[-1]) for vendor in VENDORS if vendor in vendors),
        servers=tuple(
            FoundServer(known, port, tuple(models))
            for known, port, models in servers
            if isinstance(known, type(OLLAMA))
        ),
    )
    loaded = parse(render(detection), Path("atp.toml"))
    assert loaded.warnings == ()
    assert all(route.deployments for route in loaded.config.routes.values())


def test_the_file_is_written_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "config" / "atp.toml"
    assert write_if_missing(path, Detection())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("# mine\n")
    assert not write_if_missing(path, Detection())
    assert path.read_text() == "# mine\n"
    assert load(path).text == "# mine\n"


def hang(client: socket.socket) -> None:
    client.recv(4_096)
    client.settimeout(5)
    client.recv(4_096)


def drip(client: socket.socket) -> None:
    for _ in range(100):
        client.sendall(b"H")
        time.sleep(0.02)  # the drip itself is what is tested


def flood(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        client.sendall(b"x" * 65_536)


def test_servers_that_hang_drip_or_flood_do_not_hold_the_start(env: Environment) -> None:
    with (
        server(hang) as first,
        server(drip) as second,
        server(flood) as third,
        server(saying(answer(["good"], "vllm"))) as fourth,
    ):
        began = time.monotonic()
        detection = detect(env, ports=[first, second, third, fourth], budget_s=0.3)
        took_s = time.monotonic() - began
    assert took_s < 1.0
    assert [(found.server.kind, found.models) for found in detection.servers] == [("vllm", ("good",))]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<html>hello</html>",
        b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.0 200 OK\r\nContent-Length: 999999999\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b'HTTP/1.0 200 OK\r\n\r\n{"data": 3}',
        b'HTTP/1.0 200 OK\r\n\r\n{"data": "ids"}',
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        answer(["x"], status="401 Unauthorized"),
    ],
)
def test_what_is_no_model_list_is_no_server(content: bytes) -> None:
    assert read_models(content) is None


def test_odd_model_names_are_left_out() -> None:
    odd: list[object] = ["a b", "x\n[server]", '"', "*", "sk-abcdefghij0123456789", "", 3, None, "x" * 200, "\u202e"]
    listed = read_models(answer([*odd, "good", "good"]))
    assert listed is not None
    assert listed.models == ("good",)


def test_an_endless_list_is_cut() -> None:
    listed = read_models(answer([f"m{number}" for number in range(1_000)]))
    assert listed is not None
    assert len(listed.models) == 64
    with server(saying(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * (2 * MAX_ANSWER_BYTES))) as port:
        assert ask_for_models([port], 5) == {}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_failure(content: bytes) -> None:
    read_models(b"HTTP/1.1 200 OK\r\n\r\n" + content)
    read_models(content)
