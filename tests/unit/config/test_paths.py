"""The product's files lie where XDG says and are private to their owner."""

from __future__ import annotations

import dataclasses
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atp_engine.config.load import Environment, environment
from atp_engine.config.paths import (
    create_private,
    default_paths,
    ensure_token,
    make_private_dir,
    prepare,
    write_private,
)
from atp_engine.core.errors import ConfigError


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return dataclasses.replace(
        environment(),
        config_home=tmp_path / "config",
        data_home=tmp_path / "data",
        runtime_dir=tmp_path / "run",
        config_file=None,
        data_dir=None,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_places_follow_xdg_and_can_be_moved(tmp_path: Path, env: Environment) -> None:
    paths = default_paths(env)
    assert paths.config_file == tmp_path / "config" / "atp-console" / "atp.toml"
    assert paths.admin_token == tmp_path / "data" / "atp-console" / "admin.token"
    moved = default_paths(dataclasses.replace(env, data_dir=tmp_path / "x", config_file=tmp_path / "y.toml"))
    assert moved.endpoint_file == tmp_path / "x" / "engine.json"
    assert moved.config_file == tmp_path / "y.toml"


def test_a_long_data_directory_gets_a_short_socket_of_its_own(env: Environment) -> None:
    env = dataclasses.replace(env, runtime_dir=Path("/run/user/7"), uid=7)
    long, other = Path("/x" * 60), Path("/y" * 60)
    sockets = [default_paths(dataclasses.replace(env, data_dir=path)).socket for path in (long, other)]
    assert sockets[0].parent == Path("/run/user/7/atp-console-7")
    assert sockets[0] != sockets[1]
    deep = dataclasses.replace(env, data_dir=long, runtime_dir=Path("/z" * 60))
    assert len(os.fsencode(default_paths(deep).socket)) <= 100
    assert default_paths(dataclasses.replace(env, data_dir=Path("/short"))).socket == Path("/short/engine.sock")


def test_directories_are_private_even_when_they_were_not(env: Environment) -> None:
    paths = default_paths(env)
    paths.data_dir.mkdir(parents=True, mode=0o755)
    prepare(paths)
    assert mode(paths.data_dir) == 0o700
    assert mode(paths.socket.parent) == 0o700


def test_a_file_in_the_place_of_a_directory_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a directory"):
        make_private_dir(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be made or used"):
        make_private_dir(tmp_path / "file" / "below")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65_534, 65_534)
    with pytest.raises(ConfigError, match="belongs to another user"):
        make_private_dir(tmp_path / "theirs")


def test_a_private_file_is_replaced_whole_and_created_once(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    assert create_private(path, b"one")
    assert not create_private(path, b"two")
    assert path.read_bytes() == b"one"
    write_private(path, b"three")
    assert path.read_bytes() == b"three"
    assert mode(path) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["engine.json"]


def test_a_token_is_made_once_with_256_bits_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "made" / "admin.token"
    token = ensure_token(path, "atp_admin_")
    assert token.startswith("atp_admin_")
    assert len(token) == len("atp_admin_") + 52
    assert ensure_token(path, "atp_admin_") == token
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert ensure_token(tmp_path / "made" / "client.key", "atp_key_") != token


def test_many_callers_at_once_get_one_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: ensure_token(tmp_path / "admin.token", "atp_"), range(32)))
    assert len(tokens) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["admin.token"]


@pytest.mark.parametrize("content", ["", "letmein", "atp_admin_short", "other_" + "a" * 52])
def test_a_file_that_holds_no_token_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "admin.token"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="does not hold a token"):
        ensure_token(path, "atp_admin_")
    assert path.read_text() == content


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    token = ensure_token(path, "atp_")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by other users") as caught:
        ensure_token(path, "atp_")
    assert token not in str(caught.value)
