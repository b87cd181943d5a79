"""Windows that cannot be are refused with file, line and a hint; the others become what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from atp_engine.config.load import parse
from atp_engine.core.errors import ConfigError

BASE = """\
[providers.sim]
kind = "simulated"
[deployments.fast]
provider = "sim"
model = "sim-fast"
[routes.auto]
deployments = ["fast"]
"""


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("[windows.a]", 8, "windows.a: limits nothing (set one of max_parallel, max_tokens"),
        ("[windows.a]\nmax_usd = -1", 9, "windows.a.max_usd: must be at least 0"),
        ("[windows.a]\nmax_usd = nan", 9, "windows.a.max_usd: must be a finite number"),
        ("[windows.a]\nmax_usd = inf", 9, "windows.a.max_usd: must be a finite number"),
        ("[windows.a]\nmax_usd = 1e12", 9, "windows.a.max_usd: must be at most 10000000"),
        ("[windows.a]\nmax_tokens = -5", 9, "windows.a.max_tokens: must be at least 0"),
        ("[windows.a]\nmax_tokens = 1.5", 9, "windows.a.max_tokens: must be a whole number"),
        ("[windows.a]\nmax_tokens = 99999999999999999999", 9, "windows.a.max_tokens: must be"),
        ("[windows.a]\nmax_parallel = 0", 9, "windows.a.max_parallel: must be at least 1"),
        ("[windows.a]\nrequests_per_minute = 0", 9, "windows.a.requests_per_minute: must be at least 1"),
        ('[windows.a]\nmax_usd = 1\nperiod = "fortnight"', 10, "windows.a.period: must be one of in_flight, minute"),
        ('[windows.a]\nmax_usd = 1\nscope = "keys"', 10, "windows.a.scope: must be one of everything, key"),
        ('[windows.a]\nmax_usd = 1\nof = ["x"]', 10, "windows.a.of: names subjects, but the scope is everything"),
        ("[windows.a]\nmax_usd = 1\nmax_dollars = 1", 10, "windows.a.max_dollars: unknown key"),
        ('[windows.a]\nmax_usd = 1\nscope = "route"\nof = ["aut"]', 11, 'there is no route "aut" (did you mean auto?)'),
        (
            '[windows.a]\nmax_usd = 1\nscope = "deployment"\nof = ["slow"]',
            11,
            'there is no deployment "slow" (define [deployments.slow])',
        ),
        (
            '[windows.a]\nmax_usd = 1\nscope = "deployment"\non_exceed = "queue"',
            11,
            "windows.a.on_exceed: a deployment's window can only refuse",
        ),
        ('[windows."key:a"]\nmax_usd = 1', 8, "names that begin with key: are for the windows of keys"),
        (
            '[limits]\ntime_zone = "Europe/Berlim"',
            9,
            "time zone that is known here (did you mean Europe/Berlin?)",
        ),
        ('[limits]\ntime_zone = "../../etc/passwd"', 9, "is no time zone that is known here"),
        ("assume_price = { input = -1, output = 2 }", 8, "routes.auto.assume_price.input: must be at least 0"),
        ("assume_price = { input = nan, output = 2 }", 8, "routes.auto.assume_price.input: must be a finite number"),
        (
            "assume_price = { input = 1, output = 2, tiers = { flex = -0.5 } }",
            8,
            "routes.auto.assume_price.tiers.flex: must be greater than 0",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(lines: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(BASE + lines + "\n", Path("atp.toml"), None)
    (problem,) = refused.value.problems
    assert (problem.line, words in str(problem)) == (line, True), str(problem)


def test_a_window_may_limit_one_thing_and_nothing_at_all_may_be_spent() -> None:
    text = BASE + '[windows.free]\nmax_usd = 0\nscope = "project"\nof = ["web"]\n[limits]\ntime_zone = "Asia/Tokyo"\n'
    config = parse(text, Path("atp.toml"), None).config
    assert (config.windows["free"].max_usd, config.windows["free"].max_tokens) == (0.0, None)
    assert config.limits.time_zone == "Asia/Tokyo"
