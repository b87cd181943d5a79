"""Other gateways' configs become ones of ours that load; what has no equivalent is said, secrets stay out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from atp_console.commands.command import Refused
from atp_console.commands.import_config import FORMATS, imported
from atp_engine.config.load import parse
from atp_engine.config.models import Config, WeightedTarget
from atp_engine.providers.registry import kinds

LITELLM = """\
model_list:
  - model_name: smart
    litellm_params: &defaults
      model: azure/gpt-deployment-eu
      api_base: https://eu.example.azure.com/openai/v1
      api_key: os.environ/AZURE_EU
      rpm: 60
      timeout: 90
  - model_name: smart
    litellm_params:
      <<: *defaults
      model: azure/gpt-deployment-us
      api_base: https://us.example.azure.com/openai/v1
      api_key: os.environ/AZURE_US
      rpm: 20
      mock_response: nothing
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-5-5
      api_key: sk-ant-REDACTED-not-a-real-key-000000
      input_cost_per_token: 0.000003
      output_cost_per_token: 0.000015
    model_info: {max_input_tokens: 200000, supports_vision: true}
  - model_name: local
    litellm_params: {model: ollama_chat/llama3.2, api_base: "http://localhost:11434"}
  - model_name: "groq/*"
    litellm_params: {model: "groq/*"}
  - model_name: cloudy
    litellm_params: {model: bedrock/some-model, aws_region_name: eu-west-1}
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 2
  fallbacks: [{claude: [smart]}, {smart: [local]}, {claude: [nowhere]}]
  model_group_alias: {gpt-4o: claude}
litellm_settings:
  drop_params: true
  request_timeout: 300
  callbacks: [prometheus]
general_settings:
  master_key: sk-REDACTED
environment_variables: {X: y}
"""
ROUTER = """\
{
  // for work
  "APIKEY": "a-secret-for-clients-000000000",
  "HOST": "127.0.0.1",
  "PORT": 3456,
  "API_TIMEOUT_MS": 600000,
  "LOG": true,
  "PROXY_URL": "http://127.0.0.1:7890",
  "Providers": [
    {
      "name": "openrouter",
      "api_base_url": "https://openrouter.ai/api/v1/chat/completions",
      "api_key": "$OPENROUTER_API_KEY",
      "models": ["google/gemini-2.5-pro-preview", "anthropic/claude-sonnet-4"],
      "transformer": {"use": ["openrouter"]}, /* theirs */
    },
    {
      "name": "ollama",
      "api_base_url": "http://localhost:11434/v1/chat/completions",
      "api_key": "ollama",
      "models": ["qwen2.5-coder:latest"]
    },
    {
      "name": "my vendor",
      "api_base_url": "https://llm.example.com/v1/chat/completions",
      "api_key": "sk-plain-secret-REDACTED-0000000000",
      "models": ["m-1"]
    },
    {"name": "broken", "models": ["x"]}
  ],
  "Router": {
    "default": "openrouter,anthropic/claude-sonnet-4",
    "background": "ollama,qwen2.5-coder:latest",
    "think": "my vendor,m-1",
    "longContext": "openrouter,google/gemini-2.5-pro-preview",
    "longContextThreshold": 60000,
    "webSearch": "gemini,gemini-2.5-flash",
  },
  "CUSTOM_ROUTER_PATH": "$HOME/router.js"
}
"""
SWAP = """\
healthCheckTimeout: 120
logLevel: warn
startPort: 5800
macros:
  "server": >
    llama-server --port ${PORT}
models:
  "qwen3-coder":
    cmd: |
      ${server}
      --model /models/qwen3.gguf
    ttl: 300
    concurrencyLimit: 4
    aliases: ["gpt-4o-mini", "coder"]
  "smol":
    proxy: http://10.0.0.5:9999
    useModelName: "smollm2:1.7b"
    unlisted: true
groups:
  "forever": {persistent: true, members: ["smol"]}
