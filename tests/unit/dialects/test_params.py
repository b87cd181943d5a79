"""What a route does with fields that cannot be carried."""

from __future__ import annotations

import json

import pytest

from atp_engine.core.errors import UnsupportedFeature
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.params import settle

BODY = b'{"model":"m","logit_bias":{"1":2},"seed":7,"messages":[{"role":"user","name":"a","content":"x"}]}'
WRITTEN = UpstreamBody(b'{"model":"u","max_tokens":1}', ("logit_bias", "seed", "messages[].name"))


def test_a_strict_route_names_what_cannot_be_carried() -> None:
    with pytest.raises(UnsupportedFeature, match="`logit_bias`, `seed`, `messages") as caught:
        settle("strict", WRITTEN, BODY, "claude")
    assert caught.value.param == "logit_bias"


def test_a_passing_route_hands_up_what_stands_at_the_top_and_still_names_the_rest() -> None:
    sent = settle("pass", WRITTEN, BODY, "claude")
    assert json.loads(sent.body) == {"model": "u", "max_tokens": 1, "logit_bias": {"1": 2}, "seed": 7}
    assert sent.dropped_fields == ("messages[].name",)


def test_what_the_translation_wrote_is_never_overwritten() -> None:
    written = UpstreamBody(b'{"seed":1}', ("seed",))
    assert settle("pass", written, BODY, "claude") is written
