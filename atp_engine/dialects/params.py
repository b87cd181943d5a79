"""What becomes of a client's fields that a deployment's dialect does not have: a route's `params`.

`services/attempt` asks after a translation that had to leave something out. `adapt` goes on and names it,
`strict` refuses, `pass` hands top-level fields up under their own names and leaves the verdict to the vendor.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import UnsupportedFeature
from atp_engine.dialects.bridge import UpstreamBody

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def settle(params: str, written: UpstreamBody, body: bytes, deployment: str) -> UpstreamBody:
    """The body to send. `body` is the client's, which its dialect has read already.

    Raises UnsupportedFeature with the first field as `param` when the route is strict.
    """
    lost = written.dropped_fields
    if params == "strict":
        listed = ", ".join(f"`{name}`" for name in lost[:8])
        raise UnsupportedFeature(
            f"{listed} cannot be carried to {deployment}, and this route is strict about it.", param=lost[0]
        )
    asked = _FIELDS.decode(body)
    sent = _FIELDS.decode(written.body)
    passed = {name: asked[name] for name in lost if name in asked and name not in sent}
    if not passed:
        return written
    left = tuple(name for name in lost if name not in passed)
    return UpstreamBody(msgspec.json.encode({**sent, **passed}), left)
