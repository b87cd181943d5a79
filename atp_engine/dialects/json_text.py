"""JSON as bytes: typed decoding that survives lone surrogates and hostile nesting.

Every reader of the room decodes through here. `\\ud83c` alone is legal JSON which some vendors and
clients send (an emoji cut in two). The decoder refuses it, so it is read as U+FFFD; a stream's bytes
are still handed on as they came, a request goes up repaired.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode
from typing import TypeVar

import msgspec

T = TypeVar("T")

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_LONE_LENGTH = 6
_PIECE_BYTES = 16 * 1024


def _replace_lone(match: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if match.end() - match.start() == _LONE_LENGTH else match.group()


def without_lone_surrogates(text: bytes) -> bytes:
    """JSON text whose unpaired `\\uD8xx`/`\\uDCxx` escapes became `\\ufffd`; all else is untouched."""
    return _ESCAPE.sub(_replace_lone, text)


def check_utf8(text: bytes) -> None:
    """Raises UnicodeDecodeError unless the text is UTF-8.

    In pieces, since one emoji in 76 KB makes a whole decoded text four times as big: 40 us, not 200.
    """
    if text.isascii():
        return
    place, size = 0, len(text)
    while place < size:
        end = place + _PIECE_BYTES
        place += utf_8_decode(text[place:end], "strict", end >= size)[1]


def decode(decoder: msgspec.json.Decoder[T], text: bytes) -> T:
    """The typed value of a JSON text.

    Raises msgspec.ValidationError for a wrong shape, else ValueError: not JSON, not UTF-8 anywhere
    (also in fields that the type skips), nested deeper than the decoder goes.
    """
    check_utf8(text)
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        repaired = without_lone_surrogates(text)
        if repaired == text:
            raise
        return decoder.decode(repaired)
    except RecursionError:
        raise ValueError("nested too deeply") from None
