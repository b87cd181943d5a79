"""The clients themselves, by name from npm and PyPI, in a cache outside the repository.

`ATP_CLIENTS_DIR` names another place than `~/.cache/atp-console-clients`. What is there already is kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("ATP_CLIENTS_DIR", Path.home() / ".cache" / "atp-console-clients"))
NODE = CACHE / "node"
_NPM = {
    "openai": "openai",
    "@anthropic-ai/sdk": "@anthropic-ai/sdk",
    "ai": "ai",
    "@ai-sdk/openai": "@ai-sdk/openai",
    "@ai-sdk/openai-compatible": "@ai-sdk/openai-compatible",
    "@ai-sdk/anthropic": "@ai-sdk/anthropic",
    "zod": "zod",
    "@anthropic-ai/claude-code": "@anthropic-ai/claude-code",
    "@openai/codex": "@openai/codex",
    "opencode-ai": "opencode-ai",
    "node": "node@22",
    "@qwen-code/qwen-code": "@qwen-code/qwen-code",
    "@google/gemini-cli": "@google/gemini-cli",
}
_PIP = {
    "py-sdk": (
        "openai",
        "anthropic",
        "langchain-openai",
        "langchain-anthropic",
        "instructor",
        "llama-index-llms-openai-like",
        "openai-agents",
        "litellm",
        "llm",
        "google-genai",
        "ollama",
    ),
    "py-pydantic-ai": ("pydantic-ai-slim[openai,anthropic]", "anthropic<2"),
    "py-aider": ("aider-chat",),
}


def install() -> list[str]:
    """Installs what is missing; returns what could not be, one line each."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return [*_npm(), *_pip()]


def python(venv: str) -> str:
    """The interpreter of one of our virtual environments."""
    return str(CACHE / venv / "bin" / "python")


def node() -> str:
    """The Node that came with the clients, or the machine's."""
    own = NODE / "node_modules" / ".bin" / "node"
    return str(own) if own.exists() else "node"


def program(name: str) -> str:
    """An npm package's command."""
    return str(NODE / "node_modules" / ".bin" / name)


def _npm() -> list[str]:
    NODE.mkdir(exist_ok=True)
    if not (NODE / "package.json").exists():
        (NODE / "package.json").write_text('{"private": true}')
    missing = [spec for name, spec in _NPM.items() if not (NODE / "node_modules" / name / "package.json").exists()]
    if not missing:
        return []
    print(f"npm: {' '.join(missing)}", flush=True)
    return _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *missing], NODE, "npm")


def _pip() -> list[str]:
    failed = []
    for venv, packages in _PIP.items():
        done = CACHE / venv / ".installed"
        if done.exists() and done.read_text() == "\n".join(packages):
            continue
        print(f"pip, {venv}: {' '.join(packages)}", flush=True)
        if not Path(python(venv)).exists():
            failed += _run([sys.executable, "-m", "venv", str(CACHE / venv)], CACHE, venv)
        faults = _run(
            [python(venv), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], CACHE, venv
        )
        failed += faults
        if not faults:
            done.write_text("\n".join(packages))
    return failed


def _run(command: list[str], folder: Path, what: str) -> list[str]:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1_200, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{what}: {error}"]
    if done.returncode == 0:
        return []
    return [f"{what}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}"]
