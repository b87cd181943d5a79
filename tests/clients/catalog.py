"""The clients, one row each: how a case of it is run and what its requests must look like to the engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients import install
from tests.clients.stand_in import AGENT_WORD, GREETING, TOOL_OUTPUT, TOOL_WORD

HELLO, STREAM, TOOLS, RESUME, SUBAGENT, WRONG_KEY = "hello", "stream", "tools", "resume", "subagent", "wrong key"
CASES = (HELLO, STREAM, TOOLS, RESUME, SUBAGENT, WRONG_KEY)
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Place:
    """Where a client runs and what it is told."""

    home: Path
    url: str
    key: str

    @property
    def project(self) -> Path:
        """The directory it works in, which is not where it keeps its own files."""
        return self.home / "project"


@dataclass(frozen=True)
class Run:
    """One command, with its own environment."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


Build = Callable[[Place, str], Run]


@dataclass(frozen=True)
class Client:
    """A client: `run` gives the command of a case; `names` are what the engine may call it."""

    name: str
    names: tuple[str, ...]
    run: Build
    cases: tuple[str, ...] = (HELLO, STREAM, TOOLS, WRONG_KEY)
    has_session_id: bool = False
    """It sends an id of its own, which sessions go by."""
    prepare: Callable[[Place], None] | None = None
    said: dict[str, str] = field(default_factory=dict)
    """What a case's output must hold, where that is not the usual."""

    def expected(self, case: str) -> str:
        """What a case's output must hold."""
        if case in self.said:
            return self.said[case]
        return TOOL_OUTPUT if case == TOOLS else GREETING


def _sdk(library: str, venv: str = "py-sdk") -> Build:
    def run(place: Place, case: str) -> Run:
        script = str(_HERE / "scripts" / "sdk.py")
        return Run([install.python(venv), script, library, case.replace(" ", "_")], _address(place))

    return run


def _node(library: str) -> Build:
    def run(place: Place, case: str) -> Run:
        script = install.NODE / "atp_sdk.mjs"
        script.write_text((_HERE / "scripts" / "sdk.mjs").read_text())
        return Run([install.node(), str(script), library, case.replace(" ", "_")], _address(place))

    return run


def _address(place: Place) -> dict[str, str]:
    return {"ATP_URL": place.url, "ATP_KEY": place.key}


def _prompt(case: str) -> str:
    if case == TOOLS:
        return f"{TOOL_WORD}: run your shell tool."
    if case == SUBAGENT:
        return f"{AGENT_WORD}: start a subagent."
    return f"Say hello ({case})."


def _claude(place: Place, case: str) -> Run:
    command = [install.program("claude"), "-p", _prompt(case), "--allowedTools", "Bash,Agent,Task"]
    if case == RESUME:
        command.append("--continue")
    if case == STREAM:
        command += ["--output-format", "stream-json", "--verbose", "--include-partial-messages"]
    environment = {
        "ANTHROPIC_BASE_URL": place.url,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "ANTHROPIC_MODEL": "auto",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "auto",
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        "API_TIMEOUT_MS": "30000",
        "CLAUDE_CODE_MAX_RETRIES": "0",
    }
    return Run(command, environment)


def _codex_files(place: Place) -> None:
    folder = place.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(
        'model = "auto"\nmodel_provider = "atp"\n[model_providers.atp]\nname = "atp"\n'
        f'base_url = "{place.url}/v1"\nenv_key = "ATP_KEY"\nwire_api = "responses"\n'
        "request_max_retries = 0\nstream_max_retries = 0\n"
    )


def _codex(place: Place, case: str) -> Run:
    bare = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    rest = ["resume", "--last", *bare] if case == RESUME else bare
    return Run([install.program("codex"), "exec", *rest, _prompt(case)], {"ATP_KEY": place.key})


def _opencode_files(place: Place) -> None:
    settings = {
        "provider": {
            "atp": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": f"{place.url}/v1", "apiKey": "{env:ATP_KEY}"},
                "models": {"auto": {"name": "auto", "limit": {"context": 200_000, "output": 32_000}}},
            }
        },
        "autoupdate": False,
        "share": "disabled",
    }
    (place.project / "opencode.json").write_text(json.dumps(settings))


def _opencode(place: Place, case: str) -> Run:
    command = [install.program("opencode"), "run", "--model", "atp/auto"]
    if case == RESUME:
        command.append("--continue")
    return Run([*command, _prompt(case)], {"ATP_KEY": place.key})


def _qwen(place: Place, case: str) -> Run:
    command = [install.program("qwen"), "--auth-type", "openai", "--approval-mode", "yolo", "-p", _prompt(case)]
    if case == RESUME:
        command.append("--continue")
    return Run(command, {"OPENAI_BASE_URL": f"{place.url}/v1", "OPENAI_API_KEY": place.key, "OPENAI_MODEL": "auto"})


def _gemini_files(place: Place) -> None:
    folder = place.home / ".gemini"
    folder.mkdir()
    (folder / "settings.json").write_text('{"security": {"auth": {"selectedType": "gemini-api-key"}}}')


