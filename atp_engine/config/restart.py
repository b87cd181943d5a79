"""What only a start can change: sockets are bound and the log is opened once.

The engine asks before it makes an edited config live, so that the live one never says what is not so.
"""

from __future__ import annotations

from atp_engine.config.models import Config

_SERVER = ("body_timeout_s", "header_timeout_s", "host", "port", "write_timeout_s")


def until_restart(before: Config, after: Config) -> tuple[Config, str]:
    """`after` with what a running engine cannot change as in `before`, and a sentence that names it,
    empty when there is nothing of that kind."""
    kept = {name: old for name in _SERVER if (old := getattr(before.server, name)) != getattr(after.server, name)}
    names = [f"server.{name}" for name in kept]
    if before.logging != after.logging:
        names.insert(0, "logging")
    if not names:
        return after, ""
    server = after.server.model_copy(update=kept)
    listed = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    verb = "take" if len(names) > 1 else "takes"
    config = after.model_copy(update={"server": server, "logging": before.logging})
    return config, f"{listed} {verb} effect at the next start"
