"""LiteLLM's proxy config: a list of models with parameters, each of them a deployment of the name clients ask for.

Source of the format: the proxy's public documentation, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atp_console.commands.import_draft import Draft, Tree, name_of, number, reference

_MARKS = ("os.environ/",)
_KINDS = {
    "openai": "openai", "text-completion-openai": "openai", "anthropic": "anthropic", "openrouter": "openrouter",
    "groq": "groq", "mistral": "mistral", "deepseek": "deepseek", "xai": "xai", "gemini": "gemini",
    "ollama": "ollama", "ollama_chat": "ollama", "together_ai": "together", "fireworks_ai": "fireworks",
    "perplexity": "perplexity", "cerebras": "cerebras", "nvidia_nim": "nvidia", "cohere": "cohere",
    "cohere_chat": "cohere", "hosted_vllm": "vllm", "vllm": "vllm", "lm_studio": "lmstudio",
    "huggingface": "huggingface", "moonshot": "moonshot", "sambanova": "sambanova", "azure": "azure_openai",
}  # fmt: skip
_TAKEN = frozenset({"model", "api_base", "base_url", "api_key", "timeout", "stream_timeout", "weight", "order", "rpm",
                    "max_parallel_requests", "input_cost_per_token", "output_cost_per_token", "tags"})  # fmt: skip
_WEIGHTED = ("simple-shuffle",)


def read(tree: Tree, draft: Draft) -> None:
    """Fills the draft."""
    models = tree.get("model_list")
    settings = _table(tree, "router_settings")
    weights: dict[str, list[float]] = {}
    for place, entry in enumerate(models if isinstance(models, list) else []):
        if isinstance(entry, Mapping):
            _model(entry, f"model_list[{place}]", draft, weights)
    strategy = settings.get("routing_strategy", _WEIGHTED[0])
    for name, found in weights.items():
        _spread(draft.routes[name].values, found, is_weighted=strategy in _WEIGHTED)
    if strategy not in _WEIGHTED:
        draft.leave(f"router_settings.routing_strategy {strategy}", "routes try their deployments in order")
    _fallbacks(settings, "router_settings", draft)
    _fallbacks(_table(tree, "litellm_settings"), "litellm_settings", draft)
    _aliases(settings, draft)
    _rest(tree, settings, draft)


def _model(entry: Tree, where: str, draft: Draft, weights: dict[str, list[float]]) -> None:
    params, facts = _table(entry, "litellm_params"), _table(entry, "model_info")
    asked, model = str(entry.get("model_name") or ""), str(params.get("model") or "")
    vendor, slash, rest = model.partition("/")
    if not slash:
        vendor, rest = ("anthropic" if model.startswith("claude") else "openai"), model
    base = params.get("api_base") or params.get("base_url") or ""
    kind = _KINDS.get(vendor, "custom" if base else "")
    if not asked or not rest or not kind:
        draft.leave(f"{where} ({asked or 'without a name'})", f"there is no provider for {model or 'an empty model'}")
        return
    if isinstance(base, str) and base.startswith(_MARKS):
        draft.leave(f"{where}.api_base", "addresses are stated in the file; the variable was left out")
        base = ""
    if kind == "azure_openai" and not base:
        draft.leave(f"{where} ({asked})", "Azure needs an api_base")
        return
    key = reference(params.get("api_key"), vendor, draft, *_MARKS)
    if not key and kind not in ("ollama", "vllm", "lmstudio", "custom"):
        key = f"env:{vendor.upper().replace('-', '_')}_API_KEY"
    provider = draft.provider(vendor, kind, _without_path(str(base)), key)
    if "*" in asked or "*" in rest:
        draft.providers[provider].values.setdefault("models", []).append(asked if asked != "*" else "*")
        return
    values = _facts(params, facts)
    deployment = draft.deployment(f"{name_of(vendor)}/{rest}", provider, rest, values)
    table = draft.route(asked, [deployment])
    weights.setdefault(name_of(asked), []).append(number(params.get("weight")) or number(params.get("rpm")) or 1.0)
    unused = sorted(str(key) for key in params if key not in _TAKEN)
    if unused:
        table.notes.append(f"not carried over from {where}: {', '.join(unused)}")


def _facts(params: Tree, facts: Tree) -> dict[str, Any]:
    values: dict[str, Any] = {}
    context = number(facts.get("max_input_tokens"))
    if context:
        values["context_tokens"] = int(context)
    for key, ours in (("supports_function_calling", "has_tools"), ("supports_vision", "has_images")):
        if isinstance(facts.get(key), bool):
            values[ours] = facts[key]
    parallel = number(params.get("max_parallel_requests"))
    if parallel:
        values["max_parallel"] = int(parallel)
    costs = [number(params.get(key, facts.get(key))) for key in ("input_cost_per_token", "output_cost_per_token")]
    if costs[0] is not None and costs[1] is not None:
        values["price"] = {"input": round(costs[0] * 1e6, 6), "output": round(costs[1] * 1e6, 6)}
    limits = {
        ours: seconds
        for key, ours in (("timeout", "total_s"), ("stream_timeout", "ttft_s"))
        if (seconds := number(params.get(key)))
    }
    return {**values, "timeouts": limits} if limits else values


def _spread(route: dict[str, Any], weights: list[float], *, is_weighted: bool) -> None:
    """Several deployments of one name share its requests, as they did."""
    names = route["deployments"]
    if is_weighted and len(names) > 1 and len(weights) == len(names):
        route["deployments"] = [
            {"deployment": name, "weight": weight} for name, weight in zip(names, weights, strict=True)
        ]
        route["strategy"] = "weighted"


def _fallbacks(settings: Tree, where: str, draft: Draft) -> None:
    for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
        rules = settings.get(key)
        for rule in rules if isinstance(rules, list) else []:
            for name, others in rule.items() if isinstance(rule, Mapping) else ():
                route = draft.routes.get(name_of(str(name)))
                found = [draft.routes[name_of(str(one))] for one in others or () if name_of(str(one)) in draft.routes]
                missing = [str(one) for one in others or () if name_of(str(one)) not in draft.routes]
                if missing:
                    draft.leave(f"{where}.{key} of {name}", f"there is no {', '.join(missing)}")
                if route is None or not found:
                    continue
                if any(isinstance(one, dict) for one in route.values["deployments"]):
                    draft.leave(f"{where}.{key} of {name}", "a weighted route has no deployments that only follow")
                    continue
                for other in found:
                    names = [one["deployment"] if isinstance(one, dict) else one for one in other.values["deployments"]]
                    draft.route(str(name), names)


def _aliases(settings: Tree, draft: Draft) -> None:
    aliases = settings.get("model_group_alias")
    for alias, target in aliases.items() if isinstance(aliases, Mapping) else ():
        wanted = target.get("model") if isinstance(target, Mapping) else target
        route = draft.routes.get(name_of(str(wanted)))
        if route is None:
            draft.leave(f"router_settings.model_group_alias {alias}", f"there is no {wanted}")
        else:
            draft.route(str(alias), list(route.values["deployments"]), route.values.get("strategy", "ordered"))


def _rest(tree: Tree, settings: Tree, draft: Draft) -> None:
    retries = number(settings.get("num_retries", _table(tree, "litellm_settings").get("num_retries")))
    if retries is not None:
        draft.section("limits", "max_attempts", min(32, max(1, int(retries) + 1)))
    timeout = number(settings.get("timeout", _table(tree, "litellm_settings").get("request_timeout")))
    if timeout:
        draft.section("timeouts", "total_s", timeout)
    taken = {"routing_strategy", "num_retries", "timeout", "request_timeout", "model_group_alias", "fallbacks",
             "context_window_fallbacks", "content_policy_fallbacks"}  # fmt: skip
    told = {
        "master_key": "clients use keys made here: atp-console keys create",
        "database_url": "the database is built in",
        "cache": "answers are not cached here yet",
    }
    for section in ("router_settings", "litellm_settings", "general_settings"):
        for key in _table(tree, section):
            if key not in taken:
                draft.leave(f"{section}.{key}", told.get(str(key), "has no equivalent"))
    if tree.get("environment_variables"):
        draft.leave("environment_variables", "set them where the engine is started")


def _table(tree: Tree, key: str) -> Tree:
    found = tree.get(key)
    return found if isinstance(found, Mapping) else {}


def _without_path(base: str) -> str:
    base = base.strip().rstrip("/")
    return base.removesuffix("/chat/completions")
