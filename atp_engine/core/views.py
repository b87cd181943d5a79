"""What the faces see: the JSON of the admin API, as frozen structs.

Made by services, encoded by `api/admin.py`, decoded by `client/`. A face never sees anything else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.sent_views import WouldCost
from atp_engine.core.types import AttemptRecord, PriceState, RequestState, RouteDecision


class RequestView(msgspec.Struct, frozen=True):
    """One client call as a row: live (tokens grow) or final. Text in it comes from outside."""

    id: str
    started_at: float
    state: RequestState
    session_id: str
    client: str
    key_name: str
    dialect: str
    is_stream: bool
    asked: str
    """The model name that the client sent."""
    route: str
    served: str
    """The deployment that answers, empty while none does."""
    model: str
    """The vendor's model behind `served`."""
    provider: str
    tries: int
    """Upstream calls made so far."""
    http_status: int
    """What the client got; 0 while open."""
    error_code: str
    error_message: str
    ttft_ms: float | None
    duration_ms: float | None
    """None while open."""
    tokens_per_s: float | None
    """Output tokens over the time from first to last content; None when it cannot be told."""
    prompt_tokens: int
    cache_read_tokens: int
    output_tokens: int
    reasoning_tokens: int
    is_usage_estimated: bool
    cost_nusd: int
    price_state: PriceState
    finish_reason: str
    has_body: bool
    """Request and response bodies were kept."""
    queue_position: int = 0
    """1-based place in the queue it waits in now, 0 when it does not wait."""
    queue_wait_ms: float = 0.0
    """Time spent waiting for a place or a deployment's slot, all finished waits together."""


class FeedbackView(msgspec.Struct, frozen=True):
    """What a caller thought of an answer; None is what was not said. Text in it comes from outside."""

    at: float
    score: float | None = None
    """0 (useless) to 1 (perfect)."""
    labels: tuple[str, ...] = ()
    is_accepted: bool | None = None
    is_regenerated: bool | None = None
    comment: str = ""


class RequestDetail(msgspec.Struct, frozen=True):
    """Everything known of one request: the row, the decision, every attempt, and bodies if kept.

    Bodies are text, secrets redacted, cut to the stored cap; None when not kept.
    """

    request: RequestView
    decision: RouteDecision | None
    attempts: tuple[AttemptRecord, ...]
    request_body: str | None
    response_body: str | None
    dropped_fields: tuple[str, ...]
    """What could not be carried to the upstream's dialect."""
    position: int
    """1-based place among the session's requests, oldest first."""
    session_requests: int
    previous_id: str
    """The session's request before this one, empty at the ends."""
    next_id: str
    feedback: tuple[FeedbackView, ...] = ()
    """What its caller thought of the answer, oldest first."""
    would_cost: tuple[WouldCost, ...] = ()
    """Its tokens at each candidate whose price is known, in the decision's order."""
    is_pinned: bool = False
    """Its bodies and ledger lines stay until it is unpinned."""


class RequestPage(msgspec.Struct, frozen=True):
    """A page of finished and open requests, newest first; `next_before` continues it, empty at the end."""

    requests: tuple[RequestView, ...]
    next_before: str
    looked_back_to: float | None = None
    """Set where a search ended early: what arrived before this (UTC epoch s) was not looked at yet."""


class Tail(msgspec.Struct, frozen=True):
    """The last text of a request (at most 4 KiB), for a live preview."""

    id: str
    state: RequestState
    text: str
    output_tokens: int


class SessionView(msgspec.Struct, frozen=True):
    """The requests of one conversation or agent run."""

    id: str
    client: str
    key_name: str
    title: str
    """First words of the first user message, cut; outside text."""
    started_at: float
    last_at: float
    requests: int
    in_flight: int
    errors: int
    prompt_tokens: int
    output_tokens: int
    cost_nusd: int
    price_state: PriceState
    hold: str = ""
    """Why new requests of it are refused: paused or dropped by an operator; mostly empty."""
    pinned: str = ""
    """The deployment that serves all of it, empty when routes decide."""
    qos: str = ""
    """Its service class where it is not its key's."""
    budget_usd: float | None = None
    """Most dollars of a month."""


