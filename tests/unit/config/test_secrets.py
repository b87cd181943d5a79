"""References become credentials that cannot be printed; what cannot be had is told without its value."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

from atp_engine.config.load import Environment, environment, parse
from atp_engine.config.secrets import Secret, resolve, resolve_all
from atp_engine.core.errors import ConfigError

VALUE = "sk-abcdefghij0123456789"


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    variables = {"GOOD": VALUE, "EMPTY": "", "BLANK": f"{VALUE} {VALUE}", "LINE": f"{VALUE}\nX: y", "WIDE": "schlüssel"}
    return dataclasses.replace(environment(), home=tmp_path / "home", variables=variables)


def test_a_secret_tells_its_value_only_when_asked() -> None:
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    assert VALUE not in f"{secret} {secret!r} {secret:>50} {[secret]} {vars}"
    assert secret == Secret(VALUE)
    assert secret != Secret("other")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_the_environment_a_file_and_the_keyring_are_read(tmp_path: Path, env: Environment) -> None:
    for name, text in [("key", VALUE), ("key-line", f"{VALUE}\n"), ("key-crlf", f"{VALUE}\r\n")]:
        file = tmp_path / name
        file.write_text(text, newline="")
        file.chmod(0o600)
        assert resolve(f"file:{name}", tmp_path, env).reveal() == VALUE
        assert resolve(f"file:{file}", Path("/elsewhere"), env).reveal() == VALUE
    (tmp_path / "home").mkdir()
    (tmp_path / "key").rename(tmp_path / "home" / "key")
    assert resolve("file:~/key", tmp_path, env).reveal() == VALUE
    assert resolve("env:GOOD", tmp_path, env).reveal() == VALUE
    kept = {("atp", "team/openai"): VALUE}
    assert resolve("keyring:atp/team/openai", tmp_path, env, lambda *place: kept.get(place)).reveal() == VALUE


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:MISSING", "environment variable MISSING is not set"),
        ("env:EMPTY", "environment variable EMPTY is empty"),
        ("env:BLANK", "holds blanks or characters that no header can carry"),
        ("env:LINE", "holds blanks or characters that no header can carry"),
        ("env:WIDE", "holds blanks or characters that no header can carry"),
        ("file:none", "does not exist"),
        ("file:.", "is not a file|Is a directory"),
        ("file:open", "can be read by other users .chmod 600"),
        ("file:binary", "holds characters that no header can carry"),
        ("file:huge", "is larger than 64 KiB"),
        ("file:two", "holds blanks or characters"),
        ("keyring:atp/none", "keyring entry atp/none does not exist"),
        ("vault:x", "must be env:NAME, file:PATH or keyring:SERVICE/NAME"),
        ("", "must be env:NAME, file:PATH or keyring:SERVICE/NAME"),
    ],
)
def test_what_cannot_be_had_is_told_without_its_value(
    tmp_path: Path, env: Environment, reference: str, message: str
) -> None:
    contents = {"open": VALUE.encode(), "binary": b"\xff" + VALUE.encode(), "huge": b"x" * 70_000,
                "two": f"{VALUE}\n{VALUE}\n".encode()}  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o600)
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(reference, tmp_path, env, lambda *_: None)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert VALUE not in repr(chain)
        chain = chain.__cause__


def test_without_the_keyring_library_the_message_says_how_to_get_it(tmp_path: Path, env: Environment) -> None:
    with pytest.raises(ConfigError, match="keyring"):
        resolve("keyring:atp-console-test/none", tmp_path, env)


def test_one_missing_credential_does_not_hide_the_others(tmp_path: Path, env: Environment) -> None:
    text = "".join(
        f'[providers.{name}]\nkind = "openai"\napi_key = "env:{variable}"\n'
        for name, variable in [("a", "GOOD"), ("b", "MISSING"), ("c", "EMPTY")]
    )
    config = parse(text + '[providers.d]\nkind = "ollama"\n', tmp_path / "atp.toml").config
    secrets, problems = resolve_all(config, tmp_path / "atp.toml", env)
    assert list(secrets) == ["a"]
    assert [problem.key for problem in problems] == ["providers.b.api_key", "providers.c.api_key"]
