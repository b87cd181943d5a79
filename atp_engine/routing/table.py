"""Which names clients may ask for and what stands behind each: built once per config, then only read.

The engine builds a `RoutingTable` when a config goes live; the walk asks it to `resolve` a model name,
the recorder for prices. It holds no live state: that is `health`, which outlives it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from difflib import get_close_matches
from fnmatch import translate

import msgspec

from atp_engine.config.models import Config, ProviderConfig, TimeoutOverrides, WeightedTarget
from atp_engine.core.errors import ConfigError, ConfigProblem
from atp_engine.core.pricing import FREE, Price
from atp_engine.core.types import DeploymentSpec, Dialect
from atp_engine.routing.prices import list_price, listed_price, price_of

MADE_ROUTES = 512
"""Most routes kept that were made from model patterns; the longest unused goes first."""
ESTIMATE_SLACK = 1.25
"""When no context is large enough by the estimate, the largest is tried if it is short by at most
this: the estimate may be that wrong, and only the vendor knows."""
_MODEL_NAME = re.compile(r"[\x21-\x7e]{1,256}")
_EMBEDDING_NAME = re.compile(
    r"embed|(?:^|[/_-])(?:bge|gte|e5|minilm|paraphrase|all-mpnet|voyage|arctic-embed)(?:[-_:.\d]|$)", re.IGNORECASE
)
_NEAR_NAMES = 400
_NEAR_LENGTH = 80


class VendorFacts(msgspec.Struct, frozen=True):
    """What the registry of vendors knows of a provider; the table asks for it by an argument."""

    dialect: Dialect
    is_local: bool = False
    catalog: str = ""
    """Whose bundled prices hold for its models (`openai`, `anthropic` ...); empty is nobody's."""
    prices: dict[str, Price] = {}
    """Prices that the vendor itself states, by model."""
    also: tuple[Dialect, ...] = ()
    """Further dialects that it speaks at paths of their own."""


VendorLookup = Callable[[str, ProviderConfig], VendorFacts]


class Timeouts(msgspec.Struct, frozen=True):
    """Limits of one upstream call in seconds, 0 is off."""

    connect_s: float
    ttft_s: float
    idle_s: float
    total_s: float
    is_ttft_set: bool
    """Somebody set the first-token limit for this route, deployment or provider: it binds as it stands."""


class Route(msgspec.Struct, frozen=True):
    """What a name stands for: deployments in the config's order, with the strategy that ranks them."""

    name: str
    """The alias, or the deployment's own name when it was asked for directly."""
    strategy: str
    deployments: tuple[DeploymentSpec, ...]
    weights: tuple[float, ...]
    """One per deployment, 1.0 where the config gives none."""
    timeouts: TimeoutOverrides
    is_alias: bool
    """True for a `[routes]` table."""
    size_steps: tuple[float, ...]
    """Sorted prompt sizes at which what fits may change; up to the first one everything fits."""
    goes_on_when_full: bool = False
    """A deployment without a free slot is passed over for the next that has one."""
    params: str = "adapt"
    """What becomes of fields that a deployment's dialect does not have: adapt, strict or pass."""
    midstream: str = "end"
    """What follows a stream that breaks after its first content: end, offer or restart."""
    assumed: Price | None = None
    """What deployments without a price are charged at."""


