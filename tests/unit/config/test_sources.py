"""Several files and old names make one config; what is odd is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from atp_engine.config.legacy import aliases
from atp_engine.config.load import load, parse
from atp_engine.core.errors import ConfigError

KINDS = frozenset(["simulated", "openai"])
MAIN = """\
[providers.sim]
kind = "simulated"

[deployments.a]
provider = "sim"
model = "sim-instant"
"""


def test_fragments_are_joined_and_every_complaint_names_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "atp.toml").write_text(MAIN)
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "b.toml").write_text('[deployments.b]\nprovider = "sim"\nmodel = "sim-fast"\n')
    (folder / "c.toml").write_text('\ufeff[routes.auto]\r\ndeployments = ["a", "b"]\r\n')
    for ignored in (".hidden.toml", "note.txt", "old.toml~"):
        (folder / ignored).write_text("[[[")
    loaded = load(tmp_path / "atp.toml", KINDS)
    assert loaded.config.routes["auto"].deployments == ("a", "b")
    assert [file.path.name for file in loaded.files] == ["atp.toml", "b.toml", "c.toml"]
    (folder / "b.toml").write_text('[deployments.b]\nprovider = "sum"\nmodel = 3\n')
    (folder / "d.toml").write_text('\n[providers.sim]\nkind = "openai"\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "atp.toml", KINDS)
    (twice,) = caught.value.problems
    assert (twice.path, twice.line, twice.key) == (str(folder / "d.toml"), 3, "providers.sim.kind")
    assert f"{tmp_path / 'atp.toml'}:2 already" in twice.message
    (folder / "d.toml").write_text("[limits]\nmax_parallel = 0\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "atp.toml", KINDS)
    places = [(Path(problem.path).name, problem.line) for problem in caught.value.problems]
    assert places == [("b.toml", 2), ("b.toml", 3), ("d.toml", 2)]
    (folder / "d.toml").write_text("[limits\n")
    with pytest.raises(ConfigError, match=r"d\.toml:1:"):
        load(tmp_path / "atp.toml", KINDS)


def test_old_variables_stand_for_keys_that_the_file_does_not_state() -> None:
    old = aliases(
        {
            "ROUTER_PORT": "8080",
            "ROUTER_LOG_LEVEL": "debug",
            "ROUTER_TIMEOUTS_IDLE_S": "7",
            "ROUTER_SERVER_IS_METRICS_PUBLIC": "TRUE",
            "ROUTER_MAX_PARALLEL": "",
            "ROUTER_SOMETHING_ELSE": "x",
            "PATH": "/bin",
        }
    )
    loaded = parse("[logging]\nlevel = 'error'\n" + MAIN, Path("atp.toml"), KINDS, (), old)
    config = loaded.config
    assert (config.server.port, config.server.is_metrics_public, config.timeouts.idle_s) == (8080, True, 7.0)
    assert config.logging.level == "error", "the file wins"
    assert len(loaded.notices) == 4
    assert "ROUTER_LOG_LEVEL is ignored: the file states logging.level; remove the variable" in loaded.notices
    assert "ROUTER_PORT is an old name; state server.port in the file instead" in loaded.notices
    with pytest.raises(ConfigError, match=r"server\.port"):
        parse(MAIN, Path("atp.toml"), KINDS, (), aliases({"ROUTER_PORT": "many"}))


@pytest.mark.parametrize(
    ("extra", "key", "message"),
    [
        ("price = { input = 0.000003, output = 0.000015 }", "deployments.a.price.input", "looks like a price for one"),
        ("price = { input = 3000, output = 15000 }", "deployments.a.price.input", "far above"),
        ("price = { input = 3, output = 15, cache_read = 4 }", "deployments.a.price.cache_read", "more than a fresh"),
        ("price = { input = 15, output = 3 }", "deployments.a.price.output", "much less than the input"),
        ('is_enabled = false\n[routes.x]\ndeployments = ["a"]', "routes.x.deployments", "reaches nothing"),
        ('[routes.x]\ndescription = "for ${USER}"\ndeployments = ["a"]', "routes.x.description", "taken as it stands"),
    ],
)
def test_what_is_possible_and_hardly_meant_is_a_warning_at_its_line(extra: str, key: str, message: str) -> None:
    warnings = parse(f"{MAIN}{extra}\n", Path("atp.toml"), KINDS).warnings
    found = next(warning for warning in warnings if warning.key == key)
    assert message in found.message and found.line >= 7 and found.is_warning


@pytest.mark.parametrize("name", ["auto", "other"])
def test_routes_cannot_go_in_a_circle(name: str) -> None:
    text = f'{MAIN}[routes.auto]\ndeployments = ["{name}"]\n[routes.other]\ndeployments = ["auto"]\n'
    with pytest.raises(ConfigError, match="a route lists deployments") as caught:
        parse(text, Path("atp.toml"), KINDS)
    assert {problem.line for problem in caught.value.problems} == {8, 10}
