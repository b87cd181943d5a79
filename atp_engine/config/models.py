"""The configuration as one frozen tree; every key has a description and a default.

Parsed by `config/load.py`, read by every service through a snapshot reference. Nothing in it is a
secret: credentials are references (`env:NAME`, `file:PATH`, `keyring:SERVICE/NAME`) resolved by
`config/secrets.py`. Prices are US dollars per million tokens.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

SecretRef = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+)$",
        max_length=1_024,
        description="Where the secret is kept.",
        examples=["env:OPENAI_API_KEY", "file:openai.key", "keyring:atp-console/openai"],
    ),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]
ModelPattern = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,256}$", examples=["claude-*"])]
HostValue = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$", examples=["box.lan:7443"])
]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Usd = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerConfig(Section):
    """Where the engine listens and what it accepts."""

    host: str = Field(default="127.0.0.1", pattern=r"^[A-Za-z0-9.:_%-]{1,255}$")
    """Address to bind; anything but loopback is your decision to expose the router."""
    port: int = Field(default=7443, ge=0, le=65_535)
    """TCP port for clients, dashboard and admin API; 0 takes any free one."""
    allowed_hosts: tuple[HostValue, ...] = ()
    """Host header values accepted besides loopback names and `host`, with port, e.g. `box.lan:7443`."""
    max_body_bytes: int = Field(default=33_554_432, ge=1_024, le=1_073_741_824)
    """Largest request body, in bytes; a larger one is refused with 413 before it is parsed."""
    header_timeout_s: Seconds = 10.0
    """Longest time to receive a request's headers."""
    body_timeout_s: Seconds = 30.0
    """Longest time to receive a request's body, extended while at least 8 KiB/s arrive."""
    write_timeout_s: Seconds = 60.0
    """Longest time a client may not read while its answer is ready; then its call is cancelled."""
    drain_s: Seconds = 10.0
    """How long open requests may finish after a stop signal."""
    is_metrics_public: bool = False
    """Serve `/metrics` without a token (loopback scrapers)."""


class TimeoutsConfig(Section):
    """Limits of one upstream call in seconds; 0 turns a limit off."""

    connect_s: Seconds = 5.0
    """To connect, including TLS."""
    ttft_s: Seconds = 15.0
    """To the first content event of a stream, while another deployment is left to try."""
    idle_s: Seconds = 20.0
    """Between two events of a stream."""
    total_s: Seconds = 600.0
    """For the whole call."""


class HealthConfig(Section):
    """How long a deployment is left alone after its circuit opened."""

    cooldown_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 5.0
    """First pause of a deployment that keeps failing; each failed probe doubles it."""
    max_cooldown_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 15.0
    """Longest such pause, so that a deployment is back soon after it recovered; a vendor's own
    Retry-After may ask for up to 60 s."""


class TimeoutOverrides(Section):
    """Limits that differ from `[timeouts]`; a missing key keeps the general one."""

    connect_s: Seconds | None = None
    """To connect, including TLS."""
    ttft_s: Seconds | None = None
    """To the first content event of a stream."""
    idle_s: Seconds | None = None
    """Between two events of a stream."""
    total_s: Seconds | None = None
    """For the whole call."""


class SimulatedProfile(Section):
    """How a simulated model behaves; the name of the profile is the model's name."""

    ttft_ms: float = Field(default=300.0, ge=0, le=600_000, allow_inf_nan=False)
    """Mean time to the first token."""
    tokens_per_s: float = Field(default=60.0, gt=0, le=1_000_000, allow_inf_nan=False)
    """Mean pace of the stream."""
    output_tokens: int = Field(default=120, ge=1, le=100_000)
    """Mean length of an answer."""
    quality: float = Field(default=0.7, ge=0, le=1, allow_inf_nan=False)
    """Stated quality, shown and used by strategies that weigh it."""
    rate_429: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Share of calls answered with 429."""
    rate_500: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Share of calls answered with 500."""
    rate_slow: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Share of calls that take ten times as long to the first token."""
    rate_cut: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Share of streams that are cut in the middle."""