class DeploymentView(msgspec.Struct, frozen=True):
    """A deployment with its live state. Prices are USD per million tokens, None when unknown."""

    key: str
    provider: str
    model: str
    health: str
    """healthy, degraded, failing or unknown (no traffic yet)."""
    circuit: str
    """closed, open or half_open."""
    retry_in_s: float
    in_flight: int
    requests: int
    error_rate: float | None
    """Share of recent attempts that failed, 0..1."""
    p50_ms: float | None
    p95_ms: float | None
    ttft_p95_ms: float | None
    tokens_per_s: float | None
    input_usd: float | None
    output_usd: float | None
    price_source: str
    context_tokens: int
    is_local: bool
    last_error: str
    routes: tuple[str, ...]
    limit: int = 0
    """Most calls in flight now, learned or stated; 0 is no limit (or no traffic yet)."""
    queued: int = 0
    """Requests that wait for a slot."""
    is_enabled: bool = True
    """Routes may choose it; by the config, or by an operator's switch, which wins."""
    is_draining: bool = False
    """No new calls; those in flight go on."""
    is_held_open: bool = False
    """An operator opened its circuit; only an operator closes it."""
    block: str = ""
    """Why no call may start now, as a clause; empty when one may."""
    estimate_error: float | None = None
    """How far our token estimates are usually off what this vendor counts, as a share; None is not known yet."""


class EngineView(msgspec.Struct, frozen=True):
    """The engine's own vital signs, over the last minute where a rate."""

    version: str
    pid: int
    started_at: float
    uptime_s: float
    url: str
    config_path: str
    config_version: int
    config_problems: tuple[str, ...]
    """Why the newest file text is not live; empty when file and engine agree."""
    in_flight: int
    queued: int
    requests_total: int
    requests_per_s: float
    error_share: float
    """Failed or truncated of the last minute's finished requests, 0..1."""
    p50_ms: float | None
    p95_ms: float | None
    cost_per_hour_nusd: int
    cost_today_nusd: int
    unknown_cost_today: int
    """Requests of today whose price is unknown, so that the sum is not taken for the whole."""
    recorder_lag_ms: float
    """Age of the oldest record not yet committed."""
    dropped: dict[str, int]
    """Per bounded buffer: how many entries were dropped so far."""
    storage_state: str
    """ok or degraded, with the reason."""
    warnings: tuple[str, ...] = ()
    """What works but needs somebody: a credential that is missing, a damaged database that was set aside."""


class Connection(msgspec.Struct, frozen=True):
    """How a client is pointed at this engine: one thing to paste per known client."""

    name: str
    """`OpenAI SDK`, `Claude Code`, `Codex`, `aider`, `curl`."""
    lines: tuple[str, ...]
    note: str = ""


class FirstRun(msgspec.Struct, frozen=True):
    """What the empty screen shows: where to point clients and what was found on this machine."""

    connections: tuple[Connection, ...]
    found: tuple[str, ...]
    """One clause each: `OpenAI key in OPENAI_API_KEY`, `Ollama at 127.0.0.1:11434 (3 models)`."""
    providers: tuple[str, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """The whole live state at event number `seq`; deltas after it arrive as events."""

    seq: int
    engine: EngineView
    requests: tuple[RequestView, ...]
    """Newest first: everything open, then the latest finished, at most 500."""
    sessions: tuple[SessionView, ...]
    deployments: tuple[DeploymentView, ...]
    first_run: FirstRun


class SessionDetail(msgspec.Struct, frozen=True):
    """One session with its requests, newest first."""

    session: SessionView
    requests: tuple[RequestView, ...]


class ConfigView(msgspec.Struct, frozen=True):
    """The configuration in effect, credentials and header values left out."""

    version: int
    path: str
    effective: dict[str, Any]
    problems: tuple[str, ...]
    """Why the newest file text is not live; empty when file and engine agree."""


class CancelReply(msgspec.Struct, frozen=True):
    """Whether a request was still open and is now being ended."""

    cancelled: bool


class TrialReply(msgspec.Struct, frozen=True):
    """What a test request through the whole walk brought: the client's status and the answer's text."""

    request_id: str
    status: int
    text: str


class LaunchCode(msgspec.Struct, frozen=True):
    """A code that logs one browser in, once: `http://host:port/ui/#code=...`."""

    code: str
    expires_s: float
