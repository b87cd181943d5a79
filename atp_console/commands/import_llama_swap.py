"""llama-swap's config.yaml: local models with the commands that serve them.

llama-swap starts and stops those servers, which this router does not; so it stays in front of them, as one
provider. Models with an address of their own are called there. Source: the project's public README, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping

from atp_console.commands.import_draft import Draft, Tree

_ADDRESS = "http://127.0.0.1:8080/v1"
_PROCESS = (
    "cmd",
    "cmdStop",
    "ttl",
    "env",
    "checkEndpoint",
    "concurrencyLimit",
    "filters",
    "macros",
    "healthCheckTimeout",
)
_TOLD = {
    "startPort": "servers are started by llama-swap",
    "healthCheckTimeout": "servers are started by llama-swap",
    "macros": "${...} is no template here",
    "groups": "which models run together is decided by llama-swap",
    "matrix": "which models run together is decided by llama-swap",
    "hooks": "models are loaded by llama-swap",
    "metricsMaxInMemory": "metrics are kept in the database",
    "apiKeys": "clients use keys made here: atp-console keys create",
}
_LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}


def read(tree: Tree, draft: Draft) -> None:
    """Fills the draft."""
    models = tree.get("models")
    swap = ""
    for name, entry in models.items() if isinstance(models, Mapping) else ():
        model = entry if isinstance(entry, Mapping) else {}
        address = str(model.get("proxy") or "")
        if address.startswith(("http://", "https://")) and "${" not in address and not model.get("cmd"):
            provider = draft.provider(str(name), "custom", _base(address))
        else:
            swap = provider = swap or _swap(draft)
        real = model.get("useModelName")
        values = (
            {"max_parallel": limit} if isinstance(limit := model.get("concurrencyLimit"), int) and limit > 0 else {}
        )
        wanted = str(real) if real and provider != swap else str(name)
        deployment = draft.deployment(str(name), provider, wanted, values)
        left = [key for key in _PROCESS if model.get(key)]
        if left:
            draft.deployments[deployment].notes.append(f"left with llama-swap: {', '.join(left)}")
        if model.get("unlisted"):
            draft.leave(f"models.{name}.unlisted", "every deployment can be asked for by its name")
        aliases = model.get("aliases")
        for alias in aliases if isinstance(aliases, list) else []:
            draft.route(str(alias), [deployment])
    level = _LEVELS.get(str(tree.get("logLevel", "")).lower())
    if level:
        draft.section("logging", "level", level)
    for key in tree:
        if key not in ("models", "logLevel"):
            draft.leave(str(key), _TOLD.get(str(key), "has no equivalent"))
    if draft.deployments:
        draft.route("auto", list(draft.deployments)[:8])


def _swap(draft: Draft) -> str:
    name = draft.provider("llama-swap", "llamacpp", _ADDRESS)
    table = draft.providers[name]
    table.notes.append("llama-swap goes on starting the servers; this is where it listens by default")
    # Loading a model takes longer than a hosted one needs to its first token.
    table.values["timeouts"] = {"ttft_s": 120.0}
    return name


def _base(address: str) -> str:
    address = address.rstrip("/")
    return address if address.endswith("/v1") else f"{address}/v1"
