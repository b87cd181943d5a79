"""A vendor behind its registry row: our calls as its HTTP requests, its failures as our error classes.

`services/assembly` makes one per `[providers]` table; `services/attempt` opens calls on it. Whatever
does not change from call to call is rendered once. Nothing of a client's request goes up except what
`forwardable` lets through.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from urllib.parse import quote, urlsplit

import msgspec

from atp_engine.config.models import ProviderConfig
from atp_engine.core.errors import (
    BadUpstreamReply,
    ConfigError,
    ConfigProblem,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from atp_engine.core.redact import MARK, redact
from atp_engine.core.types import Dialect
from atp_engine.dialects.faults import fault_from_reply
from atp_engine.dialects.ollama_context import with_window
from atp_engine.providers.provider import ProviderCall, Told
from atp_engine.providers.registry import Auth, Vendor
from atp_engine.providers.retry_after import retry_after_s, stated_wait_s
from atp_engine.providers.transport import Origin, Transport, UpstreamRequest, UpstreamResponse

ANTHROPIC_VERSION = b"2023-06-01"
"""Sent when the client names none; platform.claude.com/docs/en/api/versioning, November 2026."""
USER_AGENT = f"atp-console/{version('atp-console')}"
MAX_MODELS = 1_000

_COMMON = frozenset({b"accept", b"idempotency-key", b"traceparent", b"tracestate"})
_ALLOWED = {
    Dialect.OPENAI_CHAT: _COMMON | {b"openai-beta"},
    Dialect.ANTHROPIC: _COMMON | {b"anthropic-beta", b"anthropic-version"},
    Dialect.OPENAI_RESPONSES: _COMMON | {b"openai-beta"},
    Dialect.OPENAI_COMPLETIONS: _COMMON | {b"openai-beta"},
    Dialect.OPENAI_EMBEDDINGS: _COMMON | {b"openai-beta"},
    Dialect.GEMINI: _COMMON | {b"x-goog-api-client"},
    Dialect.GEMINI_EMBEDDINGS: _COMMON | {b"x-goog-api-client"},
    Dialect.OLLAMA: _COMMON,
}
_OTHER_PATHS = {
    Dialect.OPENAI_RESPONSES: "/responses",
    Dialect.OPENAI_COMPLETIONS: "/completions",
    Dialect.OPENAI_EMBEDDINGS: "/embeddings",
}
"""Where a vendor that speaks OpenAI's chat dialect speaks the others, if it does."""
_OPEN = frozenset({b"content-type", b"user-agent", b"anthropic-version"})
"""Headers of ours that are no secret, unless the config sets them."""
_SDK_PREFIX = b"x-stainless-"
_SDK_HEADER = re.compile(rb"x-stainless-[a-z0-9-]{1,40}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]{0,4096}")
_MAX_FORWARDED = 32
_QUERY = re.compile(rb"(?:^|&)(beta=[a-z0-9_.-]{1,32})(?:&|$)")
"""The one query parameter that a vendor of ours knows (Anthropic's `?beta=true`)."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_MODELS_S = 10.0
_MODELS_CAP_BYTES = 4 * 1024 * 1024

Headers = list[tuple[bytes, bytes]]


class _Model(msgspec.Struct):
    id: str = ""
    name: str = ""
    """Instead of an id: Ollama, and Gemini as `models/NAME`."""


class _ModelList(msgspec.Struct):
    data: list[_Model] = []
    models: list[_Model] = []


_MODEL_LIST = msgspec.json.Decoder(_ModelList)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def forwardable(dialect: Dialect, headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """The client's headers that a vendor of this dialect may see; names are in lower case.

    An allow-list: credentials, cookies, addresses and hop-by-hop headers never pass. Values that could
    end a line are left out, as is everything beyond 32 headers.
    """
    allowed = _ALLOWED[dialect]
    passed = [
        (name, value)
        for name, value in headers
        if (name in allowed or (name.startswith(_SDK_PREFIX) and _SDK_HEADER.fullmatch(name)))
        and _VALUE.fullmatch(value)
    ]
    return tuple(passed[:_MAX_FORWARDED])


class HttpProvider:
    """Implements `Provider` over HTTP. The transport is shared and closed by its owner."""

    def __init__(
        self,
        name: str,
        row: Vendor,
        config: ProviderConfig,
        api_key: str | None,
        transport: Transport,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`api_key` is None when there is none or its reference could not be resolved; `now` is UTC epoch
        seconds. Raises ConfigError for what cannot be sent: no address, a credential with line breaks."""
        self.name = name
        self._row = row
        self._dialect = Dialect(config.dialect) if config.dialect else row.dialect
        self._transport = transport
        self._now = now
        self._is_key_missing = config.api_key is not None and api_key is None
        self._origin, root = _place(name, row, config)
        is_default_path = self._dialect is row.dialect
        self._target = (root + (row.chat_path if is_default_path else _chat_path(self._dialect))).encode("ascii")
        openai_root = root.removesuffix(row.openai_root) + row.openai_root
        self._other_targets = {dialect: (openai_root + _OTHER_PATHS[dialect]).encode("ascii") for dialect in row.also}
        self._is_fitted = bool(row.refused_fields or row.renamed_fields) or self._dialect is Dialect.OLLAMA
        self._is_model_in_path = self._dialect is Dialect.GEMINI
        models_path = row.models_path if is_default_path or not row.openai_root else "/models"
        self._models_target = (root + models_path).encode("ascii") if models_path else b""
        self._own_names = frozenset(own.lower().encode("latin-1") for own in config.headers)
        self._block = _header_block(name, _auth(row, self._dialect), config, api_key)
        needs_version = self._dialect is Dialect.ANTHROPIC and b"anthropic-version" not in self._own_names
        self._version_line = b"anthropic-version: " + ANTHROPIC_VERSION + b"\r\n" if needs_version else b""
        self._plain_headers = self._headers(())

    async def open(self, call: ProviderCall) -> UpstreamResponse:
        """Sends the call; see `Provider.open`. Raises UpstreamAuthFailed when the configured credential
        could not be resolved; errors name provider and deployment."""
        body = call.body
        if self._is_fitted:
            body = self._fit(call)
        request = UpstreamRequest(
            self._origin,
            b"POST",
            self._target_of(call),
            self._headers(call.forward_headers) if call.forward_headers else self._plain_headers,
            body,
            call.connect_s,
            call.deadline_at,
            call.deadline_limit,
            call.is_retry,
        )
        try:
            if self._is_key_missing:
                raise UpstreamAuthFailed("The provider's API key is not available.")
            return await self._transport.open(request)
        except UpstreamError as error:
            error.provider = self.name
            error.deployment = call.deployment.key
            raise

    def told(self, call: ProviderCall) -> Told:
        """What `open` would send, nothing being sent; see `Teller`."""
        origin = self._origin
        lines = self._headers(call.forward_headers).decode("latin-1").split("\r\n")
        shown = {name for name, _ in call.forward_headers if name not in self._own_names} | (_OPEN - self._own_names)
        headers = tuple(
            (name, redact(value) if name.encode("latin-1") in shown else MARK)
            for name, _, value in (line.partition(": ") for line in lines if line)
        )
        return Told(
            f"{origin.scheme}://{origin.host}:{origin.port}{self._target_of(call).decode('ascii')}",
            headers,
            self._fit(call),
        )

    def _fit(self, call: ProviderCall) -> bytes:
        """The body without what the vendor refuses, and with the window that an Ollama server must be told."""
        body = _fitted(call.body, self._row)
        if self._dialect is Dialect.OLLAMA and call.wire is None:
            body = with_window(body, call.deployment.context_tokens, call.deployment.num_ctx)
        return body

    def _target_of(self, call: ProviderCall) -> bytes:
        target = self._other_targets.get(call.wire, self._target) if call.wire is not None else self._target
        if self._is_model_in_path:
            return target + _method_of(call)
        if call.query and (beta := _QUERY.search(call.query)):
            return target + b"?" + beta[1]
        return target

    def classify(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """The error class of an answer that is not 200; see `Provider.classify`."""
        error = fault_from_reply(self._dialect, status, body)
        error.provider = self.name
        read_wait = retry_after_s if isinstance(error, UpstreamRateLimited) else stated_wait_s
        wait_s = read_wait(headers, self._now())
        if wait_s is not None:
            error.retry_after_s = wait_s
        return error

    async def models(self) -> list[str]:
        """The names in the vendor's free model list, at most 1000; empty when it has none.

        Takes at most 10 s. Raises like `open`, and the class of an answer that is not 200.
        """
        if not self._models_target:
            return []
        request = UpstreamRequest(
            self._origin, b"GET", self._models_target, self._headers(()), b"", _MODELS_S, 0.0, "total"
        )
        try:
            async with asyncio.timeout(_MODELS_S):
                response = await self._transport.open(request)
                try:
                    body = await response.read_all(_MODELS_CAP_BYTES)
                finally:
                    response.close()
        except TimeoutError as error:
            raise UpstreamTimeout("the provider's model list took too long", limit="total") from error
        if response.status != 200:
            raise self.classify(response.status, response.headers, body)
        try:
            listed = _MODEL_LIST.decode(body)
        except (ValueError, RecursionError) as error:
            raise BadUpstreamReply("the provider's model list is not one") from error
        names = [model.id or model.name.removeprefix("models/") for model in (*listed.data, *listed.models)]
        return [name for name in names[:MAX_MODELS] if 0 < len(name) <= 256]

    async def aclose(self) -> None:
        """Nothing to release: the transport belongs to whoever made it."""

    def _headers(self, forwarded: tuple[tuple[bytes, bytes], ...]) -> bytes:
        """Our block, then the client's; what the config sets is not the client's to change."""
        lines = [self._block]
        version_line = self._version_line
        for name, value in forwarded:
            if name in self._own_names:
                continue
            if name == b"anthropic-version":
                version_line = b""
            lines.append(name + b": " + value + b"\r\n")
        lines.append(version_line)
        return b"".join(lines)


def _place(name: str, row: Vendor, config: ProviderConfig) -> tuple[Origin, str]:
    """Where to connect, and the path before every endpoint. A base_url without a path gets the row's; whether
    it is that of the vendor's own API or of its OpenAI-compatible one does not matter."""
    url = config.base_url or row.base_url
    if not url:
        raise _problem(name, "base_url", f"a provider of kind {row.kind} needs a base_url")
    try:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if not path and row.base_url:
            path = urlsplit(row.base_url).path.rstrip("/")
        if row.openai_root:
            is_compatible = config.dialect is not None and Dialect(config.dialect) is not row.dialect
            path = path.removesuffix(row.openai_root) + (row.openai_root if is_compatible else "")
        host, port = parts.hostname or "", parts.port
        path.encode("ascii")
    except ValueError as error:
        raise _problem(name, "base_url", "is not a URL with a valid host, port and path") from error
    if not host or parts.scheme not in ("http", "https"):
        raise _problem(name, "base_url", "is not an http or https URL with a host")
    origin = Origin(
        scheme=parts.scheme,
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        ca_file=config.ca_file or "",
        max_connections=config.max_connections,
    )
    return origin, path


def _chat_path(dialect: Dialect) -> str:
    if dialect is Dialect.OPENAI_RESPONSES:
        return "/responses"
    if dialect in (Dialect.GEMINI, Dialect.OLLAMA):
        return "/models" if dialect is Dialect.GEMINI else "/api/chat"
    return "/messages" if dialect is Dialect.ANTHROPIC else "/chat/completions"


def _method_of(call: ProviderCall) -> bytes:
    """The rest of Gemini's path: the model, and its method by what is wanted and whether it streams."""
    model = quote(call.deployment.model.removeprefix("models/"), safe="/-._~").encode("ascii")
    if call.wire is Dialect.GEMINI_EMBEDDINGS:
        return b"/" + model + b":batchEmbedContents"
    return b"/" + model + (b":streamGenerateContent?alt=sse" if call.is_stream else b":generateContent")


def _auth(row: Vendor, dialect: Dialect) -> Auth:
    """The row's way, or the dialect's own where the config chose another dialect."""
    if dialect is row.dialect:
        return row.auth
    if dialect is Dialect.GEMINI:
        return Auth.X_GOOG_API_KEY
    return Auth.X_API_KEY if dialect is Dialect.ANTHROPIC else Auth.BEARER


def _header_block(name: str, auth: Auth, config: ProviderConfig, api_key: str | None) -> bytes:
    """The header lines that every call to this provider has."""
    pairs = {"content-type": "application/json", "user-agent": USER_AGENT}
    pairs.update((own.lower(), value) for own, value in config.headers.items())
    for own, value in config.headers.items():
        if not _HEADER_NAME.fullmatch(own) or not _HEADER_VALUE.fullmatch(value):
            raise _problem(name, "headers", "names and values of headers are printable and on one line")
    if api_key:
        if not _HEADER_VALUE.fullmatch(api_key):
            raise _problem(name, "api_key", "the credential holds characters that cannot be sent, such as a line break")
        pairs["authorization" if auth is Auth.BEARER else auth.value] = (
            f"Bearer {api_key}" if auth is Auth.BEARER else api_key
        )
    return "".join(f"{own}: {value}\r\n" for own, value in pairs.items()).encode("latin-1")


def _fitted(body: bytes, row: Vendor) -> bytes:
    """The body without what the vendor refuses; unreadable bodies go as they are, for it to judge."""
    try:
        fields = _FIELDS.decode(body)
    except (ValueError, RecursionError):
        return body
    if not any(name in fields for name in (*row.refused_fields, *(ours for ours, _ in row.renamed_fields))):
        return body
    for name in row.refused_fields:
        fields.pop(name, None)
    for ours, its in row.renamed_fields:
        value = fields.pop(ours, None)
        if value is not None:
            fields.setdefault(its, value)
    return msgspec.json.encode(fields)


def _problem(name: str, key: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem("", 0, 0, f"providers.{name}.{key}", message)])
