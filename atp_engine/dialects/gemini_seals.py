"""Signatures of thoughts on their way into and out of Gemini's dialect, so that no vendor is sent another's.

In `ir` Gemini's carry its mark (see `seals`). Other vendors' stand in a `thoughtSignature` as base64 of
their marked text, since Gemini's SDKs decode that field.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from atp_engine.dialects import ir, seals

VENDOR = "gemini"
FOREIGN_START = "YXRwO"
"""How base64 of a mark begins."""
_URL_ALPHABET = str.maketrans("-_", "+/")


def for_gemini(thought: ir.Reasoning) -> str:
    """The `thoughtSignature` for Gemini itself, empty when another vendor sealed the thought."""
    vendor, seal = seals.unmarked(thought.signature)
    return seal if vendor == VENDOR else ""


def for_gemini_client(thought: ir.Reasoning) -> str:
    """The `thoughtSignature` that a client of Gemini's dialect keeps for us."""
    vendor, seal = seals.unmarked(thought.signature)
    if vendor == VENDOR or not seal:
        return seal
    kind = seals.ANTHROPIC_REDACTED if thought.is_redacted else seals.ANTHROPIC
    return b64encode((thought.signature if vendor else seals.marked(kind, seal)).encode()).decode()


def from_gemini(signature: str) -> ir.Reasoning:
    """What a `thoughtSignature` seals, as a thought without words."""
    inner = _foreign(signature)
    if not inner:
        return ir.Reasoning("", seals.marked(VENDOR, signature))
    vendor, seal = seals.unmarked(inner)
    if vendor in (seals.ANTHROPIC, seals.ANTHROPIC_REDACTED):
        return ir.Reasoning("", seal, is_redacted=vendor == seals.ANTHROPIC_REDACTED)
    return ir.Reasoning("", inner)


def is_foreign_to_gemini(signature: str) -> bool:
    """True for a `thoughtSignature` that holds another vendor's."""
    return bool(_foreign(signature))


def _foreign(signature: str) -> str:
    """Another vendor's marked seal, empty when it is Gemini's own."""
    if not signature.startswith(FOREIGN_START):
        return ""
    padded = signature.translate(_URL_ALPHABET) + "=" * (-len(signature) % 4)
    try:
        inner = b64decode(padded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return inner if seals.is_marked(inner) else ""