class ProviderConfig(Section):
    """A vendor or a server: where it is and how we identify ourselves."""

    kind: str = Field(min_length=1, max_length=64, examples=["openai", "anthropic", "ollama", "custom", "simulated"])
    """Row of the registry: openai, anthropic, openrouter, groq, ollama, vllm, custom, simulated ..."""
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Root of the API including its version part; the registry's own when missing."""
    api_key: SecretRef | None = None
    """Reference to the credential: `env:NAME`, `file:PATH` or `keyring:SERVICE/NAME`."""
    dialect: Literal["openai_chat", "openai_responses", "anthropic", "gemini", "ollama"] | None = None
    """Wire format, for `custom` and `simulated`; others know theirs. gemini and ollama take openai_chat too."""
    models: tuple[ModelPattern, ...] = Field(default=(), max_length=256)
    """Model name patterns (`claude-*`) that are served under the client's own name without a deployment."""
    headers: dict[str, str] = {}
    """Extra headers to send; not for secrets."""
    proxy: str | None = Field(default=None, pattern=r"^(https?|socks5h?)://[^\s]+$")
    """HTTP(S) or SOCKS proxy for this provider."""
    transport: Literal["pooled", "aiohttp"] = "pooled"
    """HTTP client; a proxy always uses aiohttp."""
    ca_file: str | None = None
    """PEM file with the certificate authority of a private server, relative to this file."""
    max_connections: int = Field(default=1_024, ge=1, le=10_000)
    """Most connections open to this provider at once; further calls wait in order."""
    is_local: bool | None = None
    """On this machine or network: free unless priced, kept by local-only routes."""
    timeouts: TimeoutOverrides = TimeoutOverrides()
    """Limits for calls to this provider."""
    seed: int = Field(default=7443, ge=0)
    """Simulated only: same seed, same behaviour."""
    profiles: dict[Name, SimulatedProfile] = {}
    """Simulated only: models and how they behave; built-in ones when empty."""


class PriceConfig(Section):
    """USD per million tokens."""

    input: Usd
    """Prompt tokens."""
    output: Usd
    """Generated tokens."""
    cache_read: Usd | None = None
    """Prompt tokens read from the vendor's cache; the input price when missing."""
    cache_write: Usd | None = None
    """Prompt tokens written to the vendor's cache; the input price when missing."""
    cache_write_1h: Usd | None = None
    """Prompt tokens written to be kept for an hour; as `cache_write` when missing, and costs are then assumed."""
    reasoning: Usd | None = None
    """Thinking, where it is billed apart; the output price when missing."""
    above_tokens: int = Field(default=0, ge=0, le=100_000_000)
    """Prompts longer than this are charged at `input_above` and `output_above`; 0 is none."""
    input_above: Usd | None = None
    """Prompt tokens of such calls; cache prices rise as this does."""
    output_above: Usd | None = None
    """Generated tokens of such calls."""
    factor: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    """Multiplies all of it, such as 0.5 for a contract at half the list price."""
    tiers: dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", examples=["flex"])],
        Annotated[float, Field(gt=0, le=100, allow_inf_nan=False, examples=[0.5])],
    ] = {}
    """What a service tier that the vendor's answer names multiplies prices by, e.g. `flex = 0.5`; a tier that is
    not listed is charged like the standard one, and the cost is assumed."""
    watts: float = Field(default=0.0, ge=0, le=1_000_000, allow_inf_nan=False)
    """Power that a local server draws for a call; its time is charged at `usd_per_kwh`."""
    usd_per_kwh: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)] = 0.0
    """Tariff for that power."""


class ListedPriceConfig(PriceConfig):
    """Price of a model, named `model` or `provider/model`, in place of the bundled one."""

    since: date | None = None
    """First day (UTC) on which it holds; the bundled price holds before."""
    until: date | None = None
    """First day (UTC) on which it holds no more; the bundled price holds from then on."""
    source: str = Field(default="", max_length=200)
    """Where the figure is from, for people."""


class DeploymentConfig(Section):
    """A provider's model that routes can choose."""

    provider: Name
    """Name of a `[providers]` table."""
    model: str = Field(min_length=1, max_length=256)
    """The provider's own name of the model."""
    context_tokens: int = Field(default=0, ge=0, le=100_000_000)
    """Context window; 0 is unknown and never a reason to drop the deployment."""
    max_output_tokens: int = Field(default=0, ge=0, le=100_000_000)
    """Longest answer; 0 is unknown."""
    has_tools: bool = True
    """Can call tools."""
    has_images: bool = True
    """Can read images."""
    task: Literal["chat", "embeddings"] | None = None
    """What it gives; told from the model's name when missing (`...embed...` gives embeddings)."""
    num_ctx: int | None = Field(default=None, ge=0, le=100_000_000)
    """Window to ask an Ollama server for; 0 leaves it to the server. When missing it grows with the prompt, in powers
    of two up to `context_tokens`, since the server cuts longer prompts silently."""
    price: PriceConfig | None = None
    """Overrides the bundled price."""
    is_enabled: bool = True
    """False takes it out of every route."""
    max_parallel: int = Field(default=0, ge=0, le=100_000)
    """Most calls in flight at once; 0 leaves it to `limits.adaptive`."""
    timeouts: TimeoutOverrides = TimeoutOverrides()
    """Limits for calls to this deployment."""


