"""claude-code-router's config.json: providers with their models, and one `provider,model` for each kind of work.

Source of the format: the project's public README, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from atp_console.commands.import_draft import Draft, Tree, name_of, number, reference

_ROUTES = {
    "default": "auto",
    "background": "background",
    "think": "think",
    "longContext": "long-context",
    "webSearch": "web-search",
    "image": "image",
}
_HOSTS = {
    "openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.x.ai": "xai",
    "generativelanguage.googleapis.com": "gemini",
    "api.moonshot.ai": "moonshot",
    "api.z.ai": "zai",
    "api.cerebras.ai": "cerebras",
}
_PATHS = ("/chat/completions", "/v1/messages", "/messages", "/models", "/models/")
_TOLD = {
    "APIKEY": "clients use keys made here: atp-console keys create",
    "LOG": "the log is always on",
    "CUSTOM_ROUTER_PATH": "routes are data here, not scripts",
    "transformers": "formats are translated without being named",
    "NON_INTERACTIVE_MODE": "needs nothing here",
    "StatusLine": "the console shows it",
}


def read(tree: Tree, draft: Draft) -> None:
    """Fills the draft."""
    known: dict[str, dict[str, str]] = {}
    providers = tree.get("Providers", tree.get("providers"))
    for place, entry in enumerate(providers if isinstance(providers, list) else []):
        if isinstance(entry, Mapping):
            _provider(entry, f"Providers[{place}]", tree, draft, known)
    rules = tree.get("Router")
    for kind, target in rules.items() if isinstance(rules, Mapping) else ():
        _rule(str(kind), target, draft, known)
    if isinstance(tree.get("HOST"), str) and tree["HOST"]:
        draft.section("server", "host", tree["HOST"])
    port = number(tree.get("PORT"))
    if port:
        draft.section("server", "port", int(port))
    timeout = number(tree.get("API_TIMEOUT_MS"))
    if timeout:
        draft.section("timeouts", "total_s", timeout / 1000.0)
    level = str(tree.get("LOG_LEVEL", "")).lower()
    if level in ("debug", "info", "error") or level.startswith("warn"):
        draft.section("logging", "level", "warning" if level.startswith("warn") else level)
    taken = {"Providers", "providers", "Router", "HOST", "PORT", "API_TIMEOUT_MS", "LOG_LEVEL", "PROXY_URL"}
    for key in tree:
        if key not in taken:
            draft.leave(str(key), _TOLD.get(str(key), "has no equivalent"))
    if "auto" in draft.routes:
        draft.routes["auto"].notes.append("Claude Code asks for it with ANTHROPIC_MODEL=auto")


def _provider(entry: Tree, where: str, tree: Tree, draft: Draft, known: dict[str, dict[str, str]]) -> None:
    title, address = str(entry.get("name") or ""), str(entry.get("api_base_url") or "")
    if not title or not address.startswith(("http://", "https://")):
        draft.leave(f"{where} ({title or 'without a name'})", "has no address")
        return
    kind, base = _kind(address, entry)
    provider = draft.provider(title, kind, base, reference(entry.get("api_key"), title, draft))
    proxy = tree.get("PROXY_URL")
    if isinstance(proxy, str) and proxy.startswith(("http://", "https://", "socks5")):
        if "@" in proxy:
            draft.leave("PROXY_URL", "holds a credential and was not copied")
        else:
            draft.providers[provider].values["proxy"] = proxy
    if entry.get("transformer"):
        draft.leave(f"{where}.transformer", "formats are translated without being named")
    models = entry.get("models")
    for model in models if isinstance(models, list) else []:
        if isinstance(model, str) and model:
            name = draft.deployment(f"{name_of(title)}/{model}", provider, model, {})
            known.setdefault(title, {})[model] = name


def _kind(address: str, entry: Tree) -> tuple[str, str]:
    """The provider's kind, and its address where that is not the kind's own."""
    parts = urlsplit(address)
    kind = _HOSTS.get(parts.hostname or "", "")
    if kind:
        return kind, ""
    base = address.partition("?")[0].rstrip("/")
    for path in _PATHS:
        base = base.removesuffix(path)
    if parts.port == 11434:
        return "ollama", base.removesuffix("/v1")
    use = entry.get("transformer")
    is_anthropic = isinstance(use, Mapping) and "anthropic" in str(use.get("use", "")).lower()
    return ("anthropic" if is_anthropic else "custom"), base


def _rule(kind: str, target: Any, draft: Draft, known: dict[str, dict[str, str]]) -> None:
    if kind == "longContextThreshold":
        draft.leave(
            "Router.longContextThreshold",
            "state context_tokens on the deployments: those that are too small are passed over",
        )
        return
    if kind not in _ROUTES or not isinstance(target, str):
        draft.leave(f"Router.{kind}", "has no equivalent")
        return
    title, _, model = target.partition(",")
    deployment = known.get(title.strip(), {}).get(model.strip())
    if deployment is None:
        draft.leave(f"Router.{kind}", f"names {target}, which no provider lists")
        return
    route = draft.route(_ROUTES[kind], [deployment])
    if kind != "default":
        route.notes.append("chosen by its name: requests are not sorted by kind of work here")
