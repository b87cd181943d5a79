"""What a client sent beside what went up for it, made again on demand; nothing is sent.

`api/admin_sent` asks. The dialect rooms are pure, so the same body and model give the same call as then;
what may differ since (settings of a provider, a credential taken out) is said in a note.
"""

from __future__ import annotations

import asyncio

import msgspec

from atp_engine.core.errors import ATPError, StorageError, let_go
from atp_engine.core.redact import MARK, redact
from atp_engine.core.sent_views import Fate, HeaderView, SentCall, SentView
from atp_engine.core.types import AttemptRecord, DeploymentSpec, Dialect
from atp_engine.core.views import RequestDetail
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.params import settle
from atp_engine.providers.http import forwardable
from atp_engine.providers.provider import ProviderCall, Teller, Told
from atp_engine.services.history import History
from atp_engine.services.kept_heads import KeptHead, read
from atp_engine.services.runtime import Runtime, RuntimeRef
from atp_engine.storage.bodies import BodyStore

_NOT_KEPT = "its body was not kept (storage.is_bodies_kept), or the request is still open"
_NOT_WHOLE = "the kept body is not whole: it was cut at storage.body_max_bytes, or is not JSON"


class Sent:
    """Both sides of recorded requests."""

    def __init__(self, history: History, bodies: BodyStore, runtime: RuntimeRef) -> None:
        self._history = history
        self._bodies = bodies
        self._runtime = runtime

    async def of(self, request_id: str) -> SentView | None:
        """The view of a request; None when it is not known."""
        detail = await self._history.detail(request_id)
        if detail is None:
            return None
        runtime = self._runtime.current
        head = await self._head(detail)
        specs = {one.deployment: _spec(runtime, one) for one in detail.attempts}
        route = runtime.table.resolve(detail.request.route)
        params = route.params if route is not None else "adapt"
        calls = await asyncio.to_thread(_calls, runtime, detail, head, specs, params)
        return SentView(
            request_id=request_id,
            dialect=detail.request.dialect,
            query=head.query if head is not None else "",
            headers=None if head is None else _fates(head, calls),
            body=detail.request_body,
            calls=calls,
            notes=_notes(runtime, detail),
        )

    async def _head(self, detail: RequestDetail) -> KeptHead | None:
        if not detail.request.has_body:
            return None
        try:
            stored = await self._bodies.head(detail.request.id)
        except StorageError:
            return None
        return None if stored is None else read(stored)


def _spec(runtime: Runtime, attempt: AttemptRecord) -> DeploymentSpec | None:
    """The deployment as the config has it now, with the model of then."""
    spec = runtime.table.deployments.get(attempt.deployment)
    if spec is None and (route := runtime.table.resolve(attempt.deployment)) is not None:
        spec = route.deployments[0]
    if spec is None or spec.provider != attempt.provider or spec.provider not in runtime.providers:
        return None
    return msgspec.structs.replace(spec, model=attempt.model)


def _calls(
    runtime: Runtime,
    detail: RequestDetail,
    head: KeptHead | None,
    specs: dict[str, DeploymentSpec | None],
    params: str,
) -> tuple[SentCall, ...]:
    """Every attempt's call; in a thread, for a long conversation takes its time."""
    return tuple([_call(runtime, detail, head, one, specs[one.deployment], params) for one in detail.attempts])


def _call(
    runtime: Runtime,
    detail: RequestDetail,
    head: KeptHead | None,
    attempt: AttemptRecord,
    spec: DeploymentSpec | None,
    params: str,
) -> SentCall:
    if spec is None:
        note = "this deployment is not in the config any more"
        return SentCall(
            attempt.number, attempt.deployment, attempt.provider, attempt.model, "", "", False, (), None, note=note
        )
    client = Dialect(detail.request.dialect)
    wire = spec.wire(client)
    body, dropped, note = _written(detail, client, wire, spec, params)
    is_same = client is wire
    lines = [(one.encode("latin-1"), value.encode("latin-1")) for one, value in head.headers] if head else []
    passed = forwardable(wire, lines) if is_same else ()
    call = ProviderCall(
        deployment=spec,
        body=body or b"{}",
        is_stream=detail.request.is_stream,
        request_id=detail.request.id,
        forward_headers=passed,
        query=head.query.encode("latin-1") if head is not None and is_same else b"",
        connect_s=0.0,
        deadline_at=0.0,
        deadline_limit="",
        wire=wire if wire is not spec.dialect else None,
    )
    provider = runtime.providers[spec.provider]
    told = provider.told(call) if isinstance(provider, Teller) else Told("", (), call.body)
    own = set(told.headers) - {(one.decode("latin-1"), value.decode("latin-1")) for one, value in passed}
    return SentCall(
        number=attempt.number,
        deployment=attempt.deployment,
        provider=attempt.provider,
        model=attempt.model,
        dialect=wire,
        url=told.url,
        is_translated=not is_same,
        headers=tuple(HeaderView(*one, Fate.OURS if one in own else Fate.PASSED) for one in told.headers),
        body=redact(told.body.decode("utf-8", "replace")) if body is not None else None,
        dropped_fields=dropped,
        note=note,
    )


def _written(
    detail: RequestDetail, client: Dialect, wire: Dialect, spec: DeploymentSpec, params: str
) -> tuple[bytes | None, tuple[str, ...], str]:
    """The body in the deployment's dialect, what it leaves out, and why there is none."""
    if detail.request_body is None:
        return None, (), _NOT_KEPT
    kept = detail.request_body.encode()
    try:
        written = bridge(client, wire).request(kept, read_facts(client, kept), spec.model)
        if written.dropped_fields and params != "adapt":
            written = settle(params, written, kept, spec.key)
    except ATPError as error:
        note = _NOT_WHOLE if detail.request_body.rstrip()[-1:] != "}" else error.public_message
        let_go(error)
        return None, (), note
    except (KeyError, ValueError):  # no bridge joins the two any more, or a kept body that no call had
        return None, (), _NOT_WHOLE
    return written.body, written.dropped_fields, ""


def _fates(head: KeptHead, calls: tuple[SentCall, ...]) -> tuple[HeaderView, ...]:
    """The client's headers by what the last call made of them."""
    up = {(one.name, one.value) for one in calls[-1].headers if one.fate is Fate.PASSED} if calls else set()
    return tuple(HeaderView(*one, Fate.PASSED if one in up else Fate.KEPT) for one in head.headers)


def _notes(runtime: Runtime, detail: RequestDetail) -> tuple[str, ...]:
    notes = []
    decision = detail.decision
    if decision is not None and decision.config_version != runtime.version:
        notes.append(
            f"the config was v{decision.config_version} then and is v{runtime.version} now: "
            "addresses and own headers are those of now"
        )
    if detail.request_body is not None and MARK in detail.request_body:
        notes.append(f"credentials in the body were kept as {MARK}; they went up as they came")
    return tuple(notes)