def _gemini(place: Place, case: str) -> Run:
    command = [
        install.program("gemini"),
        "--skip-trust",
        "-m",
        "stand-in",
        "--approval-mode",
        "yolo",
        "-p",
        _prompt(case),
    ]
    if case == RESUME:
        command += ["--resume", "latest"]
    return Run(command, {"GOOGLE_GEMINI_BASE_URL": place.url, "GEMINI_API_KEY": place.key})


def _aider(place: Place, case: str) -> Run:
    quiet = ["--no-git", "--yes-always", "--no-check-update", "--no-show-model-warnings", "--analytics-disable"]
    command = [str(install.CACHE / "py-aider" / "bin" / "aider"), "--model", "openai/auto", *quiet]
    command += ["--no-show-release-notes", "--message", _prompt(case)]
    if case == HELLO:
        command.append("--no-stream")
    if case == RESUME:
        command.append("--restore-chat-history")
    return Run(command, {"OPENAI_API_BASE": f"{place.url}/v1", "OPENAI_API_KEY": place.key})


def _llm_files(place: Place) -> None:
    (place.home / "extra-openai-models.yaml").write_text(
        "- model_id: atp\n  model_name: auto\n  supports_tools: true\n"
        f"  api_base: {place.url}/v1\n  api_key_name: atp\n"
    )


def _llm(place: Place, case: str) -> Run:
    command = [str(install.CACHE / "py-sdk" / "bin" / "llm"), "-m", "atp", "--key", place.key]
    if case == HELLO:
        command.append("--no-stream")
    if case == RESUME:
        command.append("-c")
    if case == TOOLS:
        command += ["--functions", 'def get_weather(city: str) -> str:\n    "Weather."\n    return "atp-42 degrees"']
    return Run([*command, _prompt(case)], {"LLM_USER_PATH": str(place.home)})


_AGENT = (HELLO, TOOLS, RESUME, WRONG_KEY)
_WITH_SUBAGENTS = (HELLO, TOOLS, RESUME, SUBAGENT, WRONG_KEY)
_NODE_CLIENTS = ("openai", "anthropic", "vercel_openai", "vercel_chat", "vercel_compatible", "vercel_anthropic")

CLIENTS = (
    Client("openai py", ("openai-py",), _sdk("openai_sdk")),
    Client("openai py, responses", ("openai-py",), _sdk("openai_responses")),
    Client("anthropic py", ("anthropic-py",), _sdk("anthropic_sdk")),
    Client("openai node", ("openai-js",), _node("openai")),
    Client("anthropic node", ("anthropic-js",), _node("anthropic")),
    Client("Vercel AI, openai", ("vercel-ai",), _node("vercel_openai")),
    Client("Vercel AI, openai chat", ("vercel-ai",), _node("vercel_chat")),
    Client("Vercel AI, openai-compatible", ("vercel-ai",), _node("vercel_compatible")),
    Client("Vercel AI, anthropic", ("vercel-ai",), _node("vercel_anthropic")),
    Client("LangChain, openai", ("langchain", "openai-py"), _sdk("langchain_openai")),
    Client("LangChain, anthropic", ("langchain", "anthropic-py"), _sdk("langchain_anthropic")),
    Client("litellm", ("litellm", "openai-py"), _sdk("litellm")),
    Client("instructor", ("instructor", "openai-py"), _sdk("instructor"), (HELLO, WRONG_KEY), said={HELLO: "Paris"}),
    Client("LlamaIndex", ("llama-index", "openai-py"), _sdk("llama_index"), (HELLO, STREAM, WRONG_KEY)),
    Client("OpenAI Agents SDK", ("openai-agents",), _sdk("openai_agents")),
    Client("pydantic-ai, openai", ("pydantic-ai",), _sdk("pydantic_ai_openai", "py-pydantic-ai")),
    Client(
        "pydantic-ai, anthropic",
        ("pydantic-ai", "anthropic-py"),
        _sdk("pydantic_ai_anthropic", "py-pydantic-ai"),
        (HELLO, TOOLS, WRONG_KEY),
    ),
    Client("google-genai", ("google-genai",), _sdk("google_genai")),
    Client("ollama py", ("ollama-py",), _sdk("ollama")),
    Client("llm", ("llm", "openai-py"), _llm, (HELLO, STREAM, TOOLS, RESUME, WRONG_KEY), prepare=_llm_files),
    Client("aider", ("aider", "openai-py", "litellm"), _aider, (HELLO, STREAM, RESUME, WRONG_KEY)),
    Client("Claude Code", ("claude-code",), _claude, (HELLO, STREAM, *_WITH_SUBAGENTS[1:]), True),
    Client("opencode", ("opencode",), _opencode, _WITH_SUBAGENTS, True, _opencode_files),
    Client("Qwen Code", ("qwen-code",), _qwen, _AGENT),
    Client("Gemini CLI", ("gemini-cli",), _gemini, _AGENT, prepare=_gemini_files),
    Client("Codex", ("codex",), _codex, _AGENT, True, _codex_files),
)
