"""Names of keys: as people write them, as Textual knows them, as they are shown."""

from __future__ import annotations

from difflib import get_close_matches

from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, Keys, _character_to_key

from atp_engine.core.text import safe_text

_MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})
_ALIASES = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "pgdown": "pagedown",
    "del": "delete",
    "ins": "insert",
    "bksp": "backspace",
    "period": "full_stop",
    "dot": "full_stop",
    "backtab": "shift+tab",
    "control": "ctrl",
    "c": "ctrl",
    "cmd": "super",
    "option": "alt",
}
_SAME_IN_A_TERMINAL = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+h": "backspace",
    "ctrl+left_square_bracket": "escape",
    "ctrl+space": "ctrl+at",
    "ctrl+minus": "ctrl+underscore",
}
_SPECIAL = frozenset(
    key.value for key in Keys if "+" not in key.value and key.value[0] != "<" and "-" not in key.value
) - {"return"}
_PUNCTUATION = frozenset(_character_to_key(chr(code)) for code in range(33, 127) if not chr(code).isalnum()) | {
    "space",
    *(KEY_NAME_REPLACEMENTS.get(name, name) for name in KEY_TO_UNICODE_NAME),
}
_CHARACTERS = {_character_to_key(chr(code)): chr(code) for code in range(33, 127)}
_SHOWN = {"escape": "esc", "pagedown": "pgdn", "pageup": "pgup", "delete": "del", "backspace": "bksp"}
_GLYPHS = {"enter": "↵", "left": "←", "right": "→", "up": "↑", "down": "↓"}
_MODIFIER_SHOWN = {"ctrl": "^", "alt": "alt-", "shift": "⇧", "super": "super-", "hyper": "hyper-", "meta": "meta-"}
_LONGEST_NAME = 40


class UnknownKey(ValueError):
    """There is no key of this name; the message says so, `hint` what was probably meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def key_named(written: str) -> str:
    """Textual's name of a key: `?` is question_mark, `Ctrl-X` and `^x` are ctrl+x. Raises UnknownKey."""
    text = written.strip() or written
    if len(text) == 1:
        if text == " ":
            return "space"
        if not text.isprintable():
            raise UnknownKey("is a character that no key writes")
        return _character_to_key(text)
    if not text or len(text) > _LONGEST_NAME:
        raise UnknownKey("is no name of a key", "such as f, ?, ctrl+f, f5, pagedown")
    *before, last = _parts(text)
    modifiers = {_ALIASES.get(one.lower(), one.lower()) for one in before}
    unknown = sorted(modifiers - _MODIFIERS)
    if unknown:
        hint = _near(unknown[0], _MODIFIERS) or f"modifiers are {', '.join(sorted(_MODIFIERS))}"
        raise UnknownKey(f"{safe_text(unknown[0], limit=20)} is no modifier", hint)
    base = _base(last)
    if modifiers == {"shift"} and len(base) == 1 and base.isalpha():
        return base.upper()
    if len(base) == 1 and modifiers:
        base = base.lower()
    name = "+".join((*sorted(modifiers), base))
    same = _SAME_IN_A_TERMINAL.get(name)
    if same:
        raise UnknownKey(f"{name} and {same} are one key in a terminal", f"write {same}")
    if modifiers == {"shift"} and (base.isdigit() or base in _PUNCTUATION - {"space"}):
        raise UnknownKey(f"{name} is not what a terminal sends", "write the character that it makes")
    return name


def _parts(text: str) -> list[str]:
    """`ctrl+x`, `Ctrl-X`, `C-x` and `^x` in their parts; a plus or minus at the end is the key itself."""
    if text[0] == "^" and len(text) == 2:
        return ["ctrl", text[1]]
    head, tail = text[:-1], text[-1]
    parts = head.replace("-", "+").split("+")
    parts[-1] += tail
    return [*parts[:-1], parts[-1] or tail] if all(parts[:-1]) else [text]


def _base(text: str) -> str:
    if len(text) == 1:
        return _character_to_key(text)
    lower = _ALIASES.get(text.lower(), text.lower())
    lower = KEY_NAME_REPLACEMENTS.get(lower, lower)
    if lower in _SPECIAL or lower in _PUNCTUATION:
        return lower
    hint = _near(lower, _SPECIAL | _PUNCTUATION) or "such as f, ?, ctrl+f, f5, pagedown"
    raise UnknownKey(f"{safe_text(text, limit=_LONGEST_NAME)} is no name of a key", hint)


def _near(word: str, known: frozenset[str]) -> str:
    found = get_close_matches(word, sorted(known), n=1, cutoff=0.65)
    return f"did you mean {found[0]}?" if found else ""


def is_typed(key: str) -> bool:
    """True for keys that write a character into a text field that has the focus."""
    return len(key) == 1 or key in _PUNCTUATION


def key_label(key: str, *, is_ascii: bool = False) -> str:
    """A key as people read it: `^d`, `enter` as `↵`, `?`."""
    *modifiers, base = key.split("+")
    shown = (not is_ascii and _GLYPHS.get(base)) or _CHARACTERS.get(base) or _SHOWN.get(base, base)
    head = "".join("s-" if one == "shift" and is_ascii else _MODIFIER_SHOWN.get(one, f"{one}-") for one in modifiers)
    return head + shown
