"""Tokens of a prompt without a call: what `count_tokens` answers, from the local estimate."""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import UnknownModel
from atp_engine.core.types import Dialect
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.reading import decode_body
from atp_engine.services.estimates import Estimates
from atp_engine.services.runtime import RuntimeRef

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NEEDED = {Dialect.ANTHROPIC: ("max_tokens", msgspec.Raw(b"1"))}
"""What a call must have and a count has not."""


class Counting:
    """Counts prompts."""

    def __init__(self, runtime: RuntimeRef, estimates: Estimates) -> None:
        self._runtime = runtime
        self._estimates = estimates

    def count(self, dialect: Dialect, body: bytes) -> tuple[int, str]:
        """Estimated tokens, and how sure they are in words: `estimate, +-4 % lately`.

        Raises InvalidRequest naming the field, UnknownModel.
        """
        facts_body = body
        needed = _NEEDED.get(dialect)
        if needed is not None:
            fields = decode_body(_FIELDS, body)
            fields.setdefault(*needed)
            facts_body = msgspec.json.encode(fields)
        facts = read_facts(dialect, facts_body)
        table = self._runtime.current.table
        route = table.resolve(facts.model)
        if route is None:
            near = table.near(facts.model)
            raise UnknownModel("no such model" + (f"; did you mean {', '.join(near)}?" if near else ""), param="model")
        fitted = self._estimates.fit(route, facts)
        return fitted.prompt_tokens_estimate, self.how_sure(route.deployments[0].key)

    def how_sure(self, deployment: str) -> str:
        """The usual error for a deployment, in words."""
        error = self._estimates.error(deployment)
        return "estimate, error not measured yet" if error is None else f"estimate, +-{error * 100:.0f} % lately"
