"""The built-in provider that needs no key and no network: it answers, streams and fails on demand.

Demos, tests, benchmarks and first runs use it through the same seam as real vendors (`Provider`).
Everything but identifiers of time follows from the seed, the model and the body. Models and faults
are in `simulated_models`, words in `simulated_text`; waits go through the injected sleep.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf

import msgspec

from atp_engine.config.models import ProviderConfig
from atp_engine.core.errors import (
    InvalidRequest,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnreachable,
)
from atp_engine.core.ports import Clock
from atp_engine.core.types import Dialect
from atp_engine.dialects import ir
from atp_engine.dialects.codecs import decode_request
from atp_engine.dialects.estimate import BYTES_PER_TOKEN, IMAGE_TOKENS, estimate_tokens
from atp_engine.dialects.faults import fault_from_reply
from atp_engine.dialects.openai_embeddings import read_wanted
from atp_engine.dialects.prompt_size import prompt_size
from atp_engine.providers.provider import ProviderCall
from atp_engine.providers.simulated_answer import compose, said_by_user
from atp_engine.providers.simulated_chance import Chance
from atp_engine.providers.simulated_errors import refusal
from atp_engine.providers.simulated_models import (
    Fault,
    SimulatedModel,
    chance_faults,
    directed_faults,
    find_model,
    models_of,
)
from atp_engine.providers.simulated_response import Pacer, Piece, SimulatedResponse, Sleep
from atp_engine.providers.simulated_script import INTERRUPTIONS, Script
from atp_engine.providers.simulated_vectors import embeddings

_SSE, _NDJSON = b"text/event-stream; charset=utf-8", b"application/x-ndjson"
_SLOW_FACTOR = 10.0
_INSTANT_TOKENS_PER_S = 100_000.0
"""A pace from which on nothing is waited for."""
_HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class SimulatedProvider:
    """Implements `Provider` for the models of one config table."""

    def __init__(self, name: str, config: ProviderConfig, clock: Clock, sleep: Sleep) -> None:
        self.name = name
        self._dialect = Dialect(config.dialect or Dialect.OPENAI_CHAT)
        self._models = models_of(config)
        self._seed = str(config.seed).encode()
        self._clock = clock
        self._sleep = sleep
        self._is_closed = False

    async def open(self, call: ProviderCall) -> SimulatedResponse:
        """Answers the call; see `Provider.open`. Headers of a stream come at half its time to the first
        token, those of a whole answer with the answer."""
        if self._is_closed:
            raise UpstreamUnreachable("the simulated provider is closed")
        pacer = Pacer(self._clock, self._sleep, call.deadline_at, call.deadline_limit)
        found = find_model(self._models, call.deployment.model)
        if found is None:
            await pacer.until(pacer.began)
            return self._refused(Fault("404"), pacer, f"The model `{call.deployment.model[:80]}` does not exist.")
        name, model, asked = found
        chance = Chance(self._seed, name.encode(), call.body)
        if call.wire is Dialect.OPENAI_EMBEDDINGS:
            return await self._embed(call, name, model, asked, chance, pacer)
        try:
            request = decode_request(self._dialect, call.body)
        except InvalidRequest as error:
            await pacer.until(pacer.began)
            return self._refused(Fault("400"), pacer, error.public_message)
        if not request.model:  # Gemini's path names the model and the method
            request = msgspec.structs.replace(request, model=call.deployment.model, is_stream=call.is_stream)
        faults = {fault.name: fault for fault in chance_faults(model.profile, chance)}
        faults.update((fault.name, fault) for fault in directed_faults(said_by_user(request), name))
        if asked is not None:
            faults[asked.name] = asked
        return await self._answer(call, request, model, faults, chance, pacer)

    def classify(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> UpstreamError:
        """The error class of a refusal, as for a real vendor of the dialect."""
        error = fault_from_reply(self._dialect, status, body)
        wish = dict(headers).get(b"retry-after", b"")
        if wish.isdigit():
            error.retry_after_s = float(wish)
        elif isinstance(error, UpstreamRateLimited) and error.retry_after_s is None:
            error.retry_after_s = 1.0
        error.provider = self.name
        return error

    async def aclose(self) -> None:
        """No further calls; those under way end by themselves."""
        self._is_closed = True

    async def _answer(
        self,
        call: ProviderCall,
        request: ir.ChatRequest,
        model: SimulatedModel,
        faults: dict[str, Fault],
        chance: Chance,
        pacer: Pacer,
    ) -> SimulatedResponse:
        ttft_s = model.profile.ttft_ms / 1000.0 * chance.between(0.75, 1.25)
        ttft_s *= _SLOW_FACTOR if "slow" in faults else 1.0
        pace = model.profile.tokens_per_s * chance.between(0.9, 1.1)
        if "hang" in faults:
            await pacer.forever()
        if "down" in faults:
            await pacer.until(pacer.began)
            raise UpstreamUnreachable("nothing answers at the simulated provider")
        status = next((fault for name, fault in faults.items() if refusal(self._dialect, name) is not None), None)
        if status is not None:
            await pacer.until(pacer.began + ttft_s / 4)
            return self._refused(status, pacer)
        if "html" in faults:
            await pacer.until(pacer.began + ttft_s / 4)
            return SimulatedResponse(200, [(b"content-type", b"text/html")], iter([Piece(0.0, _HTML)]), pacer, "")
        prompt_tokens = _prompt_tokens(self._dialect, request, call.body)
        script = Script(
            dialect=self._dialect,
            request=request,
            answer=compose(request, model, prompt_tokens, chance),
            id="sim-" + blake2b(self._seed + b"/" + call.body, digest_size=12).hexdigest(),
            created=int(self._clock.now()),
            ttft_s=ttft_s,
            tokens_per_s=pace if pace < _INSTANT_TOKENS_PER_S else inf,
            interruption=next((faults[name] for name in INTERRUPTIONS if name in faults), None),
        )
        await pacer.until(pacer.began + (ttft_s / 2 if call.is_stream else script.duration_s))
        stream_kind = _NDJSON if self._dialect is Dialect.OLLAMA else _SSE
        kind = stream_kind if call.is_stream else b"application/json"
        headers = [(b"content-type", kind), (b"x-request-id", script.id.encode())]
        pieces = script.stream() if call.is_stream else script.whole()
        return SimulatedResponse(200, headers, pieces, pacer, script.ending)

    async def _embed(
        self,
        call: ProviderCall,
        name: str,
        model: SimulatedModel,
        asked: Fault | None,
        chance: Chance,
        pacer: Pacer,
    ) -> SimulatedResponse:
        """Vectors, after the time to a first token; faults are asked for as in a chat, at the last text."""
        try:
            wanted = read_wanted(call.body)
        except InvalidRequest as error:
            await pacer.until(pacer.began)
            return self._refused(Fault("400"), pacer, error.public_message)
        faults = [*chance_faults(model.profile, chance), *directed_faults(wanted.texts[-1], name)]
        faults += [asked] if asked is not None else []
        await pacer.until(pacer.began + model.profile.ttft_ms / 1000.0 * chance.between(0.75, 1.25))
        for fault in faults:
            if refusal(Dialect.OPENAI_EMBEDDINGS, fault.name) is not None:
                return self._refused(fault, pacer)
        body = embeddings(wanted, call.deployment.model)
        return SimulatedResponse(200, [(b"content-type", b"application/json")], iter([Piece(0.0, body)]), pacer, "")

    def _refused(self, fault: Fault, pacer: Pacer, message: str = "") -> SimulatedResponse:
        found = refusal(self._dialect, fault.name, message)
        status, body = found if found is not None else (500, b"{}")
        headers = [(b"content-type", b"application/json")]
        retry_s = fault.retry_s if fault.retry_s is not None or status != 429 else 1.0
        if retry_s is not None:
            headers.append((b"retry-after", f"{-int(-retry_s // 1)}".encode()))
        return SimulatedResponse(status, headers, iter([Piece(0.0, body)]), pacer, "")


def _prompt_tokens(dialect: Dialect, request: ir.ChatRequest, body: bytes) -> int:
    images = [part for message in request.messages for part in message.parts if isinstance(part, ir.Image)]
    if dialect not in (Dialect.GEMINI, Dialect.OLLAMA):
        return prompt_size(body, bool(images), BYTES_PER_TOKEN)[1]
    text_bytes = max(len(body) - sum(len(image.base64) for image in images), 0)
    return estimate_tokens(text_bytes) + len(images) * IMAGE_TOKENS