class WeightedTarget(Section):
    """A deployment with its share of a weighted route."""

    deployment: Name
    """Name of a `[deployments]` table."""
    weight: float = Field(default=1.0, gt=0, le=1_000_000, allow_inf_nan=False)
    """Share relative to the others."""


def _is_table(target: object) -> str:
    return "table" if isinstance(target, (dict, WeightedTarget)) else "name"


Target = Annotated[
    Annotated[Name, Tag("name")] | Annotated[WeightedTarget, Tag("table")],
    Discriminator(_is_table),
]


class RouteConfig(Section):
    """An alias that clients ask for; it wins over a deployment of the same name."""

    deployments: tuple[Target, ...] = Field(min_length=1, max_length=64)
    """Deployments, best first; `{ deployment = "a", weight = 3 }` for the weighted strategy."""
    strategy: Literal["ordered", "weighted"] = "ordered"
    """ordered tries from the top; weighted draws the first by weight, the rest follow by weight."""
    description: str = Field(default="", max_length=200)
    """For people."""
    params: Literal["adapt", "strict", "pass"] = "adapt"
    """Fields that a deployment's dialect does not have: leave them out and say so (adapt), refuse the request
    (strict), or hand those at the top of the body up as they are (pass)."""
    when_full: Literal["wait", "next"] = "wait"
    """A deployment without a free slot: wait for one, or go to the next that has one."""
    midstream: Literal["end", "offer", "restart"] = "end"
    """A stream that breaks after its first content: end it with an error, begin the answer again on the next
    deployment for clients that send `x-atp-midstream: restart` (offer), or for all clients of the route."""
    assume_price: PriceConfig | None = None
    """Price for deployments whose own is unknown, told as assumed; without it dollar windows leave them out."""
    timeouts: TimeoutOverrides = TimeoutOverrides()
    """Limits for requests on this route."""


class AdaptiveConfig(Section):
    """Calls in flight per deployment, learned: one more per answer in time, half after overload or a rate limit."""

    is_on: bool = True
    """False leaves a deployment without `max_parallel` unlimited."""
    base: int = Field(default=4, ge=1, le=100_000)
    """Calls in flight that a new deployment starts with."""
    cap: int = Field(default=64, ge=1, le=100_000)
    """Most calls in flight for a deployment that states no `max_parallel`, which is its cap otherwise."""
    floor: int = Field(default=1, ge=1, le=100_000)
    """Fewest calls in flight, however bad it gets."""
    latency_target_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 30.0
    """An answer is in time when its first content (of a stream) or its end (of others) comes this soon."""


class WindowConfig(Section):
    """A budget: what may be in flight and used within a period. A limit that is not given does not bind."""

    scope: Literal["everything", "key", "project", "session", "route", "deployment"] = "everything"
    """Whose work is counted; each key (project, session ...) has a window of its own."""
    of: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = Field(default=(), max_length=1_000)
    """Names of keys, projects, routes or deployments; empty means every one."""
    period: Literal["in_flight", "minute", "hour", "day", "month"] = "day"
    """What tokens and dollars are counted over: a calendar period in `limits.time_zone`, or what is in flight."""
    max_parallel: int | None = Field(default=None, ge=1, le=100_000)
    """Most requests in flight (of a deployment: upstream calls)."""
    max_tokens: int | None = Field(default=None, ge=0, le=1_000_000_000_000)
    """Most tokens, prompt and answer together."""
    max_usd: Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)] | None = None
    """Most US dollars. Deployments whose price is unknown are then left out, unless the route has `assume_price`."""
    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    """Most requests per minute."""
    on_exceed: Literal["refuse", "queue", "cheapest", "local_only"] = "refuse"
    """What becomes of a request that does not fit: refused with 429, queued until it fits (at most
    `limits.queue_timeout_s`), or served by the cheapest deployment, or by local ones only."""


class LimitsConfig(Section):
    """What is admitted."""

    max_parallel: int = Field(default=512, ge=1, le=100_000)
    """Most requests in flight in the whole engine."""
    max_queued: int = Field(default=1_024, ge=0, le=100_000)
    """Most requests waiting for a place or for a deployment's slot; further ones are refused with 503."""
    queue_timeout_s: Seconds = 30.0
    """Longest wait for a place or a slot, all waits of a request together; 0 refuses at once."""
    requests_per_minute: int = Field(default=0, ge=0, le=10_000_000)
    """Per client key; 0 is no limit."""
    max_attempts: int = Field(default=4, ge=1, le=32)
    """Most upstream calls for one request."""
    time_zone: str = Field(default="UTC", min_length=1, max_length=64)
    """Whose calendar the windows' days and months follow, such as `Europe/Berlin`."""
    adaptive: AdaptiveConfig = AdaptiveConfig()


