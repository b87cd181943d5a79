"""`atp-console config`: the running engine's config, its history, and changes that are checked before they count.

Every change goes through the engine, which edits the one file; nothing is written here.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from atp_console.commands.command import Place, Refused
from atp_console.launch import ask
from atp_engine.client.config_client import ConfigClient
from atp_engine.client.errors import EngineRefused
from atp_engine.core.config_views import ConfigApplied, ConfigFile, ConfigReport, ConfigVersion
from atp_engine.core.text import safe_text

_T = TypeVar("_T")
_WRONG = (400, 409, 422)


def declare(parser: ArgumentParser) -> None:
    """See `Command`."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    history = acts.add_parser("history", help="the applied versions, newest first")
    history.add_argument("--limit", type=int, default=20, metavar="N")
    diff = acts.add_parser("diff", help="what lies between two versions")
    diff.add_argument("before", nargs="?", type=int, metavar="N", help="a version (default: the live one)")
    diff.add_argument("after", nargs="?", type=int, metavar="M", help="another one (default: what is on the disk)")
    get = acts.add_parser("get", help="a value in effect, or the live text")
    get.add_argument("key", nargs="?", help="such as limits.max_parallel (default: the whole text)")
    rollback = acts.add_parser("rollback", help="make an earlier version live again")
    rollback.add_argument("version", nargs="?", type=int, metavar="N", help="which (default: the one before)")
    apply = acts.add_parser("apply", help="make a file's text the config")
    apply.add_argument("file", type=Path)
    apply.add_argument("--dry-run", action="store_true", help="check it and say what would change")
    edit = acts.add_parser("edit", help="edit the config in $VISUAL or $EDITOR")
    change = acts.add_parser("set", help="change one value, and nothing else of the file")
    change.add_argument("key", help="such as routes.auto.strategy")
    change.add_argument("value", nargs="?", help="as TOML or plain text")
    change.add_argument("--unset", action="store_true", help="take the key out: its default counts again")
    for act in (rollback, apply, edit, change):
        act.add_argument("--reason", default="", help="why, for the history")
        act.add_argument(
            "--guard", metavar="TIME", help="watch it for 30s, 5m ... and go back if it makes things worse"
        )


def run(place: Place, arguments: Namespace) -> int:
    """See `Command`."""
    acts: dict[str, Callable[[Place, Namespace], int]] = {
        "history": _history,
        "diff": _diff,
        "get": _get,
        "rollback": _rollback,
        "apply": _apply,
        "edit": _edit,
        "set": _set,
    }
    try:
        return acts[arguments.act](place, arguments)
    except EngineRefused as error:
        if error.status in _WRONG:
            raise Refused(_safe(error.message), 2) from None
        raise


def _history(place: Place, arguments: Namespace) -> int:
    history = _ask(place, lambda config: config.history(max(1, arguments.limit)))
    for version in history.versions:
        print(_line(version))
    return 0


