"""Every documented field of every client's dialect, to every other dialect: it is carried, or named as dropped.

One table per pair in `snapshots/fields`: where a field's value arrives in the upstream's body, or by which name it is
told as dropped. The fields are those of the vendors' own SDKs, so a new one must be put into a table here.
Rewritten by `pytest tests/wire --update-snapshots`; read the diff before you commit it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import message_create_params
from google.genai import types as google
from ollama import _types as ollama
from openai.types import completion_create_params as openai_completion
from openai.types.chat import completion_create_params as openai_chat
from openai.types.responses import response_create_params as openai_responses

from atp_engine.core.errors import ATPError
from atp_engine.core.types import Dialect
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS
from atp_engine.dialects.facts import read_facts

SNAPSHOTS = Path(__file__).parents[2] / "snapshots" / "fields"
MODELS = {
    Dialect.OPENAI_CHAT: "gpt-5.2",
    Dialect.OPENAI_RESPONSES: "gpt-5.2",
    Dialect.ANTHROPIC: "claude-sonnet-4-5",
    Dialect.GEMINI: "gemini-2.5-flash",
    Dialect.OLLAMA: "qwen3",
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "Looks outside", "parameters": SCHEMA}
HI = [{"role": "user", "content": "Hi"}]
CUSTOM = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}}
SPACE = {"type": "namespace", "name": "files", "description": "", "tools": [{"type": "function", **FUNCTION}]}
CHAT_TOOL = {"type": "function", "function": FUNCTION}
CLAUDE_TOOL = {"name": "weather", "input_schema": SCHEMA}
GEMINI_TOOL = {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}
Table = dict[str, Any]
"""Samples by field; a sample that is a whole object of members stands for a field that needs company."""

CHAT: Table = {
    "audio": {"voice": "alloy", "format": "mp3"}, "frequency_penalty": 0.5,
    "function_call": {"function_call": {"name": "weather"}, "functions": [FUNCTION]}, "functions": [FUNCTION],
    "logit_bias": {"50256": -100}, "logprobs": True, "max_completion_tokens": 99, "max_tokens": 98,
    "metadata": {"run": "7"}, "modalities": ["text", "audio"], "moderation": {"model": "omni"}, "n": 2,
    "parallel_tool_calls": {"parallel_tool_calls": False, "tools": [CHAT_TOOL]}, "prediction": {"type": "content"},
    "presence_penalty": 0.5, "prompt_cache_key": "key", "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h", "reasoning_effort": "low", "response_format": {"type": "json_object"},
    "response_format.json_schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
    "safety_identifier": "someone", "seed": 7, "service_tier": "flex", "stop": ["END"], "store": True,
    "stream_options": {"stream": True, "stream_options": {"include_obfuscation": True}}, "temperature": 0.5,
    "tool_choice": {"tool_choice": "required", "tools": [CHAT_TOOL]}, "tools": [CHAT_TOOL],
    "tools.custom": {"tools": [{"type": "custom", "custom": {"name": "patch"}}]},
    "tool_choice.without_tools": {"tool_choice": "required"},
    "top_logprobs": {"logprobs": True, "top_logprobs": 3}, "top_p": 0.5, "user": "someone", "verbosity": "low",
    "web_search_options": {"search_context_size": "low"}, "top_k": 7,
    "messages.name": {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]},
    "messages.reasoning": {"messages": [*HI, {"role": "assistant", "content": "A", "reasoning_content": "Hm"}, *HI]},
    "messages.detail": {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}}]}]},
}  # fmt: skip
RESPONSES: Table = {
    "access_programs": ["x"], "background_options": {"a": 1}, "context_management": [{"type": "compaction"}],
    "image": {"a": 1}, "include": ["file_search_call.results"], "instructions": "Be brief.", "max_output_tokens": 99,
    "max_tool_calls": 3, "moderation": {"model": "omni"},
    "parallel_tool_calls": {"parallel_tool_calls": False, "tools": [{"type": "function", **FUNCTION}]},
    "prompt_cache_key": "key", "prompt_cache_options": {"mode": "explicit"}, "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low"}, "reasoning.summary": {"reasoning": {"summary": "detailed"}},
    "safety_identifier": "someone", "service_tier": "priority", "temperature": 0.5,
    "text": {"format": {"type": "json_object"}}, "text.verbosity": {"text": {"verbosity": "high"}},
    "tool_choice": {"tool_choice": "required", "tools": [{"type": "function", **FUNCTION}]},
    "tools": [{"type": "function", **FUNCTION}], "tools.custom": {"tools": [CUSTOM]},
    "tools.namespace": {"tools": [SPACE]}, "tools.web_search": {"tools": [{"type": "web_search"}]},
    "tools.local_shell": {"tools": [{"type": "local_shell"}]},
    "tools.defer_loading": {"tools": [{"type": "function", **FUNCTION, "defer_loading": True}]},
    "top_logprobs": 3, "top_p": 0.5, "truncation": "auto", "user": "someone",
}  # fmt: skip
REPEATED = {"metadata", "store", "stream_options", "previous_response_id"}
"""What the router itself keeps, repeats or acts upon."""
REFUSED = {"background": True, "conversation": "conv_1", "prompt": {"id": "p"}}
CLAUDE: Table = {
    "cache_control": {"type": "ephemeral"}, "container": "c", "diagnostics": {"a": 1}, "inference_geo": "us",
    "max_tokens": 99, "metadata": {"user_id": "someone"}, "metadata.other": {"metadata": {"run": "7"}},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "output_config.effort": {"output_config": {"effort": "low"}}, "service_tier": "standard_only", "speed": "fast",
    "stop_sequences": ["END"], "system": "Be brief.", "thinking": {"type": "enabled", "budget_tokens": 2048},
    "tool_choice": {"tool_choice": {"type": "any"}, "tools": [CLAUDE_TOOL]},
    "tool_choice.single": {
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "tools": [CLAUDE_TOOL]},
    "tools": [CLAUDE_TOOL], "tools.server": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "tools.cache_control": {"tools": [{**CLAUDE_TOOL, "cache_control": {"type": "ephemeral"}}]},
    "user_profile_id": "u", "workspace_id": "w", "temperature": 0.5, "top_p": 0.5, "top_k": 7,
    "context_management": {"edits": []}, "mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x"}],
    "messages.citations": {"messages": [*HI, {"role": "assistant", "content": [
        {"type": "text", "text": "A", "citations": [{"type": "char_location"}]}]}, *HI]},
}  # fmt: skip
GEMINI_CONFIG: Table = {
    "audioTimestamp": True, "candidateCount": 2, "enableEnhancedCivicAnswers": True, "frequencyPenalty": 0.5,
    "imageConfig": {"aspectRatio": "1:1"}, "logprobs": {"responseLogprobs": True, "logprobs": 3},
    "maxOutputTokens": 99, "mediaResolution": "MEDIA_RESOLUTION_LOW", "presencePenalty": 0.5,
    "responseJsonSchema": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    "responseLogprobs": True, "responseMimeType": "application/json", "responseModalities": ["TEXT", "IMAGE"],
    "responseSchema": {"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}},
    "routingConfig": {"a": 1}, "seed": 7, "speechConfig": {"languageCode": "de"}, "stopSequences": ["END"],
    "temperature": 0.5, "thinkingConfig": {"thinkingBudget": 2048}, "topK": 7, "topP": 0.5,
    "modelSelectionConfig": {"a": 1}, "generationOutputConfig": {"a": 1}, "audioTranscriptionConfig": {"a": 1},
}  # fmt: skip
GEMINI_TOP: Table = {
    "automaticContinuation": True, "cachedContent": "cachedContents/1", "continuationToken": "t", "labels": {"a": "b"},
    "modelArmorConfig": {"a": 1}, "safetySettings": [{"category": "x"}], "serviceTier": "priority", "store": True,
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "toolConfig": {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}, "tools": [GEMINI_TOOL]},
    "toolConfig.retrieval": {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}}, "tools": [GEMINI_TOOL],
    "tools.googleSearch": {"tools": [{"googleSearch": {}}]},
}  # fmt: skip
GEMINI: Table = GEMINI_TOP | {
    f"generationConfig.{name}": {
        "generationConfig": value if isinstance(value, dict) and name in value else {name: value}
    }
    for name, value in GEMINI_CONFIG.items()
}
OFFLINE = {"httpOptions", "automaticFunctionCalling", "shouldReturnHttpResponse"}
"""What Google's SDK keeps for itself."""
OLLAMA: Table = {
    "format": SCHEMA, "keep_alive": "5m", "logprobs": True, "think": True,
    "tools": [CHAT_TOOL], "top_logprobs": {"logprobs": True, "top_logprobs": 3},
    **{f"options.{name}": {"options": {name: value}} for name, value in {
        "embedding_only": True, "f16_kv": True, "frequency_penalty": 0.5, "logits_all": True, "low_vram": True,
        "main_gpu": 1, "mirostat": 1, "mirostat_eta": 0.5, "mirostat_tau": 0.5, "num_batch": 8, "num_ctx": 8192,
        "num_gpu": 1, "num_keep": 4, "num_predict": 99, "num_thread": 2, "numa": True, "penalize_newline": True,
        "presence_penalty": 0.5, "repeat_last_n": 8, "repeat_penalty": 1.5, "seed": 7, "stop": ["END"],
        "temperature": 0.5, "tfs_z": 0.5, "top_k": 7, "top_p": 0.5, "typical_p": 0.5, "use_mlock": True,
        "use_mmap": True, "vocab_only": True}.items()},
}  # fmt: skip
COMPLETIONS: Table = {
    "best_of": 2, "echo": True, "frequency_penalty": 0.5, "logit_bias": {"50256": -100}, "logprobs": 3,
    "max_tokens": 99, "n": 2, "presence_penalty": 0.5, "seed": 7, "stop": ["END"],
    "stream_options": {"stream": True, "stream_options": {"include_obfuscation": True}}, "temperature": 0.5,
    "top_p": 0.5, "user": "someone",
}  # fmt: skip
BASES: dict[Dialect, tuple[dict[str, Any], Table]] = {
    Dialect.OPENAI_CHAT: ({"model": "m", "messages": HI}, CHAT),
    Dialect.OPENAI_RESPONSES: ({"model": "m", "input": "Hi"}, RESPONSES),
    Dialect.OPENAI_COMPLETIONS: ({"model": "m", "prompt": "Hi"}, COMPLETIONS),
    Dialect.ANTHROPIC: ({"model": "m", "max_tokens": 4000, "messages": HI}, CLAUDE),
    Dialect.GEMINI: ({"model": "m", "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, GEMINI),
    Dialect.OLLAMA: ({"model": "m", "messages": HI}, OLLAMA),
}
PAIRS = [(client, upstream) for client in BASES for upstream in CHAT_DIALECTS if client is not upstream]


def _with(base: dict[str, Any], field: str, sample: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body without a field and with it; a sample that names the field is all members that it needs."""
    own = field.split(".")[0]
    if not isinstance(sample, dict) or own not in sample:
        return base, base | {field: sample}
    return base | {name: value for name, value in sample.items() if name != own}, base | sample


def _sent(client: Dialect, upstream: Dialect, body: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    raw = json.dumps(body).encode()
    written = bridge(client, upstream).request(raw, read_facts(client, raw), MODELS[upstream])
    return json.loads(written.body), written.dropped_fields


def _both(client: Dialect, upstream: Dialect, without: dict[str, Any], body: dict[str, Any]) -> tuple[Any, Any, Any]:
    return _sent(client, upstream, without)[0], *_sent(client, upstream, body)


def _changed(before: Any, after: Any, path: str = "") -> list[str]:
    """The paths at which two bodies differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(before.keys() | after.keys())
        return [
            one for name in names
            for one in _changed(before.get(name), after.get(name), f"{path}.{name}" if path else name)
        ]  # fmt: skip
    return [] if before == after else [path]


def _table(client: Dialect, upstream: Dialect) -> Table:
    base, fields = BASES[client]
    table: Table = {}
    for field, sample in fields.items():
        try:
            plain, sent, dropped = _both(client, upstream, *_with(base, field, sample))
        except ATPError as error:
            table[field] = {"refused": error.public_message}
            continue
        carried = _changed(plain, sent)
        table[field] = ({"carried": carried} if carried else {}) | ({"dropped": list(dropped)} if dropped else {})
    return table


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=[f"{client}-{upstream}" for client, upstream in PAIRS])
def test_every_field_is_carried_or_named(client: Dialect, upstream: Dialect, pytestconfig: pytest.Config) -> None:
    golden = SNAPSHOTS / f"{client}-{upstream}.json"
    table = _table(client, upstream)
    assert [field for field, fate in table.items() if not fate] == [], "lost without a word"
    if pytestconfig.getoption("--update-snapshots"):
        lines = [f" {json.dumps(field)}: {json.dumps(fate)}" for field, fate in table.items()]
        golden.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert table == json.loads(golden.read_text())


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def test_the_tables_hold_every_field_of_the_vendors_sdks() -> None:
    always = {"model", "messages", "input", "prompt", "contents", "stream"}
    google_fields = {_camel(name) for name in google.GenerateContentConfig.model_fields} - OFFLINE
    gemini = GEMINI_TOP.keys() | GEMINI_CONFIG.keys()
    options = {f"options.{name}" for name in ollama.Options.model_fields}
    assert openai_chat.CompletionCreateParamsBase.__annotations__.keys() - always <= CHAT.keys()
    documented = openai_responses.ResponseCreateParamsBase.__annotations__.keys() - always - REPEATED
    assert documented <= RESPONSES.keys() | REFUSED.keys()
    documented = openai_completion.CompletionCreateParamsBase.__annotations__.keys() - always
    assert documented - {"suffix"} <= COMPLETIONS.keys()
    assert message_create_params.MessageCreateParamsBase.__annotations__.keys() - always <= CLAUDE.keys()
    assert google_fields - gemini == set()
    assert (ollama.ChatRequest.model_fields.keys() - always - {"options"}) | options <= OLLAMA.keys()


@pytest.mark.parametrize("field", REFUSED)
def test_what_nobody_here_can_do_is_refused_by_name(field: str) -> None:
    body = {"model": "m", "input": "Hi", field: REFUSED[field]}
    with pytest.raises(ATPError, match=field):
        _sent(Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC, body)