class RoutingTable:
    """Names to routes, deployments to prices and limits. `key in table` tells whether the config still
    knows a deployment, those made from model patterns included."""

    def __init__(self, config: Config, vendor_of: VendorLookup, now: Callable[[], float] = lambda: 0.0) -> None:
        """`now` gives UTC epoch seconds, for prices that hold from or until a day."""
        self._config = config
        self._now = now
        self._vendors = {name: vendor_of(name, provider) for name, provider in config.providers.items()}
        self.deployments: dict[str, DeploymentSpec] = {key: self._configured(key) for key in config.deployments}
        self._by_model = {(spec.provider, spec.model): spec for spec in reversed(self.deployments.values())}
        self._prices = {key: self._price_of(spec) for key, spec in self.deployments.items()}
        self._named: dict[str, Route] = {key: _single(spec) for key, spec in self.deployments.items()}
        self._named.update((name, self._alias(name)) for name in config.routes)
        self._patterns = [
            (name, re.compile("|".join(translate(pattern) for pattern in provider.models)))
            for name, provider in config.providers.items()
            if provider.models
        ]
        self._made: OrderedDict[str, Route] = OrderedDict()
        self._timeouts: dict[tuple[str, str], Timeouts] = {}

    def resolve(self, model: str) -> Route | None:
        """The route behind a model name, None when nothing has it.

        Looked up as: alias, deployment, `provider/model`, then the providers' model patterns in the
        config's order. A deployment of the same provider and model is used where there is one, so both
        names share its price and its breaker.
        """
        route = self._named.get(model) or self._made.get(model)
        if route is not None:
            if model in self._made:
                self._made.move_to_end(model)
            return route
        if not _MODEL_NAME.fullmatch(model):
            return None
        provider, vendor_model = self._provider_of(model)
        if not provider:
            return None
        spec = self._by_model.get((provider, vendor_model)) or self._on_demand(provider, vendor_model)
        route = _single(spec)
        self._made[model] = route
        if len(self._made) > MADE_ROUTES:
            self._made.popitem(last=False)
        return route

    def near(self, model: str) -> list[str]:
        """At most three names that look like this one, for the error message; costs about 1 ms."""
        return get_close_matches(model[:_NEAR_LENGTH], self.names()[:_NEAR_NAMES], n=3, cutoff=0.5)

    def names(self) -> tuple[str, ...]:
        """Every name that can be listed: aliases, deployments, then the patterns without wildcards."""
        exact = [
            model
            for provider in self._config.providers.values()
            for model in provider.models
            if not set("*?[") & set(model)
        ]
        return tuple(dict.fromkeys([*self._config.routes, *self.deployments, *exact]))

    def price(self, spec: DeploymentSpec) -> Price | None:
        """The price of a deployment, None when unknown: its own in the config, else that of `[prices]`, else the
        vendor's own, else the bundled one; a local server is free."""
        price = self._prices[spec.key] if spec.key in self._prices else self._price_of(spec)
        return price if price is None or not price.until_at else price.at(self._now())

    def timeouts(self, route: Route, spec: DeploymentSpec) -> Timeouts:
        """The limits of a call: the route's, else the deployment's, else the provider's, else the
        general ones, each of the four by itself."""
        key = (route.name, spec.key)
        found = self._timeouts.get(key)
        if found is None:
            if len(self._timeouts) >= 4 * MADE_ROUTES:
                self._timeouts.clear()
            found = self._timeouts[key] = self._limits(route, spec)
        return found

    def routes_of(self, key: str) -> tuple[str, ...]:
        """The aliases that a deployment serves, in the config's order."""
        return tuple(
            name for name in self._config.routes if any(spec.key == key for spec in self._named[name].deployments)
        )

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        return key in self.deployments or key.split("/", 1)[0] in self._vendors

    def _limits(self, route: Route, spec: DeploymentSpec) -> Timeouts:
        deployment = self._config.deployments.get(spec.key)
        layers = [route.timeouts, self._config.providers[spec.provider].timeouts]
        if deployment is not None:
            layers.insert(1, deployment.timeouts)
        general = self._config.timeouts
        return Timeouts(
            connect_s=_first([layer.connect_s for layer in layers], general.connect_s),
            ttft_s=_first([layer.ttft_s for layer in layers], general.ttft_s),
            idle_s=_first([layer.idle_s for layer in layers], general.idle_s),
            total_s=_first([layer.total_s for layer in layers], general.total_s),
            is_ttft_set=any(layer.ttft_s is not None for layer in layers),
        )

    def _provider_of(self, model: str) -> tuple[str, str]:
        provider, slash, rest = model.partition("/")
        if slash and rest and provider in self._vendors:
            return provider, rest
        for name, pattern in self._patterns:
            if pattern.match(model):
                return name, model
        return "", ""

    def _price_of(self, spec: DeploymentSpec) -> Price | None:
        deployment = self._config.deployments.get(spec.key)
        if deployment is not None and deployment.price is not None:
            return price_of(deployment.price)
        prices = self._config.prices
        listed = prices.get(f"{spec.provider}/{spec.model}") or prices.get(spec.model)
        price = self._bundled(spec)
        return price if listed is None else listed_price(listed, price)

    def _bundled(self, spec: DeploymentSpec) -> Price | None:
        vendor = self._vendors.get(spec.provider)
        if vendor is None:
            return None
        known = vendor.prices.get(spec.model)
        if known is not None:
            return known
        return FREE if spec.is_local else list_price(vendor.catalog, spec.model)

    def _configured(self, key: str) -> DeploymentSpec:
        deployment = self._config.deployments[key]
        if deployment.provider not in self._vendors:
            raise _missing(f"deployments.{key}.provider", f"there is no provider `{deployment.provider}`")
        return DeploymentSpec(
            key=key,
            provider=deployment.provider,
            model=deployment.model,
            dialect=self._vendors[deployment.provider].dialect,
            context_tokens=deployment.context_tokens,
            max_output_tokens=deployment.max_output_tokens,
            has_tools=deployment.has_tools,
            has_images=deployment.has_images,
            is_local=self._is_local(deployment.provider),
            max_parallel=deployment.max_parallel,
            is_enabled=deployment.is_enabled,
            also=self._vendors[deployment.provider].also,
            is_embedding=_is_embedding(deployment.model) if deployment.task is None else deployment.task != "chat",
            num_ctx=deployment.num_ctx,
        )

    def _on_demand(self, provider: str, model: str) -> DeploymentSpec:
        key = f"{provider}/{model}"
        if key in self.deployments:
            key += "@pattern"
        return DeploymentSpec(
            key=key,
            provider=provider,
            model=model,
            dialect=self._vendors[provider].dialect,
            context_tokens=0,
            max_output_tokens=0,
            has_tools=True,
            has_images=True,
            is_local=self._is_local(provider),
            max_parallel=0,
            also=self._vendors[provider].also,
            is_embedding=_is_embedding(model),
        )

    def _is_local(self, provider: str) -> bool:
        stated = self._config.providers[provider].is_local
        return self._vendors[provider].is_local if stated is None else stated

    def _alias(self, name: str) -> Route:
        config = self._config.routes[name]
        specs: list[DeploymentSpec] = []
        weights: list[float] = []
        for target in config.deployments:
            key, weight = (target.deployment, target.weight) if isinstance(target, WeightedTarget) else (target, 1.0)
            if key not in self.deployments:
                raise _missing(f"routes.{name}.deployments", f"there is no deployment `{key}`")
            if any(spec.key == key for spec in specs):
                continue
            specs.append(self.deployments[key])
            weights.append(weight)
        return Route(
            name=name,
            strategy=config.strategy,
            deployments=tuple(specs),
            weights=tuple(weights),
            timeouts=config.timeouts,
            is_alias=True,
            size_steps=_size_steps(specs),
            goes_on_when_full=config.when_full == "next",
            params=config.params,
            midstream=config.midstream,
            assumed=price_of(config.assume_price, "assumed", is_assumed=True) if config.assume_price else None,
        )


def _is_embedding(model: str) -> bool:
    """What a model gives by its name, for those whose config does not say."""
    return _EMBEDDING_NAME.search(model) is not None


def _single(spec: DeploymentSpec) -> Route:
    return Route(
        name=spec.key,
        strategy="ordered",
        deployments=(spec,),
        weights=(1.0,),
        timeouts=TimeoutOverrides(),
        is_alias=False,
        size_steps=_size_steps([spec]),
    )


def _size_steps(specs: list[DeploymentSpec]) -> tuple[float, ...]:
    sizes = [spec.context_tokens for spec in specs if spec.context_tokens]
    return tuple(sorted({*map(float, sizes), *(size * ESTIMATE_SLACK for size in sizes)}))


def _first(values: list[float | None], default: float) -> float:
    return next((value for value in values if value is not None), default)


def _missing(key: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path="", line=0, column=0, key=key, message=message)])
