"""What acting on a deployment brings back, as JSON of the admin API."""

from __future__ import annotations

import msgspec

from atp_engine.core.views import DeploymentView

ACTS = ("open", "close", "drain", "enable", "disable")
"""What an operator may do to a deployment: open its circuit until `close`, which also ends a drain and every
rest; drain it (no new calls, those in flight go on); enable or disable it whatever the config says."""


class ProbeReply(msgspec.Struct, frozen=True):
    """What the vendor's free model list told; a probe never makes a paid call."""

    deployment: DeploymentView
    has_list: bool
    """The vendor has a free model list; without one nothing was called."""
    is_ok: bool
    duration_ms: float
    is_listed: bool | None
    """Whether the list names the deployment's model; None when there was no list."""
    message: str
    """One sentence for people."""