"""


def loaded(kind: str, text: str) -> tuple[Config, str]:
    made = imported(kind, text, "their.config")
    return parse(made, Path("/etc/atp/atp.toml"), kinds()).config, made


def test_litellm() -> None:
    config, text = loaded("litellm", LITELLM)
    smart = config.routes["smart"]
    assert smart.strategy == "weighted"
    assert [(one.deployment, one.weight) for one in smart.deployments if isinstance(one, WeightedTarget)] == [
        ("azure/gpt-deployment-eu", 60.0),
        ("azure/gpt-deployment-us", 20.0),
    ]
    assert config.providers["azure"].api_key == "env:AZURE_EU"
    assert config.providers["azure-2"].base_url == "https://us.example.azure.com/openai/v1"
    claude = config.deployments["anthropic/claude-sonnet-5-5"]
    assert claude.price is not None and (claude.price.input, claude.price.output) == (3.0, 15.0)
    assert (claude.context_tokens, claude.has_images) == (200_000, True)
    assert config.routes["claude"].deployments == (
        "anthropic/claude-sonnet-5-5", "azure/gpt-deployment-eu", "azure/gpt-deployment-us",
    )  # fmt: skip
    assert config.routes["gpt-4o"].deployments == config.routes["claude"].deployments
    assert (config.providers["ollama_chat"].kind, config.providers["groq"].models) == ("ollama", ("groq/*",))
    assert (config.limits.max_attempts, config.timeouts.total_s) == (3, 300.0)
    assert config.deployments["azure/gpt-deployment-eu"].timeouts.total_s == 90.0
    assert "REDACTED" not in text and "env:ANTHROPIC_API_KEY" in text
    for left in ("bedrock/some-model", "drop_params", "master_key", "mock_response", "nowhere", "callbacks"):
        assert any(left in line for line in text.splitlines() if line.startswith("#")), left


def test_claude_code_router() -> None:
    config, text = loaded("claude-code-router", ROUTER)
    assert config.routes["auto"].deployments == ("openrouter/anthropic/claude-sonnet-4",)
    assert set(config.routes) == {"auto", "background", "think", "long-context"}
    assert config.providers["openrouter"].kind == "openrouter"
    assert config.providers["openrouter"].api_key == "env:OPENROUTER_API_KEY"
    assert config.providers["openrouter"].proxy == "http://127.0.0.1:7890"
    vendor = config.providers["my-vendor"]
    assert (vendor.kind, vendor.base_url, vendor.api_key) == (
        "custom", "https://llm.example.com/v1", "env:MY_VENDOR_API_KEY",
    )  # fmt: skip
    assert (config.providers["ollama"].kind, config.server.port) == ("ollama", 3456)
    assert "plain-secret" not in text and "a-secret" not in text
    for left in ("webSearch", "longContextThreshold", "CUSTOM_ROUTER_PATH", "APIKEY", "broken", "MY_VENDOR_API_KEY"):
        assert any(left in line for line in text.splitlines() if line.startswith("#")), left


def test_llama_swap() -> None:
    config, text = loaded("llama-swap", SWAP)
    assert (config.providers["llama-swap"].kind, config.logging.level) == ("llamacpp", "warning")
    coder = config.deployments["qwen3-coder"]
    assert (coder.provider, coder.model, coder.max_parallel) == ("llama-swap", "qwen3-coder", 4)
    assert config.routes["gpt-4o-mini"].deployments == config.routes["coder"].deployments == ("qwen3-coder",)
    smol = config.deployments["smol"]
    assert (config.providers[smol.provider].base_url, smol.model) == ("http://10.0.0.5:9999/v1", "smollm2:1.7b")
    for left in ("groups", "macros", "unlisted", "ttl"):
        assert any(left in line for line in text.splitlines() if line.startswith("#")), left


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("litellm", "model_list: [", "not valid YAML at line 1"),
        ("litellm", "- a", "no table at its top"),
        ("litellm", "model_list: []", "names no model"),
        ("litellm", "a: !!python/object:os.system x", "not valid YAML"),
        ("llama-swap", "a: &a [1]\nb: [" + "*a, " * 300 + "]", "larger than any config"),
        ("claude-code-router", "{", "not valid JSON"),
        ("claude-code-router", "[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_config_of_theirs_is_refused_in_one_line(kind: str, text: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        imported(kind, text, "their.config")


def test_whatever_is_in_them_the_result_loads_or_is_refused() -> None:
    rng = random.Random(5)
    for kind, text in (("litellm", LITELLM), ("claude-code-router", ROUTER), ("llama-swap", SWAP)):
        assert kind in FORMATS
        for _ in range(40):
            lines = text.splitlines()
            for _ in range(rng.randint(1, 3)):
                place = rng.randrange(len(lines))
                lines[place] = rng.choice(
                    [lines[place][:-3], lines[place] + "#\x7f\x85", "", lines[place].replace("-", " é/")]
                )
            try:
                loaded(kind, "\n".join(lines))
            except Refused:
                continue
