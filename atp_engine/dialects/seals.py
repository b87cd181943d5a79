"""Whose seal it is: the signature of a thinking block, told apart from those of other vendors.

In `ir` and in Anthropic's dialect a signature without a mark is Anthropic's own. Any other vendor's
is `atp:<vendor>:<seal>`, so that it survives a client of another dialect, goes back to the vendor
that made it, and is never shown to one that would refuse the whole request for it. In another
vendor's dialect its own seal stands bare, and Anthropic's is marked.
"""

from __future__ import annotations

from atp_engine.dialects import ir

FOREIGN_START = "atp:"
"""Every seal that is not the dialect's own begins so."""
ANTHROPIC = "anthropic"
ANTHROPIC_REDACTED = "anthropic-redacted"
GEMINI = "gemini"
OPENAI = "openai"


def marked(vendor: str, seal: str) -> str:
    """The seal with its vendor's mark."""
    return f"{FOREIGN_START}{vendor}:{seal}"


def is_marked(signature: str) -> bool:
    """True for a seal that carries a mark."""
    return signature.startswith(FOREIGN_START)


def own_seal(vendor: str, part: ir.Reasoning) -> str:
    """The bare seal for the vendor that made it, empty when another did."""
    lead = marked(vendor, "")
    return part.signature[len(lead) :] if part.signature.startswith(lead) else ""


def for_client(vendor: str, part: ir.Reasoning) -> str:
    """The seal as clients of a vendor's dialect carry it: bare if it is that vendor's, else marked."""
    if not part.signature:
        return ""
    if not is_marked(part.signature):
        return marked(ANTHROPIC_REDACTED if part.is_redacted else ANTHROPIC, part.signature)
    return own_seal(vendor, part) or part.signature


def from_wire(vendor: str, seal: str, text: str = "") -> ir.Reasoning:
    """Thinking with the seal that stands in a vendor's dialect, the reverse of `for_client`."""
    if not seal.startswith(FOREIGN_START):
        return ir.Reasoning(text, marked(vendor, seal) if seal else "")
    maker, _, bare = seal[len(FOREIGN_START) :].partition(":")
    if maker == ANTHROPIC_REDACTED:
        return ir.Reasoning("", bare, is_redacted=True)
    return ir.Reasoning(text, bare if maker == ANTHROPIC else seal)
