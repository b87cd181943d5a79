"""The 25 checks of the console's scorecard: what is asked, the bar for two points, and what proves it.

A check is proved by tests, named by file and by words of their names, and by measurements, named by
functions of `measures`. All of it holds: 2 points; some of it: 1; none: 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the scorecard."""

    number: int
    asked: str
    bar: str
    tests: tuple[str, ...] = ()
    """`file::part of a test's name`; each must find at least one test, all found ones must pass."""
    measures: tuple[str, ...] = ()


_TUI = "tests/tui/test_console_"
_ACTS = f"{_TUI}acts.py"
_GOLDENS = f"{_TUI}goldens.py"
_REGISTRY = f"{_TUI}registry.py"
_STORM = f"{_TUI}storm.py"
_TERMINAL = f"{_TUI}terminal.py"
_LISTS = f"{_TUI}lists.py"
_WEB = "tests/web/test_dashboard.py"

_SCREENS = (
    f"{_GOLDENS}::test_live",
    f"{_GOLDENS}::test_after_keys",
    f"{_TUI}request.py::test_every_tab_by_its_letter",
    f"{_TUI}metrics.py::test_metrics",
    f"{_TUI}config.py::test_config",
    f"{_TUI}keys.py::test_keys[",
    f"{_TUI}logs.py::test_logs",
    f"{_TUI}play.py::test_playground",
)

CHECKS = (
    Check(1, "Launch to first frame", "<= 1.0 s, median of 5", measures=("first_frame",)),
    Check(
        2,
        "Launch to first live request",
        "<= 10 s with the setup text, <= 300 ms after arrival",
        measures=("first_request",),
    ),
    Check(
        3,
        "First run needs no docs",
        "endpoint, lines to paste, test on the screen",
        (f"{_GOLDENS}::test_first_run", f"{_ACTS}::test_the_first_run", f"{_REGISTRY}::test_the_first_run"),
    ),
    Check(4, "80x24 complete", "every screen, no clipped key", (*_SCREENS, f"{_REGISTRY}::footer_fits")),
    Check(5, "140x40 uses the space", "three panes, no empty third", (*_SCREENS, f"{_GOLDENS}::test_one_pane")),
    Check(
        6,
        "Survives 60x16 and a storm of sizes",
        "no exception, no refusal",
        (f"{_STORM}::test_sizes", f"{_STORM}::test_below_the_smallest", f"{_STORM}::test_a_walk_of_random_keys"),
    ),
    Check(
        7,
        "Every action by keyboard and palette",
        "100 %",
        (f"{_REGISTRY}::test_every_action_has_a_method", f"{_REGISTRY}::palette_every_action"),
    ),
    Check(
        8,
        "? lists exactly the live bindings",
        "100 %, searchable, runs what is picked",
        (f"{_REGISTRY}::help_lists_exactly", f"{_REGISTRY}::test_the_help_runs"),
    ),
    Check(9, "Footer hints fit and are contextual", "one line, >= 6 hints", (f"{_REGISTRY}::footer_fits",)),
    Check(10, "Remap works, conflicts are told", "any binding", ("tests/unit/console/test_keymap.py::",)),
    Check(
        11,
        "Filter language",
        "all fields, mistakes explained, <= 100 ms for 100,000 rows",
        ("tests/unit/core/test_filter.py::", f"{_ACTS}::filter"),
        ("filter_100k",),
    ),
    Check(12, "Cursor pinned at 100 requests/s", "0 unwanted moves", (f"{_STORM}::test_the_cursor_never_moves",)),
    Check(13, "Freeze and follow", "both, +n new shown", (f"{_ACTS}::test_a_frozen_list", f"{_ACTS}::test_following")),
    Check(
        14,
        "Why this model",
        "<= 1 key, scores, rule of exclusion, what was saved",
        (f"{_ACTS}::test_enter_opens_the_request_with_its_reasons", f"{_TUI}request.py::test_every_tab"),
    ),
    Check(
        15,
        "Asked and served with tries in every list",
        "console, page, export",
        (f"{_TUI}taking.py::export", f"{_GOLDENS}::test_live", f"{_WEB}::grows_in_place"),
    ),
    Check(
        16,
        "No state by colour alone",
        "passes with NO_COLOR and --ascii",
        (f"{_ACTS}::test_without_colours", f"{_GOLDENS}::test_readonly_and_ascii"),
    ),
    Check(
        17,
        "Contrast",
        ">= 4.5:1 in every theme",
        ("tests/unit/console/test_theme.py::test_every_role_reaches",),
        ("contrast",),
    ),
    Check(
        18,
        "Destructive acts",
        "named target, default no, undo or rollback, audit line",
        (
            f"{_ACTS}::test_cancel_names",
            f"{_ACTS}::test_cancel_means",
            f"{_TUI}sessions.py::each_act_taken_back",
            f"{_TUI}sessions.py::test_switches",
            f"{_TUI}keys.py::only_after_yes",
            f"{_TUI}keys.py::revoked_after_a_question",
            "tests/web/test_dashboard_pages.py::test_logs_and_audit",
        ),
    ),
    Check(
        19,
        "Read-only",
        "no changing act possible",
        (f"{_REGISTRY}::test_read_only", f"{_ACTS}::test_read_only", f"{_TUI}sessions.py::read_only"),
    ),
    Check(
        20,
        "Config edit",
        "line and column, diff, dry replay, atomic apply, rollback",
        (f"{_TUI}config.py::", "tests/web/test_dashboard_pages.py::test_the_config"),
    ),
    Check(
        21,
        "Cost of the faces to traffic",
        "p99 +<= 2 ms; longest callback <= 8 ms of CPU",
        measures=("attached", "longest_callback"),
    ),
    Check(
        22,
        "CPU and memory of the console",
        "<= 10 % of a core at 100 requests/s, <= 80 MB, <= 8 ms per tick with 100,000 rows",
        (f"{_STORM}::test_what_is_held_is_bounded",),
        ("attached", "redraw_100k"),
    ),
    Check(23, "Terminal always restored", "exit, crash, TERM, INT, HUP", (f"{_TERMINAL}::restores",)),
    Check(
        24,
        "Disconnected, empty, error",
        "what happened and the next key; back within 2 s",
        (
            f"{_TUI}link.py::",
            f"{_GOLDENS}::test_engine_away",
            f"{_ACTS}::test_a_lost_engine",
            f"{_ACTS}::test_acts_on_a_lost",
        ),
    ),
    Check(
        25,
        "Dashboard: offline, strict CSP, accessible",
        "0 calls elsewhere, 0 violations, 0 axe issues, <= 60 KB",
        ("tests/web/",),
        ("page_size", "axe"),
    ),
)
