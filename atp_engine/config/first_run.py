"""The first start without a config: look at what this machine has and write a file that works at once.

`cli.py` calls `detect` and `write_if_missing`. `render` is pure: the same findings give the same text, and
every text it gives loads. With nothing found it is sample_config/minimal.toml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from atp_engine.config.load import Environment
from atp_engine.config.paths import create_private, make_private_dir
from atp_engine.config.probe import ModelList, ask_for_models

PROBE_BUDGET_S = 0.2
_MOST_LISTED = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NO_CHAT = re.compile(r"embed|rerank|whisper|tts", re.IGNORECASE)


class Vendor(NamedTuple):
    """A vendor whose key is looked for; the three models stand behind `auto`, `fast` and `best`."""

    kind: str
    title: str
    variables: tuple[str, ...]
    patterns: tuple[str, ...]
    auto: str
    fast: str
    best: str


# Model names: from the vendors' own SDKs and price pages, November 2026. The first that is found is tried
# first; OpenRouter is last because its pattern takes every name with a slash.
VENDORS = (
    Vendor("anthropic", "Anthropic", ("ANTHROPIC_API_KEY",), ("claude-*",),
           "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5"),
    Vendor("openai", "OpenAI", ("OPENAI_API_KEY",), ("gpt-*", "o1*", "o3*", "o4-*", "chatgpt-*", "codex-*"),
           "gpt-6.1-terra", "gpt-6-luna", "gpt-6.1-sol"),
    Vendor("gemini", "Gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), ("gemini-*", "gemma-*"),
           "gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview"),
    Vendor("mistral", "Mistral", ("MISTRAL_API_KEY",),
           ("mistral-*", "ministral-*", "codestral-*", "devstral-*", "magistral-*"),
           "mistral-large-4", "mistral-small-2603", "mistral-medium-3-5"),
    Vendor("xai", "xAI", ("XAI_API_KEY",), ("grok-*",), "grok-4.7", "grok-code-fast-1", "grok-4.7"),
    Vendor("deepseek", "DeepSeek", ("DEEPSEEK_API_KEY",), ("deepseek-*",),
           "deepseek-chat", "deepseek-chat", "deepseek-reasoner"),
    Vendor("groq", "Groq", ("GROQ_API_KEY",), ("llama-*", "openai/gpt-oss-*"),
           "openai/gpt-oss-120b", "openai/gpt-oss-20b", "openai/gpt-oss-120b"),
    Vendor("openrouter", "OpenRouter", ("OPENROUTER_API_KEY",), ("*/*",),
           "openrouter/auto", "openrouter/auto", "openrouter/auto"),
)  # fmt: skip


class LocalServer(NamedTuple):
    """A model server looked for on its usual port; `owner` is how its model list names its maker."""

    kind: str
    title: str
    port: int
    owner: str


LOCAL_SERVERS = (
    LocalServer("ollama", "Ollama", 11_434, "library"),
    LocalServer("lmstudio", "LM Studio", 1_234, "organization_owner"),
    LocalServer("llamacpp", "llama.cpp", 8_080, "llamacpp"),
    LocalServer("vllm", "vLLM", 8_000, "vllm"),
)


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A vendor whose key is in the environment."""

    vendor: Vendor
    variable: str


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A model server that answered on this machine; its models are names from outside, already checked."""

    server: LocalServer
    port: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detection:
    """What this machine has."""

    keys: tuple[FoundKey, ...] = ()
    servers: tuple[FoundServer, ...] = ()

    @property
    def found(self) -> tuple[str, ...]:
        """One clause each, for people: `OpenAI key in OPENAI_API_KEY`."""
        keys = [f"{key.vendor.title} key in {key.variable}" for key in self.keys]
        servers = [
            f"{found.server.title} at 127.0.0.1:{found.port} ({_count(len(found.models), 'model')})"
            for found in self.servers
        ]
        return (*keys, *servers)


def detect(
    environment: Environment, *, ports: Iterable[int] | None = None, budget_s: float = PROBE_BUDGET_S
) -> Detection:
    """Vendor keys in the environment and model servers on loopback; takes `budget_s` at most."""
    keys = [
        FoundKey(vendor, variable)
        for vendor in VENDORS
        for variable in [next(filter(environment.has, vendor.variables), "")]
        if variable
    ]
    usual = [server.port for server in LOCAL_SERVERS]
    answers = ask_for_models(usual if ports is None else ports, budget_s)
    servers = [FoundServer(_server_of(port, listed), port, listed.models) for port, listed in answers.items()]
    return Detection(keys=tuple(keys), servers=tuple(servers))


def write_if_missing(path: Path, detection: Detection) -> bool:
    """Writes the rendered file, mode 0600, unless there is one; True if it was written.

    Raises ConfigError when its directory cannot be made, OSError when the file cannot.
    """
    if path.exists():
        return False
    if not path.parent.is_dir():
        make_private_dir(path.parent)
    return create_private(path, render(detection).encode())


def render(detection: Detection) -> str:
    """The text of a config for what was found: real providers if there are any, else simulated models."""
    drafts = _Draft()
    for key in detection.keys:
        drafts.add_vendor(key)
    for found in detection.servers:
        drafts.add_server(found)
    return drafts.text()


class _Draft:
    """Collects the tables of the file."""

    def __init__(self) -> None:
        self.providers: dict[str, list[str]] = {}
        self.deployments: dict[str, tuple[str, str]] = {}
        self.routes: dict[str, list[str]] = {"auto": [], "fast": [], "best": []}

    def add_vendor(self, key: FoundKey) -> None:
        vendor = key.vendor
        self.providers[vendor.kind] = [
            f"kind = {_text(vendor.kind)}",
            f"api_key = {_text(f'env:{key.variable}')}",
            f"models = {_list(vendor.patterns)}  # any such name works as it is",
        ]
        for route, model in (("auto", vendor.auto), ("fast", vendor.fast), ("best", vendor.best)):
            self._route(route, model, vendor.kind)

    def add_server(self, found: FoundServer) -> None:
        name = found.server.kind if found.server.kind not in self.providers else f"{found.server.kind}-{found.port}"
        self.providers[name] = [
            f"kind = {_text(found.server.kind)}",
            f"base_url = {_text(f'http://127.0.0.1:{found.port}/v1')}",
        ]
        if found.models:
            self.providers[name].append(f"models = {_list(found.models[:_MOST_LISTED])}")
        chat = next((model for model in found.models if not _NO_CHAT.search(model)), None)
        if chat is not None:
            for route in self.routes:
                self._route(route, chat, name)

    def text(self) -> str:
        """The whole file."""
        is_real = bool(self.deployments)
        routes = self.routes
        if not is_real:
            routes = {"auto": ["sim-balanced", "sim-fast"], "fast": ["sim-fast"], "best": ["sim-large"]}
        parts = [_HEAD, _REAL if is_real else _NOTHING_FOUND]
        parts += [_table(f"providers.{_key(name)}", lines) for name, lines in self.providers.items()]
        for key, (provider, model) in self.deployments.items():
            parts.append(
                _table(f"deployments.{_key(key)}", [f"provider = {_text(provider)}", f"model = {_text(model)}"])
            )
        parts.append(_SIMULATED)
        parts.append(_ROUTES)
        for name, targets in routes.items():
            parts.append(
                _table(
                    f"routes.{name}",
                    [f"deployments = {_list(targets)}", f"description = {_text(_DESCRIPTIONS[name])}"],
                )
            )
        if is_real:
            parts.append(_DEMO)
        return "\n".join(parts)

    def _route(self, route: str, model: str, provider: str) -> None:
        known = next((key for key, value in self.deployments.items() if value == (provider, model)), None)
        if known is None:
            is_usable = bool(_NAME.fullmatch(model)) and model not in self.deployments and model not in _TAKEN
            known = model if is_usable else f"{provider}-model"
            self.deployments[known] = (provider, model)
        self.routes[route].append(known)


def _server_of(port: int, listed: ModelList) -> LocalServer:
    """Who answers: by the name in its list, else by the port."""
    by_owner = [server for server in LOCAL_SERVERS if server.owner == listed.owner]
    by_port = [server for server in LOCAL_SERVERS if server.port == port]
    return next(iter([*by_owner, *by_port]), LocalServer("custom", "A model server", port, ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(path: str, lines: list[str]) -> str:
    return "\n".join([f"[{path}]", *lines]) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # Printable ASCII only reaches this, for which JSON and TOML write strings alike.
    return json.dumps(value)


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


SIMULATED_MODELS = ("sim-fast", "sim-balanced", "sim-large", "sim-flaky")
"""Models of the simulated provider that the file uses; they are built in."""
_TAKEN = (*SIMULATED_MODELS, "auto", "fast", "best", "demo", "simulated")
_DESCRIPTIONS = {
    "auto": "A sensible default",
    "fast": "Quick answers first",
    "best": "The strongest model first",
}
_HEAD = """\
# ATP Console: what requests may be sent to, and under which names. Every key is in sample_config/full.toml.
# Credentials are never written here, only where they are: env:NAME, file:PATH or keyring:SERVICE/NAME.

[server]
host = "127.0.0.1"
port = 7443
"""
_NOTHING_FOUND = """\
# No vendor key and no local model server was found, so answers are simulated until you add a provider:
#
#   [providers.anthropic]
#   kind = "anthropic"
#   api_key = "env:ANTHROPIC_API_KEY"
#   models = ["claude-*"]
#
#   [providers.ollama]
#   kind = "ollama"
#   models = ["llama*", "qwen*"]
"""
_REAL = """\
# What was found on this machine. A deployment is a provider's model that routes can name; any other model
# works too, under its own name where `models` has a pattern for it, and as provider/model always.
"""
_SIMULATED = "\n".join(
    [
        "# Made-up answers without a key or a network: for trying things out.",
        _table("providers.simulated", ['kind = "simulated"']),
        *(_table(f"deployments.{name}", ['provider = "simulated"', f'model = "{name}"']) for name in SIMULATED_MODELS),
    ]
)
_ROUTES = """\
# Routes: the names that clients ask for. The first deployment that can take a request gets it; the next
# one is tried when it fails before its first word.
"""
_DEMO = """\
[routes.demo]
deployments = ["sim-balanced", "sim-fast"]
description = "Simulated answers"
"""