class CacheConfig(Section):
    """Where bodies and answers may use disk."""

    max_body_store_bytes: int = Field(default=536_870_912, ge=1_048_576)
    """Most bytes of stored request and response bodies; successes go first, then errors, the oldest first."""


class StorageConfig(Section):
    """What is recorded."""

    is_bodies_kept: bool = True
    """Keep request and response bodies (redacted, compressed) for the request page."""
    body_ttl_h: float = Field(default=72.0, gt=0, le=87_600, allow_inf_nan=False)
    """Hours that bodies of successes are kept."""
    error_body_ttl_h: float = Field(default=336.0, gt=0, le=87_600, allow_inf_nan=False)
    """Hours that bodies of failed requests are kept; those of pinned requests stay until they are unpinned."""
    body_max_bytes: int = Field(default=262_144, ge=1_024, le=16_777_216)
    """Longest stored body; the rest is cut and marked."""
    bodies_per_s: float = Field(default=50.0, gt=0, le=100_000, allow_inf_nan=False)
    """Most bodies stored a second; above it they are skipped and counted, traffic is not slowed."""
    commit: Literal["before_reply", "batched"] = "before_reply"
    """before_reply: the ledger line is committed before the answer's last byte; batched: within 50 ms."""
    response_ttl_h: float = Field(default=720.0, gt=0, le=87_600, allow_inf_nan=False)
    """Hours that an answer of `/v1/responses` can be asked for and built upon by its id."""
    max_responses_bytes: int = Field(default=268_435_456, ge=1_048_576)
    """Most bytes of such answers with their questions; the oldest go first."""
    ledger_ttl_days: float = Field(default=1_095.0, ge=40, le=36_500, allow_inf_nan=False)
    """Days that requests and their ledger lines are kept, and the sums of sessions by day; other sums by day stay."""
    minute_sums_days: float = Field(default=40.0, ge=2, le=36_500, allow_inf_nan=False)
    """Days that sums of the ledger by minute are kept."""
    hour_sums_days: float = Field(default=400.0, ge=2, le=36_500, allow_inf_nan=False)
    """Days that sums of the ledger by hour are kept, those of sessions aside."""
    session_sums_days: float = Field(default=40.0, ge=2, le=36_500, allow_inf_nan=False)
    """Days that sums of sessions by hour are kept."""
    max_disk_bytes: int = Field(default=8_589_934_592, ge=134_217_728, le=1_099_511_627_776)
    """Most bytes of the whole data directory. First bodies of successes make room, then those of errors, then pinned
    ones, then answers kept for `/v1/responses`, and at last the oldest ledger lines."""
    min_free_bytes: int = Field(default=67_108_864, ge=0, le=1_099_511_627_776)
    """When the disk has less left than this, bodies make room for the ledger, whoever has filled it."""


class SessionsConfig(Section):
    """How requests are grouped."""

    ttl_s: Seconds = 3_600.0
    """A session ends this long after its last request."""
    max_sessions: int = Field(default=10_000, ge=1, le=1_000_000)
    """Most sessions in memory; the longest idle one goes first."""


class LoggingConfig(Section):
    """The engine's log: JSON lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level written."""
    file: str | None = Field(default=None, min_length=1)
    """Path, relative to this file; standard error when missing (the console keeps it in the data directory)."""
    max_file_bytes: int = Field(default=10_485_760, ge=65_536, le=1_073_741_824)
    """Size at which the log file is set aside and a new one begun."""
    kept_files: int = Field(default=3, ge=1, le=100)
    """Most files set aside; the oldest goes first."""


class Config(Section):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    health: HealthConfig = HealthConfig()
    providers: dict[Name, ProviderConfig] = {}
    deployments: dict[Name, DeploymentConfig] = {}
    routes: dict[Name, RouteConfig] = {}
    windows: dict[Name, WindowConfig] = {}
    prices: dict[Name, ListedPriceConfig] = {}
    limits: LimitsConfig = LimitsConfig()
    cache: CacheConfig = CacheConfig()
    storage: StorageConfig = StorageConfig()
    sessions: SessionsConfig = SessionsConfig()
    logging: LoggingConfig = LoggingConfig()
