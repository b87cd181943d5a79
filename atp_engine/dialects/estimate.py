"""Tokens before the vendor has counted them: bytes over a learned ratio.

Used for context checks, windows and calls whose usage never came. Off by up to a third either way
(English prose 4-5 bytes a token, JSON about 3, Chinese about 3); upstream usage is the truth.
"""

from __future__ import annotations

BYTES_PER_TOKEN = 4.0
IMAGE_TOKENS = 1_000
"""Flat price of a picture: vendors charge 85 to 1600 by size, which base64 bytes do not tell."""
_SLOWEST, _FASTEST = 1.0, 16.0


def estimate_tokens(size_bytes: int, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """Tokens of a text of `size_bytes`, at least 1 unless it is empty."""
    return -int(-size_bytes // bytes_per_token)


def tokens_of_chars(output_chars: int) -> int:
    """Tokens of generated text of which only the characters were counted."""
    return estimate_tokens(output_chars)


def learned_ratio(bytes_per_token: float, size_bytes: int, tokens: int, weight: float = 0.1) -> float:
    """The ratio after one more call with known usage: an exponential average, held within 1..16."""
    if size_bytes <= 0 or tokens <= 0:
        return bytes_per_token
    seen = min(max(size_bytes / tokens, _SLOWEST), _FASTEST)
    return bytes_per_token + weight * (seen - bytes_per_token)
