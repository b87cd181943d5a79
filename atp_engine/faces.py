"""The HTTP face on an engine's parts: which path reaches which service. `engine` calls it once.

A new endpoint is a handler in `api` and a row here.
"""

from __future__ import annotations

import asyncio

from atp_engine.api.admin_config import AdminConfig
from atp_engine.api.admin_deployments import AdminDeployments
from atp_engine.api.admin_keys import AdminKeys
from atp_engine.api.admin_ledger import AdminLedger
from atp_engine.api.admin_metrics import AdminMetrics
from atp_engine.api.admin_play import AdminPlay
from atp_engine.api.admin_sent import AdminSent
from atp_engine.api.admin_sessions import AdminSessions
from atp_engine.api.admin_storage import AdminStorage
from atp_engine.api.admin_trail import AdminTrail
from atp_engine.api.admin_windows import AdminWindows
from atp_engine.api.app import ClientRoutes, Front, Row, build_app
from atp_engine.api.asides import Answers, Aside, Make
from atp_engine.api.ask import AskEndpoint
from atp_engine.api.auth import Policy
from atp_engine.api.bases import hot_under_bases, routes_under_bases
from atp_engine.api.exchange import HotEndpoints
from atp_engine.api.gemini import PATHS as GEMINI_PATHS
from atp_engine.api.gemini import GeminiEndpoint
from atp_engine.api.llm import ChatEndpoint
from atp_engine.api.models import ModelList
from atp_engine.api.ollama import EmbedCall, GenerateCall, OlderEmbedCall, OllamaCall, OllamaEndpoint
from atp_engine.api.ollama_models import OllamaModels
from atp_engine.api.responses import StoredResponses
from atp_engine.core.types import Dialect
from atp_engine.parts import Parts
from atp_engine.services.counting import Counting
from atp_engine.services.feedback import Feedback


def build_front(parts: Parts, port: int, stopping: asyncio.Event) -> Front:
    """The ASGI face; `port` is the one really bound, `stopping` ends all event streams."""
    probes = Probes(parts)
    return build_app(
        observatory=parts.observatory,
        verify_admin=parts.admin.verify,
        identify_client=parts.keys.identify,
        config=lambda: parts.runtime.current.config,
        port=port,
        probes={
            "database": probes.database,
            "disk": probes.disk,
            "config": probes.config,
            "providers": probes.providers,
        },
        facts={"sqlite_version": parts.database.sqlite_version},
        metrics_text=parts.metrics_text,
        try_model=parts.trial.run,
        clock=parts.clock,
        new_id=parts.new_id,
        stopping=stopping,
        hot={**hot_under_bases({**_hot(parts), **_own(parts)}), **_hot_elsewhere(parts)},
        client_routes=routes_under_bases(_client_routes(parts)),
        admin_routes=_admin_routes(parts),
        note_act=parts.trail.note,
    )


def _hot(parts: Parts) -> HotEndpoints:
    """The calls that are routed to models."""
    return {
        ("POST", path): ChatEndpoint(
            dialect,
            walk,
            parts.keys,
            parts.new_id,
            lambda: parts.runtime.current.config.server.max_body_bytes,
        )
        for path, dialect, walk in (
            ("/v1/chat/completions", Dialect.OPENAI_CHAT, parts.completions),
            ("/v1/messages", Dialect.ANTHROPIC, parts.completions),
            ("/v1/responses", Dialect.OPENAI_RESPONSES, parts.responses),
            ("/v1/completions", Dialect.OPENAI_COMPLETIONS, parts.completions),
            ("/v1/embeddings", Dialect.OPENAI_EMBEDDINGS, parts.completions),
        )
    }


def _hot_elsewhere(parts: Parts) -> HotEndpoints:
    """The same for the surfaces of Gemini and Ollama, which no other vendor's base leads to."""
    parts_of_a_call = (parts.completions, parts.keys, parts.new_id)

    def max_body() -> int:
        return parts.runtime.current.config.server.max_body_bytes

    gemini = GeminiEndpoint(*parts_of_a_call, max_body, parts.runtime)
    return {
        **{("POST", path): gemini for path in GEMINI_PATHS},
        ("POST", "/api/chat"): OllamaEndpoint(OllamaCall, *parts_of_a_call, max_body),
        ("POST", "/api/generate"): OllamaEndpoint(GenerateCall, *parts_of_a_call, max_body),
        ("POST", "/api/embed"): OllamaEndpoint(EmbedCall, *parts_of_a_call, max_body),
        ("POST", "/api/embeddings"): OllamaEndpoint(OlderEmbedCall, *parts_of_a_call, max_body),
    }


def _own(parts: Parts) -> HotEndpoints:
    """ATP's own calls, and what is counted without a call."""
    feedback = Feedback(parts.feedback, parts.repository, parts.live, parts.clock)
    answers = Answers(parts.asking, feedback, Counting(parts.runtime, parts.estimates))

    def max_body() -> int:
        return parts.runtime.current.config.server.max_body_bytes

    def aside(dialect: Dialect | None, make: Make) -> Aside:
        return Aside(dialect, make, parts.keys, parts.new_id, max_body)

    return {
        ("POST", "/v1/ask"): AskEndpoint(parts.asking, parts.completions, parts.keys, parts.new_id, max_body),
        ("POST", "/v1/plan"): aside(None, answers.plan),
        ("POST", "/v1/observe"): aside(None, answers.observe),
        ("POST", "/v1/responses/input_tokens"): aside(Dialect.OPENAI_RESPONSES, _stored_responses(parts).input_tokens),
        ("POST", "/v1/messages/count_tokens"): aside(Dialect.ANTHROPIC, answers.count_tokens),
    }


def _stored_responses(parts: Parts) -> StoredResponses:
    return StoredResponses(parts.responses, Counting(parts.runtime, parts.estimates))


