"""Which key does what: the action table's own keys, with what a person changed.

`resolved` judges the `[keys]` of a settings file: an entry that is wrong or clashes is left out and told,
so that every action keeps a key that works. Screens and the app make their bindings from a `Keymap`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

from textual.binding import Binding, BindingsMap

from atp_console.actions import ACTIONS, BY_ID, Action, Scope, actions_of
from atp_console.key_names import UnknownKey, is_typed, key_label, key_named
from atp_engine.core.text import safe_text

KEPT = MappingProxyType({"escape": "back", "ctrl+c": "quit"})
"""Keys that mean the same wherever one is, so that no text field and no keymap can be a trap."""
MOST_KEYS = 8


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """What is wrong with the entry of an action."""

    action_id: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Keymap:
    """Keys by action; `changed` holds those that are not the table's own. An empty tuple is no key."""

    changed: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def keys_of(self, action: Action) -> tuple[str, ...]:
        """The keys of an action, the one that is shown first."""
        return self.changed.get(action.id, action.keys)

    def label(self, action_id: str, *, is_ascii: bool = False) -> str:
        """The first key of an action as people read it; `:` and its id where it has none."""
        keys = self.keys_of(BY_ID[action_id])
        return key_label(keys[0], is_ascii=is_ascii) if keys else f":{action_id}"

    def bindings(self, scopes: Iterable[Scope]) -> BindingsMap:
        """What a screen or the app binds."""
        return BindingsMap(
            Binding(
                ",".join(keys), f"act('{action.id}')", action.title, show=False, id=action.id,
                priority=action.is_priority,
            )
            for action in actions_of(scopes)
            if (keys := self.keys_of(action))
        )  # fmt: skip


DEFAULT = Keymap()


def resolved(wanted: Mapping[str, object], groups: Sequence[Collection[Scope]]) -> tuple[Keymap, list[KeyProblem]]:
    """A keymap of what is wanted, by action id, and what of it was left out.

    `groups` are the scopes that live together, one entry per screen; everywhere is part of each.
    """
    problems: list[KeyProblem] = []
    changed: dict[str, tuple[str, ...]] = {}
    for action_id, value in wanted.items():
        action = BY_ID.get(action_id)
        if action is None:
            problems.append(KeyProblem(action_id, "there is no such action", _near(action_id)))
            continue
        keys, wrong = _keys_in(action, value)
        problems += wrong
        if not wrong:
            changed[action_id] = keys
    while (clash := _first_clash(changed, groups)) is not None:
        del changed[clash.action_id]
        problems.append(clash)
    return Keymap(MappingProxyType(changed)), problems


def _keys_in(action: Action, value: object) -> tuple[tuple[str, ...], list[KeyProblem]]:
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
        hint = f'such as "{action.keys[0] if action.keys else "f9"}", or [] for no key'
        return (), [KeyProblem(action.id, "must be a key or a list of keys, each in quotes", hint)]
    if len(written) > MOST_KEYS:
        return (), [KeyProblem(action.id, f"has more than {MOST_KEYS} keys")]
    keys: list[str] = []
    problems: list[KeyProblem] = []
    for text in written:
        try:
            key = key_named(text)
        except UnknownKey as unknown:
            problems.append(KeyProblem(action.id, str(unknown), unknown.hint))
            continue
        owner = KEPT.get(key, action.id)
        if owner != action.id:
            problems.append(KeyProblem(action.id, f"{key} is kept for {owner}", "take another key"))
        elif action.is_priority and is_typed(key):
            said = f"{key_label(key)} would be typed: this action works inside text fields"
            problems.append(KeyProblem(action.id, said, "take one with ctrl or a function key"))
        elif key not in keys:
            keys.append(key)
    keys += [key for key, owner in KEPT.items() if owner == action.id and key not in keys]
    return tuple(keys), problems


def _first_clash(changed: Mapping[str, tuple[str, ...]], groups: Sequence[Collection[Scope]]) -> KeyProblem | None:
    """The first of the changed actions whose key means something else on one of its screens."""
    keymap = Keymap(changed)
    order = {action_id: place for place, action_id in enumerate(changed)}
    for scopes in groups:
        owners: dict[str, Action] = {}
        together = actions_of({*scopes, Scope.GLOBAL})
        for action in sorted(together, key=lambda one: order.get(one.id, -1)):  # what nobody changed stands first
            for key in keymap.keys_of(action):
                owner = owners.setdefault(key, action)
                if owner is not action:
                    return _clash(action, owner, key)
    return None


def _clash(action: Action, owner: Action, key: str) -> KeyProblem:
    where = f"{owner.scope}: " if owner.scope is not Scope.GLOBAL else ""
    hint = f"give {owner.id} another key as well, or none: {_quoted(owner.id)} = []"
    return KeyProblem(action.id, f"{key_label(key)} is {owner.id} already ({where}{owner.title})", hint)


def _quoted(action_id: str) -> str:
    return f'"{action_id}"' if "." in action_id else action_id


def _near(action_id: str) -> str:
    wanted = action_id.lower().replace("_", ".").replace("-", ".")
    by_tail = [one.id for one in ACTIONS if one.id.rpartition(".")[2] == wanted]
    found = get_close_matches(wanted, [one.id for one in ACTIONS], n=1, cutoff=0.55) or by_tail[:1]
    return f"did you mean {found[0]}?" if found else "atp-console keymap lists them all"


def shown_id(action_id: str) -> str:
    """An id from a file, fit for a message."""
    return safe_text(action_id, limit=60)
