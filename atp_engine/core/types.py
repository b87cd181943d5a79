"""The values that travel along the walk of a request; every room speaks in these.

Frozen msgspec structs: built in C (about a tenth of a dataclass's cost), encoded to JSON without a
mapping step. Durations end in `_ms`, instants in `_at` (UTC epoch seconds), money in `_nusd`. The
enumerations hash as the text they are: the enum's own hash is a Python call in every look-up.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Dialect(StrEnum):
    """A wire format, spoken by a client or by an upstream."""

    __hash__ = str.__hash__

    OPENAI_CHAT = "openai_chat"
    ANTHROPIC = "anthropic"
    OPENAI_RESPONSES = "openai_responses"
    OPENAI_COMPLETIONS = "openai_completions"
    OPENAI_EMBEDDINGS = "openai_embeddings"
    GEMINI_EMBEDDINGS = "gemini_embeddings"
    GEMINI = "gemini"
    OLLAMA = "ollama"


VECTOR_DIALECTS = (Dialect.OPENAI_EMBEDDINGS, Dialect.GEMINI_EMBEDDINGS)
"""Those of embeddings."""


class RequestState(StrEnum):
    """Where a request stands; the last six are final."""

    __hash__ = str.__hash__

    QUEUED = "queued"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    OK = "ok"
    HIT = "hit"
    TRUNCATED = "truncated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    is_final: bool
    """The request will not change any more. An attribute, since every request is asked several times."""

    def __init__(self, text: str) -> None:
        self.is_final = text not in ("queued", "connecting", "streaming")


class PriceState(StrEnum):
    """How sure a cost is: `unknown` is never shown as zero, `assumed` rests on an estimate."""

    __hash__ = str.__hash__

    KNOWN = "known"
    ASSUMED = "assumed"
    UNKNOWN = "unknown"


class QoS(StrEnum):
    """Service class of a key; decides its share of the queue."""

    __hash__ = str.__hash__

    GOLD = "gold"
    SILVER = "silver"
    BRONZE = "bronze"


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens of one call, normalised over vendors.

    `input_tokens` are prompt tokens neither read from nor written to a cache; the prompt's size is
    `prompt_tokens`. `reasoning_tokens` are part of `output_tokens`, never added to them.
    `cache_write_1h_tokens` are part of `cache_write_tokens`: what is kept for an hour and charged apart.
    `is_estimated` marks a usage that the vendor did not report.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False
    cache_write_1h_tokens: int = 0
    tier: str = ""
    """The service tier that the vendor names, such as flex or priority; empty for the standard one."""

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


NO_USAGE = TokenUsage()


class RequestFacts(msgspec.Struct, frozen=True):
    """What one light read of the body tells; the router and the recorder need nothing else of it."""

    model: str
    is_stream: bool
    has_tools: bool
    has_images: bool
    wants_json: bool
    """A JSON schema or JSON mode was asked for."""
    wants_usage: bool
    """The client itself asked for the usage chunk of a stream (`stream_options.include_usage`)."""
    wants_reasoning: bool
    max_output_tokens: int
    """What the client allows, 0 when it says nothing."""
    prompt_bytes: int
    prompt_tokens_estimate: int
    message_count: int
    session_hint: str
    """A session id found in the body, else empty."""
    prefix_seed: bytes
    """System prompt and first user message, cut to 4 KiB: the material of the session fingerprint."""
    has_unsigned_thinking: bool = False
    """The history holds thinking that this dialect's vendor has not sealed, from another vendor's answers."""
    echo: dict[str, msgspec.Raw] | None = None
    """Fields of the body that answers of this dialect repeat; such answers get an id of ours."""
    is_embedding: bool = False
    """Vectors are wanted, not an answer in words."""
    is_base64: bool = False
    """They are wanted as base64."""


class ClientHint(msgspec.Struct, frozen=True):
    """Who calls, read from headers: a known client's name and its explicit session id, if any."""

    client: str
    """Short name such as `claude-code`, `codex`, `openai-py`; `unknown` when not recognised."""
    session_hint: str = ""


