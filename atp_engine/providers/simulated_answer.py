"""What a simulated model says to a request: thinking, text, tool calls, usage - before any wire format.

`simulated` calls `compose` and streams the result. In `auto` mode only tools that look harmless are
called (nothing that writes, runs or sends), since a client may carry the call out.
"""

from __future__ import annotations

import re

import msgspec

from atp_engine.core.types import TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.estimate import estimate_tokens
from atp_engine.providers.simulated_chance import Chance
from atp_engine.providers.simulated_models import SimulatedModel
from atp_engine.providers.simulated_schema import SchemaFiller
from atp_engine.providers.simulated_text import answer_text, phrase, thought_text, topics_of

_BYTES_PER_TOKEN = 4
_CACHE_MIN_TOKENS = 1_024
_CACHE_STEP = 128
"""Prefixes are read from the cache like OpenAI's: from 1024 tokens on, in steps of 128."""
_TOOL_SHARE = 0.6
_SECOND_CALL_SHARE = 0.2
_HARMLESS = re.compile(
    r"get|read|list|search|find|look|query|fetch|view|show|grep|glob|weather|time|calc|lookup|status"
)
_HARMFUL = re.compile(
    r"write|edit|delete|remove|create|update|insert|patch|move|rename|exec|run|bash|shell|command|kill|send|post|put|"
    r"deploy|install|commit|push|buy|pay|book|order|notebook|apply|set_|upload|task|agent"
)


class Answer(msgspec.Struct, frozen=True):
    """A composed answer; texts are already cut to the token limit and at the stop sequence."""

    thoughts: str
    text: str
    calls: tuple[ir.ToolCall, ...]
    finish: ir.FinishReason
    stop_sequence: str
    usage: TokenUsage

    def parts(self) -> tuple[ir.Part, ...]:
        """The answer as the parts of a message."""
        parts: list[ir.Part] = []
        if self.thoughts:
            parts.append(ir.Reasoning(self.thoughts, signature=SIGNATURE))
        if self.text:
            parts.append(ir.Text(self.text))
        return (*parts, *self.calls)


SIGNATURE = "c2ltdWxhdGVkIHRoaW5raW5n"
"""The seal of simulated thinking (base64 of these words)."""


