"""Signatures of thoughts on their way into and out of Gemini's dialect, so that no vendor is sent another's.

As `seals`, but a foreign seal stands in base64: Gemini's SDKs decode the field, so marked text would not pass.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from atp_engine.dialects import ir, seals

BASE64_START = "YXRwO"
"""How base64 of a mark begins."""
_URL_ALPHABET = str.maketrans("-_", "+/")


def for_gemini(thought: ir.Reasoning) -> str:
    """The `thoughtSignature` for Gemini itself, empty when another vendor sealed the thought."""
    return seals.own_seal(seals.GEMINI, thought)


def for_gemini_client(thought: ir.Reasoning) -> str:
    """The `thoughtSignature` that a client of Gemini's dialect keeps for us."""
    seal = seals.for_client(seals.GEMINI, thought)
    return b64encode(seal.encode("utf-8", "replace")).decode() if seals.is_marked(seal) else seal


def from_gemini(signature: str) -> ir.Reasoning:
    """What a `thoughtSignature` seals, as a thought without words."""
    return seals.from_wire(seals.GEMINI, _foreign(signature) or signature)


def is_foreign_to_gemini(signature: str) -> bool:
    """True for a `thoughtSignature` that holds another vendor's."""
    return bool(_foreign(signature))


def _foreign(signature: str) -> str:
    """Another vendor's marked seal, empty when it is Gemini's own."""
    if not signature.startswith(BASE64_START):
        return ""
    padded = signature.translate(_URL_ALPHABET) + "=" * (-len(signature) % 4)
    try:
        inner = b64decode(padded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return inner if seals.is_marked(inner) else ""
