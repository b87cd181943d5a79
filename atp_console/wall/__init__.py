"""The fault wall: an upstream that misbehaves on purpose, a strict caller, and a verdict per scenario."""