class Caller(msgspec.Struct, frozen=True):
    """The owner of the credential that came with a request."""

    key_id: str
    key_name: str
    project: str = ""
    qos: QoS = QoS.SILVER
    requests_per_minute: int = 0
    """0 means no limit."""
    routes: tuple[str, ...] = ()
    """Names or patterns of the routes it may ask for; empty is all."""
    models: tuple[str, ...] = ()
    """Deployments, models or patterns that may serve it; empty is all."""


class DeploymentSpec(msgspec.Struct, frozen=True):
    """Provider + model + endpoint + credential: the thing that is chosen, called and guarded."""

    key: str
    """The name in the config, or `provider/model` for one made from a model pattern."""
    provider: str
    model: str
    """The provider's own name, as sent upstream."""
    dialect: Dialect
    context_tokens: int
    """0 when unknown: never a reason to drop it."""
    max_output_tokens: int
    has_tools: bool
    has_images: bool
    is_local: bool
    max_parallel: int
    """0 means no limit."""
    is_enabled: bool = True
    also: tuple[Dialect, ...] = ()
    """Further dialects that its vendor speaks at paths of their own."""
    is_embedding: bool = False
    """Gives vectors and nothing else."""
    num_ctx: int | None = None
    """Window to ask an Ollama server for: None fits it to each call, 0 leaves it to the server."""

    def wire(self, client: Dialect) -> Dialect:
        """The dialect to call it in for a client of another one: the client's own where the vendor has it."""
        if client in self.also:
            return client
        if client in VECTOR_DIALECTS and self.gives_vectors:
            return next(one for one in self.also if one in VECTOR_DIALECTS)
        return self.dialect

    @property
    def gives_vectors(self) -> bool:
        """Its vendor has embeddings."""
        return any(one in VECTOR_DIALECTS for one in self.also)


class CandidateVerdict(msgspec.Struct, frozen=True):
    """One deployment in a decision: its rank and score, or the reason it was dropped."""

    deployment: str
    provider: str
    model: str
    rank: int
    """1 is tried first; 0 means dropped."""
    score: float | None
    reason: str
    """Why this place or why dropped, one plain clause: `first in order`, `context 32k < 41k needed`."""


class RouteDecision(msgspec.Struct, frozen=True):
    """Which deployments will be tried, in which order, and why each other one was dropped.

    Stored and shown verbatim. `id` is a hash of the content, so equal decisions are stored once.
    """

    id: str
    route: str
    """The alias that matched, or the deployment's own name when it was asked for directly."""
    strategy: str
    config_version: int
    explanation: str
    """One sentence for people."""
    candidates: tuple[CandidateVerdict, ...]
    """The ranked ones first, best first, then the dropped."""
    is_last_resort: bool = False
    """Every deployment that fits is kept away by a circuit or a cooldown: the least bad is tried anyway."""

    @property
    def ranked(self) -> tuple[CandidateVerdict, ...]:
        """The live candidates, best first."""
        return tuple(candidate for candidate in self.candidates if candidate.rank)

    @property
    def is_empty(self) -> bool:
        """Nothing can take the request."""
        return not self.candidates or not self.candidates[0].rank


class AttemptOutcome(StrEnum):
    """How one upstream call ended; everything but `ok` names an error class."""

    __hash__ = str.__hash__

    OK = "ok"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    REJECTED = "rejected"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_BLOCKED = "content_blocked"
    AUTH_FAILED = "auth_failed"
    BAD_REPLY = "bad_reply"
    TRUNCATED = "truncated"


class AttemptRecord(msgspec.Struct, frozen=True):
    """One upstream call, finished: a line of the ledger. Offsets count from the request's arrival."""

    number: int
    deployment: str
    provider: str
    model: str
    outcome: AttemptOutcome
    started_ms: float
    duration_ms: float
    ttft_ms: float | None
    http_status: int
    message: str
    """Public text of the failure, empty when ok."""
    usage: TokenUsage
    cost_nusd: int
    price_state: PriceState
