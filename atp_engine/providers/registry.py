"""Vendors and servers as rows: where they are, how they want the credential, what they refuse.

`services/assembly` looks a provider's `kind` up here, `http.HttpProvider` acts on the row. A vendor that
speaks one of our dialects is one row and nothing else.

Sources, all November 2026: base URLs and paths of groq 1.7.0, together 3.1.1, cerebras-cloud-sdk 1.91.0,
sambanova 1.13.0, perplexityai 0.46.1, openrouter 1.3.84, zai-sdk 0.2.3, huggingface-hub 2.4.0, mistralai
3.7.0, openai 3.54 and anthropic 2.12 (the vendors' own SDKs on PyPI); the rest from the vendors'
documentation, named at the row. GitHub Models is not here: it was shut down on 30 July 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType

import msgspec

from atp_engine.core.types import Dialect


class Auth(StrEnum):
    """The header that carries the credential; a row without a key sends none."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    API_KEY = "api-key"
    X_GOOG_API_KEY = "x-goog-api-key"


class Vendor(msgspec.Struct, frozen=True):
    """One kind of provider."""

    kind: str
    title: str
    base_url: str
    """Root of the API with its version part; empty when only the config can know it."""
    key_env: str = ""
    """Usual environment variable of the credential, empty when none is needed."""
    dialect: Dialect = Dialect.OPENAI_CHAT
    auth: Auth = Auth.BEARER
    chat_path: str = "/chat/completions"
    models_path: str = "/models"
    """Where models are listed for free, empty when nowhere."""
    is_local: bool = False
    openai_root: str = ""
    """What follows the base where a vendor of another dialect speaks OpenAI's too (`dialect = "openai_chat"`)."""
    refused_fields: tuple[str, ...] = ()
    """Top-level body fields that the vendor answers with 4xx; they are left out."""
    also: tuple[Dialect, ...] = ()
    """Further dialects of OpenAI's that it speaks at `/responses`, `/completions` and `/embeddings`."""
    renamed_fields: tuple[tuple[str, str], ...] = ()
    """Top-level body fields that it knows under another name: (ours, its)."""


_STATEFUL = (Dialect.OPENAI_RESPONSES,)
_VECTORS = (Dialect.OPENAI_EMBEDDINGS,)
_BOTH = (Dialect.OPENAI_COMPLETIONS, Dialect.OPENAI_EMBEDDINGS)
_ALL = (*_STATEFUL, *_BOTH)


def _local(kind: str, title: str, port: int) -> Vendor:
    """A server on this machine; the port is its own default."""
    return Vendor(kind, title, f"http://127.0.0.1:{port}/v1", is_local=True, also=_BOTH)


_ROWS = (
    Vendor("openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", also=_ALL),
    Vendor(
        "anthropic", "Anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY",
        dialect=Dialect.ANTHROPIC, auth=Auth.X_API_KEY, chat_path="/messages",
    ),
    Vendor("openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", also=_ALL),
    Vendor("groq", "Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    # Its own SDK knows neither field; the API answers 422 `extra_forbidden`. Streams tell their usage unasked.
    Vendor(
        "mistral", "Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY",
        refused_fields=("stream_options",), renamed_fields=(("max_completion_tokens", "max_tokens"),),
        also=_VECTORS,
    ),
    Vendor("deepseek", "DeepSeek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),  # api-docs.deepseek.com
    Vendor("xai", "xAI", "https://api.x.ai/v1", "XAI_API_KEY", also=_STATEFUL),  # docs.x.ai
    Vendor("together", "Together", "https://api.together.ai/v1", "TOGETHER_API_KEY", also=_BOTH),
    Vendor(
        "fireworks", "Fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", also=_BOTH,
    ),  # docs.fireworks.ai
    Vendor("cerebras", "Cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    Vendor("sambanova", "SambaNova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    Vendor("perplexity", "Perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", models_path="/v1/models"),
    Vendor(
        "nvidia", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", also=_VECTORS,
    ),  # docs.api.nvidia.com
    # docs.cohere.com/docs/compatibility-api; the compatibility layer refuses `stream_options`.
    Vendor(
        "cohere", "Cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY",
        models_path="", refused_fields=("stream_options",),
        also=_VECTORS,
    ),
    Vendor("huggingface", "Hugging Face", "https://router.huggingface.co/v1", "HF_TOKEN", also=_VECTORS),
    Vendor("moonshot", "Moonshot (Kimi)", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),  # platform.kimi.ai/docs
    Vendor("zai", "Z.ai (GLM)", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", models_path="", also=_VECTORS),
    # alibabacloud.com/help/model-studio: the international endpoint
    Vendor(
        "qwen", "Qwen", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", also=_VECTORS,
    ),
    # learn.microsoft.com: the v1 API, https://RESOURCE.openai.azure.com/openai/v1, takes no api-version
    Vendor("azure_openai", "Azure OpenAI", "", "AZURE_OPENAI_API_KEY", auth=Auth.API_KEY, also=_ALL),
    # ai.google.dev/api/generate-content; the compatible API: ai.google.dev/gemini-api/docs/openai
    Vendor(
        "gemini", "Gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY",
        dialect=Dialect.GEMINI, auth=Auth.X_GOOG_API_KEY, chat_path="/models", models_path="/models?pageSize=1000",
        openai_root="/openai", also=_VECTORS,
    ),
    # docs.ollama.com/api; the compatible API: docs.ollama.com/api/openai-compatibility
    Vendor(
        "ollama", "Ollama", "http://127.0.0.1:11434", dialect=Dialect.OLLAMA, chat_path="/api/chat",
        models_path="/api/tags", is_local=True, openai_root="/v1",
        also=_BOTH,
    ),
    _local("llamacpp", "llama.cpp", 8_080),
    _local("lmstudio", "LM Studio", 1_234),
    _local("vllm", "vLLM", 8_000),
    _local("sglang", "SGLang", 30_000),
    _local("localai", "LocalAI", 8_080),
    _local("jan", "Jan", 1_337),
    _local("tgi", "Text Generation Inference", 3_000),
    _local("litellm", "LiteLLM proxy", 4_000),
    Vendor("custom", "Custom", "", also=_VECTORS),
    Vendor("simulated", "Simulated", "", models_path="", is_local=True),
)  # fmt: skip

_BY_KIND: Mapping[str, Vendor] = MappingProxyType({row.kind: row for row in _ROWS})

_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "alibaba": "qwen",
        "azure": "azure_openai",
        "claude": "anthropic",
        "dashscope": "qwen",
        "glm": "zai",
        "google": "gemini",
        "grok": "xai",
        "hf": "huggingface",
        "kimi": "moonshot",
        "nim": "nvidia",
        "openai_compatible": "custom",
        "zhipu": "zai",
    }
)


def vendor(kind: str) -> Vendor | None:
    """The row of a kind, None when there is none (see `near_kinds`)."""
    return _BY_KIND.get(kind)


def kinds() -> tuple[str, ...]:
    """Every kind, in the order of the rows."""
    return tuple(_BY_KIND)


def near_kinds(kind: str) -> tuple[str, ...]:
    """Up to three kinds that were probably meant."""
    name = kind[:64].lower().replace("-", "_").replace(" ", "_").replace(".", "")
    meant = _OTHER_NAMES.get(name)
    close = get_close_matches(name, _BY_KIND, n=3, cutoff=0.6)
    return tuple(dict.fromkeys([meant, *close] if meant else close))[:3]
