"""A config file is taken whole or refused with every problem at its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.config.load import environment, load, parse
from atp_engine.core.errors import ConfigError, ConfigProblem

KINDS = ("openai", "anthropic", "custom", "simulated")
GOOD = """
[providers.sim]
kind = "simulated"
[deployments.a]
provider = "sim"
model = "sim-fast"
[deployments.b]
provider = "sim"
model = "sim-large"
[routes.auto]
deployments = ["a", { deployment = "b", weight = 2 }]
strategy = "weighted"
"""


def problems(text: str) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("atp.toml"), KINDS)
    return caught.value.problems


def told(text: str) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.key) for problem in problems(text)]


def test_a_good_file_becomes_a_frozen_tree_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "atp.toml"
    path.write_text(GOOD)
    loaded = load(path, KINDS)
    assert loaded.text == GOOD
    assert loaded.config.deployments["a"].model == "sim-fast"
    assert loaded.config.routes["auto"].strategy == "weighted"
    assert loaded.warnings == ()


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        '[server]\nport = 99999\nhsot = "x"\n'
        '[providers.p]\nknid = "openai"\n'
        '[deployments.a]\nprovider = "q"\nmodel = ""\n'
        '[routes.auto]\ndeployments = ["a", "b"]\n'
    )
    assert told(text) == [
        (2, 8, "server.port"),
        (3, 1, "server.hsot"),
        (4, 12, "providers.p.kind"),
        (5, 1, "providers.p.knid"),
        (7, 12, "deployments.a.provider"),
        (8, 9, "deployments.a.model"),
        (10, 21, "routes.auto.deployments[1]"),
    ]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[server]\nhsot = 1", "unknown key", "did you mean host?"),
        ("port = 1", "unknown key", "it belongs to [server]"),
        ("[providers.p]\nkind = 'antropic'", 'there is no provider kind "antropic"', "did you mean anthropic?"),
        ("[providers.p]\nkind = 'zzz'", 'there is no provider kind "zzz"', "known kinds: anthropic"),
        ("[providers.p.timeouts]\nttfs_s = 1\n[providers.p]\nkind = 'openai'", "unknown key", "did you mean ttft_s?"),
        ("[routes.r]\ndeployments = [{ deploymnt = 'a' }]", "unknown key", "did you mean deployment?"),
        ("[logging]\nlevel = 'wraning'", "must be one of debug, info, warning, error", "did you mean warning?"),
        ("[server]\nport = '7443'", "must be a whole number, not text", ""),
        ("[server]\nport = 1.5", "must be a whole number, not a number with a point", ""),
        ("[server]\nport = true", "must be a whole number, not true or false", ""),
        ("[server]\nport = -1", "must be at least 0", ""),
        ("[server]\nport = 70000", "must be at most 65535", ""),
        ("[server]\nis_metrics_public = 1", "must be true or false, not a whole number", ""),
        ("[timeouts]\nttft_s = nan", "must be a finite number", ""),
        ("[timeouts]\nttft_s = inf", "must be a finite number", ""),
        ("[timeouts]\nttft_s = -inf", "must be a finite number", ""),
        ("server = 3", "must be a table, not a whole number", ""),
        ("[[server]]\nport = 1", "must be a table, not a list", ""),
        ("[routes.r]\ndeployments = 'a'", "must be a list in [ ], not text", ""),
        ("[routes.r]\ndeployments = []", "must not be empty", ""),
        ("[deployments.'a b']\nprovider = 'p'\nmodel = 'm'", "this name is not possible: it may hold", ""),
        ("[deployments.'']\nprovider = 'p'\nmodel = 'm'", "this name is not possible: it may hold", ""),
        ("[providers.'a/b']\nkind = 'openai'", "a provider's name may not hold /", "clients ask for provider/model"),
        ("[providers.p]\nkind = 'custom'", "a provider of kind custom needs a base_url", ""),
        ("[providers.p]\nkind = 'openai'\nbase_url = 'ftp://x'", "must begin with http:// or https://", ""),
        ("[providers.p]\nkind = 'openai'\nbase_url = 'http://x:99999'", "is not a URL with a valid host and port", ""),
        ("[providers.p]\nkind = 'openai'\nbase_url = 'http://x/v1?a=b'", "may not have a ? or # part", ""),
        ("[providers.p]\nkind = 'openai'\napi_key = 'MY_KEY'", "must be env:NAME, file:PATH or keyring:", ""),
        ("[providers.p]\nkind = 'openai'\nmodels = ['']", "must be a model name or pattern", ""),
        ("[providers.p]\nkind = 'openai'\nheaders = { 'a b' = 'x' }", "is not a header name", ""),
        ("[providers.p]\nkind = 'openai'\nheaders = { x-api-key = 'x' }", "carries a credential", "use api_key"),
        ("[providers.p]\nkind = 'openai'\nheaders = { Host = 'x' }", "is set by the router itself", ""),
        ("[providers.p]\nkind = 'openai'\nheaders = { X = \"a\\nb\" }", "a header's value is printable ASCII", ""),
        ("a = 1\na = 2", "not valid TOML: cannot overwrite a value", ""),
        ("a = [1", "not valid TOML: unclosed array", ""),
        ("a = abc", "not valid TOML: invalid value", "text is written in quotes"),
        ("a = " + "9" * 5_000, "is not valid TOML: a number is too long", ""),
        ("a = " + "[" * 50_000, "is nested deeper than 32 levels", ""),
        ("a = " + "[" * 40 + "]" * 40, "is nested deeper than 32 levels", ""),
        ("a" + ".a" * 200_000 + " = 1", "a key has more than 64 parts", ""),
        ("a = 1\x00", "not valid TOML", ""),
    ],
)
def test_problems_are_in_plain_words_with_a_hint(text: str, message: str, hint: str) -> None:
    assert any(message in found.message and hint in found.hint for found in problems(text))


def test_a_route_names_unknown_and_repeated_deployments() -> None:
    text = GOOD.replace('["a", {', '["a", "a", "bb", {')
    first, second = problems(text)
    assert 'names deployment "a" twice' in first.message
    assert 'there is no deployment "bb"' in second.message


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"',
        'api_key = "gsk_abcdefghijklmnopqrstuvwxyz0123"',
        'headers = { X-Token = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz" }',
        'base_url = "https://kim:abcdefghijklmnop@host/v1"',
        'base_url = "https://host/v1?key=abcdefghijklmnop"',
        'proxy = "http://kim:abcdefghijklmnop@host"',
        'models = ["sk-ant-api03-abcdefghijklmnopqrstuvwxyz"]',
        'kind = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"',
    ],
)
def test_a_credential_in_the_file_is_refused_and_never_repeated(line: str) -> None:
    kind = "" if line.startswith("kind") else 'kind = "openai"\n'
    found = problems(f"[providers.p]\n{kind}{line}\n")
    assert "abcdefghijklmnop" not in str(ConfigError(found))
    assert any("credential" in problem.message or "?" in problem.message for problem in found)
    assert found[0].line == (2 if not kind else 3)


def test_many_problems_are_cut_and_counted() -> None:
    found = problems("\n".join(f"k{number} = 1" for number in range(300)))
    assert len(found) == 101
    assert found[-1].message == "and 200 further problems"


def test_warnings_do_not_refuse_the_file() -> None:
    text = (
        GOOD.replace('strategy = "weighted"', "")
        + '[routes.b]\ndeployments = ["a"]\n'
        + '[server]\nhost = "0.0.0.0"\n'
        + '[providers.far]\nkind = "openai"\nbase_url = "http://api.example.com/v1"\napi_key = "env:X"\nseed = 1\n'
    )
    keys = [problem.key for problem in parse(text, Path("atp.toml"), KINDS).warnings]
    assert keys == ["routes.auto.deployments[1].weight", "routes.b", "server.host", "providers.far.base_url",
                    "providers.far.seed"]  # fmt: skip


def test_a_route_may_carry_the_name_of_a_deployment_that_it_uses() -> None:
    text = GOOD + '[routes.a]\ndeployments = ["a", "b"]\n'
    assert parse(text, Path("atp.toml"), KINDS).warnings == ()


def test_paths_in_the_file_count_from_its_directory(tmp_path: Path) -> None:
    text = '[logging]\nfile = "logs/engine.log"\n[providers.p]\nkind = "openai"\nca_file = "/etc/ca.pem"\n'
    config = parse(text, tmp_path / "atp.toml", KINDS).config
    assert config.logging.file == str(tmp_path / "logs" / "engine.log")
    assert config.providers["p"].ca_file == "/etc/ca.pem"


@pytest.mark.parametrize("start", ["\ufeff", ""])
def test_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path, start: str) -> None:
    path = tmp_path / "atp.toml"
    written = start + GOOD.replace("\n", "\r\n")
    path.write_bytes(written.encode())
    loaded = load(path, KINDS)
    assert loaded.text == written, "kept as it stands, for the history and for edits"
    assert loaded.config == parse(GOOD, path, KINDS).config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\n" * 200_000, "is larger than 1 MiB"),
        ("a = 1".encode("utf-16"), "is UTF-16 text"),
        (b"\x7fELF\x00\x01", "is a binary file"),
        (b'a = "\xff"', "this byte is not UTF-8 text"),
    ],
)
def test_what_is_no_text_file_is_told_plainly(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "atp.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_the_wrong_byte_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "atp.toml"
    path.write_bytes('ä = 1\nb = "'.encode() + b"\xff")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 6)


def test_missing_files_directories_links_and_pipes_are_told_plainly(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, message in [("none", "does not exist"), (".", "is a directory|is not a file"), ("pipe", "is not a file"),
                          ("loop", "leads nowhere")]:  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            load(tmp_path / name)


def test_names_from_the_file_cannot_forge_output() -> None:
    found = problems('[deployments.a]\nprovider = "\\u001b]52;c;x\\u0007\\u202e"\nmodel = "m"')
    assert "\x1b" not in str(found[0])
    assert "\u202e" not in str(found[0])


@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused_and_nothing_else(text: str) -> None:
    try:
        parse(text, Path("atp.toml"), KINDS)
    except ConfigError as wrong:
        assert wrong.problems


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "x", "deployment"]), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(["server", "providers", "deployments", "routes"]),
    st.sampled_from(["p", "port", "deployments", "headers", "a"]),
    st.sampled_from(["kind", "base_url", "deployments", "headers", "models", "provider"]),
    values,
)
def test_any_value_in_any_place_is_taken_or_refused(section: str, name: str, key: str, value: object) -> None:
    def clean(node: object) -> object:
        if isinstance(node, dict):
            return {inner: clean(child) for inner, child in node.items() if child is not None}
        return [clean(child) for child in node if child is not None] if isinstance(node, list) else node

    if value is None:
        return
    try:
        parse(tomlkit.dumps({section: {name: {key: clean(value)}}}), Path("atp.toml"), KINDS)
    except ConfigError as wrong:
        assert all(problem.line >= 1 for problem in wrong.problems)


def test_the_environment_is_read_once_and_does_not_print_its_values() -> None:
    read = environment()
    assert read.home.is_absolute()
    assert read.has("PATH")
    assert "PATH" not in repr(read)