def _client_routes(parts: Parts) -> ClientRoutes:
    """What else a holder of a client key may ask."""
    models = ModelList(parts.runtime, parts.health, parts.clock)
    ollama = OllamaModels(models)
    responses = _stored_responses(parts)
    return (
        ("GET", "/v1/models", models.all),
        ("GET", "/v1/models/{id:path}", models.one),
        ("GET", "/v1/responses/{id}", responses.one),
        ("DELETE", "/v1/responses/{id}", responses.remove),
        ("GET", "/v1/responses/{id}/input_items", responses.input_items),
        ("GET", "/v1beta/models", models.all),
        ("GET", "/v1beta/models/{id:path}", models.one),
        ("GET", "/api/tags", ollama.tags),
        ("GET", "/api/ps", ollama.loaded),
        ("GET", "/api/version", ollama.version),
        ("POST", "/api/show", ollama.show),
    )


def _admin_routes(parts: Parts) -> list[Row]:
    """The admin API's modules beside the observatory's."""
    keys = AdminKeys(parts.keys, parts.tokens)
    ledger = AdminLedger(parts.ledger)
    storage = AdminStorage(parts.retention, parts.pins)
    play = AdminPlay(parts.playground, parts.trail.note)
    return [
        ("POST", "/admin/plays", Policy.ACT, play.play),
        ("POST", "/admin/requests/{id}/replay", Policy.ACT, play.replay),
        ("GET", "/admin/requests/{id}/decision", Policy.VIEW, play.decide),
        ("GET", "/admin/requests/{id}/sent", Policy.VIEW, AdminSent(parts.sent).one),
        ("GET", "/admin/logs", Policy.VIEW, AdminTrail(parts.trail).logs),
        ("POST", "/admin/deployments/{key:path}/{act}", Policy.ACT, AdminDeployments(parts.switches).act),
        ("POST", "/admin/sessions/{id}/{act}", Policy.ACT, AdminSessions(parts.session_acts).act),
        ("GET", "/admin/audit", Policy.VIEW, AdminTrail(parts.trail).audit),
        ("GET", "/admin/metrics", Policy.VIEW, AdminMetrics(parts.statistics).window),
        ("GET", "/admin/windows", Policy.VIEW, AdminWindows(parts.windows).all),
        ("GET", "/admin/ledger", Policy.VIEW, ledger.lines),
        ("GET", "/admin/ledger/sums", Policy.VIEW, ledger.sums),
        ("GET", "/admin/storage", Policy.VIEW, storage.view),
        ("GET", "/admin/pins", Policy.VIEW, storage.pins),
        ("POST", "/admin/requests/{id}/pin", Policy.ACT, storage.pin),
        ("POST", "/admin/requests/{id}/unpin", Policy.ACT, storage.unpin),
        ("POST", "/admin/ledger/verify", Policy.ACT, ledger.verify),
        ("GET", "/admin/keys", Policy.VIEW, keys.all),
        ("POST", "/admin/keys", Policy.MANAGE, keys.create),
        ("GET", "/admin/keys/{id}", Policy.VIEW, keys.one),
        ("POST", "/admin/keys/{id}/rotate", Policy.MANAGE, keys.rotate),
        ("POST", "/admin/keys/{id}/revoke", Policy.MANAGE, keys.revoke),
        ("GET", "/admin/tokens", Policy.MANAGE, keys.tokens),
        ("POST", "/admin/tokens", Policy.MANAGE, keys.create_token),
        ("POST", "/admin/tokens/{id}/revoke", Policy.MANAGE, keys.revoke_token),
        *_config_rows(AdminConfig(parts.configuration)),
    ]


def _config_rows(config: AdminConfig) -> list[Row]:
    """Texts and changes of the config: a text holds header values, a change may send a credential elsewhere."""
    return [
        ("GET", "/admin/config/history", Policy.VIEW, config.history),
        ("GET", "/admin/config/text", Policy.MANAGE, config.text),
        ("GET", "/admin/config/diff", Policy.MANAGE, config.diff),
        ("POST", "/admin/config/check", Policy.MANAGE, config.check),
        ("POST", "/admin/config/apply", Policy.MANAGE, config.apply),
        ("POST", "/admin/config/set", Policy.MANAGE, config.set),
        ("POST", "/admin/config/rollback", Policy.MANAGE, config.rollback),
    ]


class Probes:
    """The dependencies of `/readyz`: an empty text is good, `warning: ...` works but needs somebody."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def database(self) -> str:
        """Whether the database reads and writes."""
        database = self._parts.database
        state = database.state()
        if state != "ok":
            return state
        await database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        damage = self._parts.vitals.damage()
        return "warning: what was damaged is set aside, see atp-console status" if damage else ""

    async def disk(self) -> str:
        """Whether the data directory has room, and bodies can be kept."""
        pressure, bodies = self._parts.disk.pressure(), self._parts.bodies.state()
        if pressure:
            return f"warning: {pressure}"
        return "" if bodies == "ok" else f"warning: {bodies}"

    async def config(self) -> str:
        """Whether the config file is the one in effect."""
        vitals = self._parts.vitals
        refused, wanting = len(vitals.config_problems), len(vitals.config_warnings)
        if refused:
            return f"warning: the file is not applied, it has {refused} problems, see atp-console status"
        return f"warning: {wanting} things are wanting, see atp-console status" if wanting else ""

    async def providers(self) -> str:
        """Whether any deployment may be called."""
        now = self._parts.clock.monotonic()
        specs = self._parts.runtime.current.table.deployments.values()
        if not specs:
            return ""
        is_any = any(self._parts.health.is_callable(spec.key, now) for spec in specs)
        return "" if is_any else "every deployment is kept away"
