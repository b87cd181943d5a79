"""What a person may write in console.toml: names of keys, clashes, and where each mistake stands."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from atp_console.actions import ACTIONS, BY_ID
from atp_console.commands import keymap as command
from atp_console.commands.command import Place
from atp_console.key_names import UnknownKey, key_label, key_named
from atp_console.keymap import DEFAULT, KEPT
from atp_console.screens import catalog
from atp_console.settings import Settings, parse, read
from atp_console.theme import THEMES

_FILE = Path("/home/x/console.toml")


def _read(text: str) -> Settings:
    return parse(text, _FILE, catalog.SCOPES, THEMES)


def _told(text: str) -> list[str]:
    return [str(one).removeprefix(f"{_FILE}:") for one in _read(text).problems]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("?", "question_mark"),
        ("Ctrl-X", "ctrl+x"),
        ("^x", "ctrl+x"),
        ("ctrl++", "ctrl+plus"),
        ("+", "plus"),
        ("-", "minus"),
        ("shift+a", "A"),
        ("shift+tab", "shift+tab"),
        ("shift+ctrl+left", "ctrl+shift+left"),
        ("esc", "escape"),
        ("PgDn", "pagedown"),
        ("F5", "f5"),
        (" ", "space"),
        ("é", "é"),
    ],
)
def test_keys_are_written_as_people_write_them(written: str, name: str) -> None:
    assert key_named(written) == name
    assert key_named(name) == name


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("pagdown", "did you mean pagedown?"),
        ("ctlr+x", "did you mean ctrl?"),
        ("ctrl+i", "write tab"),
        ("shift+1", "write the character that it makes"),
        ("", "such as f, ?, ctrl+f, f5, pagedown"),
        ("x" * 99, "such as f, ?, ctrl+f, f5, pagedown"),
        ("\x1b[2J", "such as f, ?, ctrl+f, f5, pagedown"),
    ],
)
def test_a_key_that_there_is_not_is_told_with_the_nearest(written: str, hint: str) -> None:
    with pytest.raises(UnknownKey) as told:
        key_named(written)
    assert told.value.hint == hint
    assert "\x1b" not in str(told.value)


def test_every_action_can_get_another_key_alone_and_lose_all_of_them() -> None:
    for action in ACTIONS:
        chosen = _read(f'[keys]\n"{action.id}" = ["f9", "ctrl+f9"]\n')
        assert chosen.problems == (), action.id
        kept = tuple(key for key, owner in KEPT.items() if owner == action.id)
        assert chosen.keys.keys_of(action) == ("f9", "ctrl+f9", *kept)
        assert chosen.keys.label(action.id) == "f9"
        assert _read(f'[keys]\n"{action.id}" = []\n').keys.keys_of(action) == kept
    every = "\n".join(f'"{one.id}" = "ctrl+f{1 + place % 24}"' for place, one in enumerate(ACTIONS[:24]))
    assert _read(f"[keys]\n{every}").problems == ()


def test_two_actions_of_one_screen_cannot_have_one_key_and_the_first_one_keeps_it() -> None:
    chosen = _read('[keys]\nfreeze = "f"\nerrors = "f6"\n"session.pause" = "f6"\nsort = "f6"\n')
    assert [(one.line, one.key) for one in chosen.problems] == [(2, "keys.freeze"), (5, "keys.sort")]
    said = str(chosen.problems[0])
    assert "f is follow already (Live: Follow the newest request" in said
    assert "give follow another key as well, or none: follow = []" in said
    assert chosen.keys.changed == {"errors": ("f6",), "session.pause": ("f6",)}, "two screens, one key: no clash"


def test_keys_change_places_when_both_are_named() -> None:
    chosen = _read('[keys]\nfreeze = "f"\nfollow = "space"\n')
    assert chosen.problems == ()
    assert chosen.keys.changed == {"freeze": ("f",), "follow": ("space",)}


def test_mistakes_stand_with_their_line_and_what_was_meant_and_the_rest_holds() -> None:
    text = """theme = "atp-drak"
