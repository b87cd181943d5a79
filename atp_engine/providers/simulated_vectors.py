"""Embeddings of the simulated provider: unit vectors that follow from the words, so that texts with words
in common are near each other.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from math import sqrt
from typing import Any

import msgspec

from atp_engine.dialects.estimate import estimate_tokens
from atp_engine.dialects.openai_embeddings import Wanted
from atp_engine.providers.simulated_chance import Chance

USUAL_DIMENSIONS = 256
_WORD = re.compile(r"\w+|[^\w\s]")
_PLACES_PER_WORD = 8
_MOST_WORDS = 4_096
"""Words of a text that count."""


def vector(text: str, dimensions: int) -> list[float]:
    """The text's unit vector."""
    sums = [0.0] * dimensions
    for word in _WORD.findall(text.lower())[:_MOST_WORDS] or [text]:
        chance = Chance(b"vector", word.encode("utf-8", "replace"))
        for _ in range(_PLACES_PER_WORD):
            place = int(chance.random() * dimensions)
            sums[place] += 1.0 if chance.random() < 0.5 else -1.0
    if not any(sums):
        sums[0] = 1.0
    length = sqrt(sum(value * value for value in sums))
    return [value / length for value in sums]


def embeddings(wanted: Wanted, model: str) -> bytes:
    """The answer's JSON."""
    dimensions = wanted.dimensions or USUAL_DIMENSIONS
    found: list[dict[str, Any]] = []
    for index, text in enumerate(wanted.texts):
        values = vector(text, dimensions)
        packed = b64encode(struct.pack(f"<{dimensions}f", *values)).decode() if wanted.is_base64 else values
        found.append({"object": "embedding", "index": index, "embedding": packed})
    size = sum(len(text.encode("utf-8", "replace")) for text in wanted.texts)
    tokens = wanted.tokens or estimate_tokens(size)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": found, "model": model, "usage": usage})
