"""The simulated models: how fast and how faulty each is, what it states as its price, and how faults
are asked for.

`simulated` looks models up here; the engine takes prices for the routing table. A fault is provoked by
a suffix of the model (`sim-fast:429`) or by a directive in the last user message, see `FAULTS`:

    [[sim:429 retry=2]]     [[sim:cut after=20]]     [[sim:500 on=sim-fast]]

`on` limits it to one model, so that a fallback can be watched; several directives may be given.
"""

from __future__ import annotations

import re

import msgspec

from atp_engine.config.models import ProviderConfig, SimulatedProfile
from atp_engine.core.pricing import Price, usd_to_nusd
from atp_engine.providers.simulated_chance import Chance

FAULTS: dict[str, str] = {
    "400": "the request is refused as malformed",
    "401": "our credential is refused",
    "403": "our credential lacks the permission",
    "404": "the model does not exist",
    "429": "rate limit, with Retry-After (`retry=` seconds, 1 by default)",
    "500": "the vendor fails",
    "502": "the vendor's gateway fails",
    "503": "the vendor is overloaded, with Retry-After when `retry=` is given",
    "529": "the vendor is overloaded (Anthropic's own status)",
    "context": "the prompt is too long for the model",
    "filter": "the content filter refuses",
    "down": "nothing answers",
    "html": "an HTML page with status 200",
    "hang": "the connection stands, no answer ever comes",
    "slow": "ten times as long to the first token",
    "stall": "the stream stops in the middle and stays open (`after=` tokens)",
    "cut": "the connection is lost in the middle of the answer (`after=` tokens)",
    "error": "an error event in the middle of the stream (`after=` tokens)",
    "short": "the stream ends in good order but without its terminal event (`after=` tokens)",
}
"""Every fault by name."""

_DIRECTIVE = re.compile(r"\[\[sim:([a-z0-9]{1,16})((?:[ ,]+[a-z]{1,8}=[^\s,\]]{1,80}){0,4})\s*\]\]")
_OPTION = re.compile(r"([a-z]+)=([^\s,\]]+)")
_LONGEST_READ = 65_536


class Fault(msgspec.Struct, frozen=True):
    """One fault to show; `after_tokens` is None where the middle of the answer is meant."""

    name: str
    retry_s: float | None = None
    after_tokens: int | None = None


class SimulatedModel(msgspec.Struct, frozen=True):
    """A model that can be asked for. Prices are USD per million tokens."""

    profile: SimulatedProfile
    input_usd: float = 0.0
    output_usd: float = 0.0
    is_thinking: bool = False


BUILT_IN: dict[str, SimulatedModel] = {
    "sim-fast": SimulatedModel(
        SimulatedProfile(ttft_ms=120, tokens_per_s=150, output_tokens=90, quality=0.62), 0.15, 0.60
    ),
    "sim-balanced": SimulatedModel(
        SimulatedProfile(ttft_ms=350, tokens_per_s=75, output_tokens=160, quality=0.78), 0.80, 4.00
    ),
    "sim-large": SimulatedModel(
        SimulatedProfile(ttft_ms=800, tokens_per_s=40, output_tokens=240, quality=0.93), 3.00, 15.00
    ),
    "sim-local": SimulatedModel(SimulatedProfile(ttft_ms=250, tokens_per_s=35, output_tokens=120, quality=0.55)),
    "sim-instant": SimulatedModel(
        SimulatedProfile(ttft_ms=0, tokens_per_s=1_000_000, output_tokens=40, quality=0.5)
    ),
    "sim-flaky": SimulatedModel(
        SimulatedProfile(
            ttft_ms=250, tokens_per_s=80, output_tokens=120, quality=0.7,
            rate_429=0.08, rate_500=0.08, rate_slow=0.1, rate_cut=0.06,
        ),
        0.15,
        0.60,
    ),
    "sim-embed": SimulatedModel(SimulatedProfile(ttft_ms=20, output_tokens=1, quality=0.5), 0.02),
    "sim-thinking": SimulatedModel(
        SimulatedProfile(ttft_ms=500, tokens_per_s=60, output_tokens=200, quality=0.9), 1.10, 4.40, is_thinking=True
    ),
}  # fmt: skip
"""What a simulated provider offers when the config describes no profiles."""


def models_of(config: ProviderConfig) -> dict[str, SimulatedModel]:
    """The models of a simulated provider: the configured profiles, else the built-in ones.

    A profile named like a built-in model keeps that one's price and thinking.
    """
    if not config.profiles:
        return BUILT_IN
    return {
        name: msgspec.structs.replace(BUILT_IN[name], profile=profile) if name in BUILT_IN else SimulatedModel(profile)
        for name, profile in config.profiles.items()
    }


def simulated_prices(config: ProviderConfig) -> dict[str, Price]:
    """What the models state as their price, suffixed names (`sim-fast:429`) included; reading the cache
    costs a tenth of the input."""
    prices = {}
    for name, model in models_of(config).items():
        price = Price(
            input_nusd=usd_to_nusd(model.input_usd),
            output_nusd=usd_to_nusd(model.output_usd),
            cache_read_nusd=usd_to_nusd(model.input_usd / 10),
            cache_write_nusd=usd_to_nusd(model.input_usd),
            source="simulated",
        )
        prices.update(dict.fromkeys((name, *(f"{name}:{fault}" for fault in FAULTS)), price))
    return prices


def find_model(models: dict[str, SimulatedModel], asked: str) -> tuple[str, SimulatedModel, Fault | None] | None:
    """The model behind a name and the fault its suffix asks for; None when there is no such model."""
    if asked in models:
        return asked, models[asked], None
    name, colon, suffix = asked.rpartition(":")
    if colon and name in models and suffix in FAULTS:
        return name, models[name], Fault(suffix)
    return None


def directed_faults(prompt: str, model: str) -> list[Fault]:
    """The faults that directives in a prompt ask of this model; unknown names are ignored."""
    if "[[sim:" not in prompt:
        return []
    found = []
    for name, rest in _DIRECTIVE.findall(prompt[-_LONGEST_READ:]):
        options = dict(_OPTION.findall(rest))
        if name not in FAULTS or options.get("on", model) != model:
            continue
        after = _number(options.get("after"))
        found.append(Fault(name, _number(options.get("retry")), None if after is None else int(after)))
    return found


def chance_faults(profile: SimulatedProfile, chance: Chance) -> list[Fault]:
    """The faults that a profile's rates give this call."""
    draws = [chance.random() for _ in range(4)]
    found = []
    if draws[0] < profile.rate_429:
        found.append(Fault("429", retry_s=1.0 + round(4.0 * draws[0] / max(profile.rate_429, 1e-9))))
    if draws[1] < profile.rate_500:
        found.append(Fault("500"))
    if draws[2] < profile.rate_slow:
        found.append(Fault("slow"))
    if draws[3] < profile.rate_cut:
        found.append(Fault("cut"))
    return found


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text):
        return None
    return float(text)
