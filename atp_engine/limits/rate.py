"""Token buckets for request rates, one per key, in a bounded map.

`admission` asks them. A bucket of N per minute holds N tokens and refills steadily, so N requests may
come at once and the long-run rate is N a minute. Time is monotonic and an argument; a refusal takes
nothing.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_BUCKETS = 10_000
_DUST = 1e-9
"""Tokens that rounding may eat: who waits exactly as told must get through."""


class TokenBucket:
    """`per_minute` tokens at most and per minute; starts full."""

    __slots__ = ("_at", "_tokens", "per_minute")

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_minute = per_minute
        self._tokens = float(per_minute)
        self._at = now

    def wait_s(self, now: float) -> float:
        """Seconds until a token is there, 0 when one is; takes nothing."""
        rate = self.per_minute / 60.0
        missing = 1.0 - (self._tokens + max(0.0, now - self._at) * rate)
        return 0.0 if missing <= _DUST else missing / rate

    def take(self, now: float) -> float:
        """Takes a token and returns 0, or takes nothing and returns the seconds to wait."""
        elapsed = now - self._at
        if elapsed > 0.0:
            self._tokens = min(self.per_minute, self._tokens + elapsed * self.per_minute / 60.0)
            self._at = now
        if self._tokens >= 1.0 - _DUST:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) * 60.0 / self.per_minute

    def give_back(self) -> None:
        """Returns a token that bought nothing."""
        self._tokens = min(self.per_minute, self._tokens + 1.0)

    def change(self, per_minute: float, now: float) -> None:
        """Another rate from now on; the filled share stays."""
        filled = min(1.0, (self._tokens + max(0.0, now - self._at) * self.per_minute / 60.0) / self.per_minute)
        self._tokens = filled * per_minute
        self._at = max(now, self._at)
        self.per_minute = per_minute


class RequestRates:
    """The buckets of all keys. At most 10 000; the one unused for longest goes first (it is full or
    nearly so, since whole buckets refill within a minute)."""

    def __init__(self, most: int = MAX_BUCKETS) -> None:
        self._most = most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self.dropped = 0

    def wait_s(self, key: str, per_minute: float, now: float) -> float:
        """Seconds until the key may send a request, 0 when it may now or has no limit (0)."""
        return self._bucket(key, per_minute, now).wait_s(now) if per_minute > 0 else 0.0

    def take(self, key: str, per_minute: float, now: float) -> float:
        """Counts a request and returns 0, or counts nothing and returns the seconds to wait."""
        return self._bucket(key, per_minute, now).take(now) if per_minute > 0 else 0.0

    def give_back(self, key: str) -> None:
        """Uncounts a request that was refused later on."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.give_back()

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, key: str, per_minute: float, now: float) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(per_minute, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
                self.dropped += 1
            return bucket
        self._buckets.move_to_end(key)
        if bucket.per_minute != per_minute:
            bucket.change(per_minute, now)
        return bucket