asci = true
[keys]
errros = "z"
"filter.toggle" = "ctrl+x"
sort = "ctrl+c"
quit = "x"
follow = 7
screen.live = "pagdown"
back = ["backspace", "escape"]
"""
    assert _told(text) == [
        "1:1: theme: there is no such theme (did you mean atp-dark?)",
        "2:1: asci: unknown key (did you mean ascii?)",
        "4:1: keys.errros: there is no such action (did you mean errors?)",
        "6:1: keys.sort: ctrl+c is kept for quit (take another key)",
        "7:1: keys.quit: x would be typed: this action works inside text fields (take one with ctrl or a function key)",
        '8:1: keys.follow: must be a key or a list of keys, each in quotes (such as "f", or [] for no key)',
        "9:1: keys.screen.live: pagdown is no name of a key (did you mean pagedown?)",
    ]
    assert _read(text).keys.changed == {"filter.toggle": ("ctrl+x",), "back": ("backspace", "escape")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[keys]\nfilter = f\n", "2:10: not valid TOML: invalid value (keys are written in quotes)"),
        (
            '[keys]\nfilter = "f"\nfilter.toggle = "x"\n',
            '3:20: not valid TOML: cannot overwrite a value (an id with a dot is quoted: "filter.toggle" = "f6")',
        ),
        ("keys = 3\n", "1:1: keys: must be a table of action = key"),
        ('export_dir = "/nowhere/at/all"', "1:1: export_dir: there is no directory /nowhere/at/all (make it first)"),
        ("ascii = 'yes'", "1:1: ascii: must be true or false"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_says_where(text: str, told: str) -> None:
    assert _told(text) == [told]


def test_a_file_that_is_not_there_or_not_text_does_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path / "none.toml", catalog.SCOPES, THEMES) == Settings()
    for content, words in ((b"\xff\xfe\x00", "is not UTF-8 text"), (b"#" * 200_000, "is larger than 100 kB")):
        (tmp_path / "x.toml").write_bytes(content)
        assert words in str(read(tmp_path / "x.toml", catalog.SCOPES, THEMES).problems[0])
    assert "cannot be read" in str(read(tmp_path, catalog.SCOPES, THEMES).problems[0])
    (tmp_path / "ok.toml").write_bytes(b'\xef\xbb\xbfexport_dir = "."\r\nascii = true\r\n')
    assert read(tmp_path / "ok.toml", catalog.SCOPES, THEMES) == Settings(is_ascii=True, export_dir=tmp_path)


def test_the_command_lists_every_action_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "console.toml"
    place = Place(tmp_path, tmp_path, lambda: pytest.fail("no engine is needed"), settings_file=file)
    parser = ArgumentParser()
    command.declare(parser)
    assert command.run(place, parser.parse_args([])) == 0
    said = capsys.readouterr().out
    assert f"{file}: not there" in said
    assert all(f" {action.id} " in said for action in ACTIONS)
    file.write_text('[keys]\nfreeze = "f"\nerrors = ["f6", "ctrl+e"]\ntheme = "f7"\n')
    assert command.run(place, parser.parse_args([])) == 2
    out, err = capsys.readouterr()
    assert "* errors " in out
    assert "f6 ^e" in out
    assert err.startswith(f"{file}:2:1: keys.freeze: f is follow already")
    assert command.run(place, parser.parse_args([str(file), "--json"])) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["problems"][0]["line"] == 2
    assert {one["id"]: one["keys"] for one in told["actions"]}["theme"] == ["f7"]
    assert len(told["actions"]) == len(ACTIONS)


def test_the_sample_is_right() -> None:
    sample = Path(__file__).parents[3] / "sample_config" / "console.toml"
    chosen = read(sample, catalog.SCOPES, THEMES)
    assert chosen.problems == ()
    stated = {line.split(" = ")[0] for line in sample.read_text().splitlines() if line[:1].isalpha()}
    assert stated >= {"theme", "ascii", "export_dir"}


def test_labels_are_short() -> None:
    assert [key_label(key) for key in ("ctrl+shift+left", "comma", "alt+x")] == ["^⇧←", ",", "alt-x"]
    assert DEFAULT.label("theme") == ":theme"
    assert DEFAULT.label("list.open", is_ascii=True) == "enter"
    assert all(BY_ID[owner].keys for owner in KEPT.values())
