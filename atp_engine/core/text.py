"""Text from outside made harmless: one function for every terminal, page and log sink.

Prompts, answers, headers, model names and vendor messages pass through `safe_text` before anybody
shows them.
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, incl. clipboard (52) and links (8)
    r"|\x9d[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)?"  # DCS, SOS, PM, APC
    r"|[\x90\x98\x9e\x9f][^\x1b\x9c]*(?:\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_BREAKS = re.compile(r"[\t\n]+")


def safe_text(text: str, *, limit: int = 4096, is_line: bool = True) -> str:
    """The text without escape sequences, control and bidi characters, cut to `limit` characters.

    With `is_line` tabs and line breaks become single spaces; otherwise they stay. A cut ends in `…`.
    """
    if len(text) > limit * 4:
        text = text[: limit * 4]
    text = text.replace("\r\n", "\n")
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    if is_line:
        text = _BREAKS.sub(" ", text)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text