def _line(version: ConfigVersion) -> str:
    mark = "*" if version.is_current else " "
    at = datetime.fromtimestamp(version.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    state = "" if version.outcome == "live" else f"[{version.outcome}] "
    said = "; ".join(part for part in (version.reason, *version.changes) if part)
    return safe_text(f"{mark}{version.number:>5}  {at}  {version.author}  {state}{said}", limit=400)


def _diff(place: Place, arguments: Namespace) -> int:
    after = 0 if arguments.after is None else arguments.after
    diff = _ask(place, lambda config: config.diff(arguments.before, after))
    for change in diff.changes:
        print(f"# {safe_text(str(change))}")
    print(_safe(diff.text) if diff.text else "no difference")
    return 0


def _get(place: Place, arguments: Namespace) -> int:
    if arguments.key is None:
        text = _ask(place, lambda config: config.text())
        print("\n".join(_shown(file, is_only=len(text.files) == 1) for file in text.files), end="")
        return 0
    effective = ask(place.endpoint(), lambda client: client.config()).effective
    print(_toml(_value_at(effective, arguments.key)))
    return 0


def _shown(file: ConfigFile, *, is_only: bool) -> str:
    return file.text if is_only else f"# --- {file.name}\n{file.text}"


def _value_at(tree: Any, key: str) -> Any:
    """The value at a dotted key; names with dots are found without quotes too."""
    left = key
    while left:
        if not isinstance(tree, dict):
            raise Refused(f"{key} leads through something that is no table", 2)
        name = next((name for name in sorted(tree, key=len, reverse=True) if f"{left}.".startswith(f"{name}.")), None)
        if name is None:
            raise Refused(f"{key} is no key of the config; known there: {', '.join(list(tree)[:20])}", 2)
        tree, left = tree[name], left[len(name) + 1 :]
    return tree


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _rollback(place: Place, arguments: Namespace) -> int:
    number = arguments.version
    if number is None:
        versions = _ask(place, lambda config: config.history(200)).versions
        current = next((one for one in versions if one.is_current), None)
        earlier = [one for one in versions if current and one.number < current.number and one.outcome == "live"]
        number = next((one.number for one in earlier if current and one.digest != current.digest), None)
        if number is None:
            raise Refused("there is no earlier version to go back to", 2)
    base = _ask(place, lambda config: config.text(0)).digest
    reason = arguments.reason or f"back to version {number}"
    return _told(_ask(place, lambda config: config.rollback(number, base=base, reason=reason, guard=arguments.guard)))


def _apply(place: Place, arguments: Namespace) -> int:
    try:
        text = arguments.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read {arguments.file}: {error}", 2) from None
    if arguments.dry_run:
        report = _ask(place, lambda config: config.check(text))
        print("\n".join(_report_lines(report)))
        return 0 if report.is_valid else 2
    return _told(_ask(place, lambda config: config.apply(text, reason=arguments.reason, guard=arguments.guard)))


def _set(place: Place, arguments: Namespace) -> int:
    if (arguments.value is None) != arguments.unset:
        raise Refused("state a value, or --unset", 2)
    return _told(
        _ask(
            place,
            lambda config: config.set(arguments.key, arguments.value, reason=arguments.reason, guard=arguments.guard),
        )
    )


def _edit(place: Place, arguments: Namespace) -> int:
    start = _ask(place, lambda config: config.text(0))
    with tempfile.TemporaryDirectory(prefix="atp-config-") as folder:
        draft = Path(folder) / "atp.toml"
        draft.write_text(start.files[0].text, encoding="utf-8", newline="")
        while True:
            _open_editor(place.editor, draft)
            text = draft.read_bytes().decode("utf-8", "replace")
            if text == start.files[0].text:
                print("nothing was changed")
                return 0
            try:
                done = _ask(
                    place,
                    lambda config, text=text: config.apply(  # type: ignore[misc]
                        text, base=start.digest, reason=arguments.reason, guard=arguments.guard
                    ),
                )
            except EngineRefused as error:
                if error.status not in _WRONG or not _wants_again(error.message):
                    kept = place.data_dir / "config-draft.toml"
                    kept.write_text(text, encoding="utf-8", newline="")
                    print(f"your text is kept in {kept}", file=sys.stderr)
                    raise
                continue
            return _told(done)


def _open_editor(editor: str, draft: Path) -> None:
    command = [*shlex.split(editor or "vi"), str(draft)]
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the person's own editor
    except OSError as error:
        raise Refused(f"cannot start {command[0]}: {error.strerror}; set EDITOR", 2) from None
    if code:
        raise Refused(f"{command[0]} ended with {code}; nothing was changed")


def _wants_again(message: str) -> bool:
    print(_safe(message), file=sys.stderr)
    if not sys.stdin.isatty():
        return False
    return input("edit it again? [Y/n] ").strip().lower() in ("", "y", "yes")


def _told(applied: ConfigApplied) -> int:
    print(f"config version {applied.version} is live")
    print("\n".join(_report_lines(applied.report)))
    if applied.guard_s:
        print(f"guarded for {applied.guard_s:g} s: it is taken back if its routes get worse")
    return 0


def _report_lines(report: ConfigReport) -> list[str]:
    lines = [f"problem  {safe_text(problem.text)}" for problem in report.problems]
    lines += [f"change   {safe_text(str(change))}" for change in report.changes]
    if report.is_valid:
        lines.append(f"replay   {report.replay}")
    lines += [
        f"         {safe_text(row.asked)}: {row.differing:g} of {row.requests}, "
        f"{safe_text(row.before)} -> {safe_text(row.after)}"
        for row in report.replay.routes
    ]
    lines += [f"warning  {safe_text(warning)}" for warning in report.warnings]
    return [*lines, f"later    {report.waits}"] if report.waits else lines


def _ask(place: Place, question: Callable[[ConfigClient], Awaitable[_T]]) -> _T:
    return ask(place.endpoint(), lambda client: question(ConfigClient(client, "cli")))


def _safe(text: str) -> str:
    return safe_text(text, limit=200_000, is_line=False)