def compose(request: ir.ChatRequest, model: SimulatedModel, prompt_tokens: int, chance: Chance) -> Answer:
    """The answer of a model to a request; the same for the same request, model and chance."""
    prompt = said_by_user(request)
    wanted = max(1, round(model.profile.output_tokens * chance.between(0.6, 1.4)))
    limit = request.max_output_tokens or 1_000_000
    thoughts = _thoughts(request, model, prompt, min(wanted, limit // 2), chance)
    left = max(0, limit - _tokens(thoughts))
    calls = _calls(request, prompt, chance)
    text = "" if calls else _text(request, prompt, min(wanted, left + 16), chance)
    text, stop_sequence = _stopped(text, request.stop)
    finish = ir.FinishReason.TOOL_CALLS if calls else ir.FinishReason.STOP
    if stop_sequence:
        finish = ir.FinishReason.STOP_SEQUENCE
    if _tokens(text) > left:
        text, finish, stop_sequence = _cut(text, left), ir.FinishReason.LENGTH, ""
    elif sum(_tokens(call.arguments) for call in calls) > left:
        calls = tuple(msgspec.structs.replace(call, arguments=_cut(call.arguments, left)) for call in calls[:1])
        finish = ir.FinishReason.LENGTH
    said = (thoughts, text, *(call.arguments for call in calls))
    return Answer(
        thoughts=thoughts,
        text=text,
        calls=calls,
        finish=finish,
        stop_sequence=stop_sequence,
        usage=_usage(request, prompt_tokens, sum(map(_tokens, said)), _tokens(thoughts)),
    )


def said_by_user(request: ir.ChatRequest) -> str:
    """The text of the last message in which the user says something; empty when there is none."""
    for message in reversed(request.messages):
        if message.role is ir.Role.USER:
            text = " ".join(part.text for part in message.parts if isinstance(part, ir.Text))
            if text.strip():
                return text
    return ""


def _thoughts(request: ir.ChatRequest, model: SimulatedModel, prompt: str, most: int, chance: Chance) -> str:
    thinking = request.thinking
    is_off = thinking is not None and (not thinking.is_enabled or thinking.effort == "none")
    if is_off or (thinking is None and not model.is_thinking) or most < 1:
        return ""
    wanted = max(12, round(model.profile.output_tokens * chance.between(0.3, 0.6)))
    return _cut(thought_text(prompt, min(wanted, most), chance), most)


def _text(request: ir.ChatRequest, prompt: str, wanted: int, chance: Chance) -> str:
    if request.json_format is None:
        return answer_text(prompt, wanted, chance)
    schema = request.json_format.schema
    if not bytes(schema):
        topics = topics_of(prompt)
        value: object = {
            "answer": phrase(prompt, chance),
            "topics": topics[:3],
            "confidence": round(chance.random(), 2),
        }
    else:
        value = SchemaFiller(_json(schema), prompt, chance, with_optional=True).value()
    return msgspec.json.encode(value).decode()


def _calls(request: ir.ChatRequest, prompt: str, chance: Chance) -> tuple[ir.ToolCall, ...]:
    tools = _callable_tools(request, prompt, chance)
    if not tools:
        return ()
    count = 2 if request.has_parallel_calls is not False and chance.random() < _SECOND_CALL_SHARE else 1
    calls = []
    for _ in range(count):
        tool = chance.pick(tools)
        arguments = SchemaFiller(_json(tool.parameters), prompt, chance, with_optional=tool.is_strict).value()
        number = f"{int(chance.random() * 16**12):012x}"
        calls.append(ir.ToolCall(f"call_sim{number}", tool.name, msgspec.json.encode(arguments).decode()))
    return tuple(calls)


def _callable_tools(request: ir.ChatRequest, prompt: str, chance: Chance) -> list[ir.Tool]:
    """The tools to choose from; none means an answer in words."""
    mode = request.tool_choice.mode if request.tool_choice else "auto"
    if mode == "none" or not request.tools:
        return []
    if mode == "named" and request.tool_choice:
        return [tool for tool in request.tools if tool.name == request.tool_choice.name][:1]
    if mode == "required":
        return list(request.tools)
    last = request.messages[-1] if request.messages else None
    is_answered = last is not None and any(isinstance(part, ir.ToolResult) for part in last.parts)
    if is_answered or chance.random() >= _TOOL_SHARE:
        return []
    harmless = [tool for tool in request.tools if _is_harmless(tool.name)]
    topics = topics_of(prompt)
    fitting = [tool for tool in harmless if any(topic in tool.name.lower() for topic in topics)]
    return fitting or harmless


def _is_harmless(name: str) -> bool:
    lower = name.lower()
    return _HARMLESS.search(lower) is not None and _HARMFUL.search(lower) is None


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    """The text up to the first stop sequence, and which one that was."""
    places = [(place, stop) for stop in stops if stop and (place := text.find(stop)) >= 0]
    if not places:
        return text, ""
    place, stop = min(places, key=lambda found: found[0])
    return text[:place], stop


def _usage(request: ir.ChatRequest, prompt_tokens: int, output_tokens: int, thinking_tokens: int) -> TokenUsage:
    """A conversation's earlier part is read from the cache, as vendors do."""
    cached = 0
    if len(request.messages) > 2:
        older = prompt_tokens - estimate_tokens(len(said_by_user(request).encode("utf-8", "replace")))
        cached = older // _CACHE_STEP * _CACHE_STEP if older >= _CACHE_MIN_TOKENS else 0
    return TokenUsage(
        input_tokens=prompt_tokens - cached,
        output_tokens=output_tokens,
        cache_read_tokens=cached,
        reasoning_tokens=thinking_tokens,
    )


def _tokens(text: str) -> int:
    return estimate_tokens(len(text.encode("utf-8", "replace")))


def _cut(text: str, tokens: int) -> str:
    return text.encode("utf-8", "replace")[: tokens * _BYTES_PER_TOKEN].decode("utf-8", "ignore")


def _json(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
