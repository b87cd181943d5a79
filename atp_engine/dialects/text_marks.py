"""What vendors tell about an answer's text beside it: the pages it cites, the probabilities of its tokens.

OpenAI's dialects and Ollama share one shape of probabilities, which is also that of `ir`; Gemini has its own. A
citation is carried when it names a page on the web; one of a file or a passage of the prompt is named as dropped.
Shapes: the types of openai 3.54, anthropic 2.12, google-genai 3.6.1 and ollama 0.6.3, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from atp_engine.dialects import ir, json_text
from atp_engine.dialects.counts import Number, count

_HAS_MARKS = re.compile(rb'"(?:logprobs|annotations)"\s*:\s*(?:\{|\[\s*\{)')
Probabilities = tuple[msgspec.Raw, ...]


class _Annotation(msgspec.Struct, gc=False):
    """An annotation of Responses, or what stands in one of a chat, or Anthropic's citation."""

    type: str = ""
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start_index: Number = 0
    end_index: Number = 0
    url_citation: _Annotation | None = None


class _Probed(msgspec.Struct, gc=False):
    content: list[msgspec.Raw] | None = None


class _Message(msgspec.Struct, gc=False):
    annotations: list[_Annotation] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: _Message | None = None
    message: _Message | None = None
    logprobs: _Probed | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


class _Web(msgspec.Struct, gc=False):
    uri: str | None = None
    title: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    web: _Web | None = None


class _Segment(msgspec.Struct, gc=False, rename="camel"):
    start_index: Number = 0
    end_index: Number = 0
    text: str | None = None


class _Support(msgspec.Struct, gc=False, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(msgspec.Struct, gc=False, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None


class _Token(msgspec.Struct, gc=False, rename="camel"):
    token: str | None = None
    log_probability: float | None = None


class _Top(msgspec.Struct, gc=False):
    candidates: list[_Token] | None = None


class _Probabilities(msgspec.Struct, gc=False, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Top] | None = None


class _Entry(msgspec.Struct, gc=False):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list[_Entry] | None = None


_ANNOTATION = msgspec.json.Decoder(_Annotation)
_ANSWER = msgspec.json.Decoder(_Answer)
_GROUNDING = msgspec.json.Decoder(_Grounding)
_PROBABILITIES = msgspec.json.Decoder(_Probabilities)
_ENTRY = msgspec.json.Decoder(_Entry)


def of_chat(payload: bytes) -> tuple[Probabilities, tuple[ir.Citation, ...]]:
    """Both of an OpenAI chat answer's or chunk's first choice; nothing where they cannot be read."""
    if _HAS_MARKS.search(payload) is None:
        return (), ()
    try:
        choices = json_text.decode(_ANSWER, payload).choices
    except ValueError:
        return (), ()
    for choice in choices or ():
        if not choice.index:
            said = choice.message or choice.delta
            found = (_cited(one.url_citation or one) for one in (said.annotations if said else None) or ())
            probed = choice.logprobs.content if choice.logprobs is not None else None
            return tuple(probed or ()), tuple(one for one in found if one is not None)
    return (), ()


def citation(raw: msgspec.Raw) -> ir.Citation | None:
    """An annotation of Responses or a citation of Anthropic, None for one of no page."""
    try:
        return _cited(json_text.decode(_ANNOTATION, bytes(raw)))
    except ValueError:
        return None


def _cited(told: _Annotation) -> ir.Citation | None:
    if not told.url:
        return None
    start, end = count(told.start_index), count(told.end_index)
    return ir.Citation(told.url, told.title or "", told.cited_text or "", start, end)


def of_grounding(raw: msgspec.Raw, text: str) -> tuple[ir.Citation, ...]:
    """The pages of Gemini's `groundingMetadata`; its places are bytes of `text`, ours are characters."""
    try:
        told = json_text.decode(_GROUNDING, bytes(raw))
    except ValueError:
        return ()
    pages = [chunk.web for chunk in told.grounding_chunks or ()]
    encoded, found, used = text.encode("utf-8", "replace"), list[ir.Citation](), set[int]()
    for support in told.grounding_supports or ():
        segment = support.segment or _Segment()
        places = [_chars(encoded, segment.start_index), _chars(encoded, segment.end_index)]
        for number in support.grounding_chunk_indices or ():
            page = pages[number] if 0 <= number < len(pages) else None
            if page is not None and page.uri:
                used.add(number)
                found.append(ir.Citation(page.uri, page.title or "", "", places[0], places[1]))
    for number, page in enumerate(pages):
        if number not in used and page is not None and page.uri:
            found.append(ir.Citation(page.uri, page.title or ""))
    return tuple(found)


def _chars(encoded: bytes, place: Number) -> int:
    return len(encoded[: count(place)].decode("utf-8", "ignore"))


def of_gemini(raw: msgspec.Raw) -> Probabilities:
    """The entries of Gemini's `logprobsResult`."""
    try:
        told = json_text.decode(_PROBABILITIES, bytes(raw))
    except ValueError:
        return ()
    tops = told.top_candidates or []
    entries = []
    for place, chosen in enumerate(told.chosen_candidates or ()):
        top = (tops[place].candidates if place < len(tops) else None) or []
        entry = _entry(chosen) | {"top_logprobs": [_entry(one) for one in top]}
        entries.append(msgspec.Raw(msgspec.json.encode(entry)))
    return tuple(entries)


def _entry(token: _Token) -> dict[str, Any]:
    text = token.token or ""
    return {"token": text, "logprob": token.log_probability, "bytes": list(text.encode("utf-8", "replace"))}


def to_gemini(probabilities: Probabilities) -> dict[str, Any]:
    """The same as a `logprobsResult`."""
    told = [json_text.decode(_ENTRY, bytes(raw)) for raw in probabilities]
    top = [{"candidates": [_token(one) for one in entry.top_logprobs or ()]} for entry in told]
    return {"chosenCandidates": [_token(entry) for entry in told], "topCandidates": top}


def _token(entry: _Entry) -> dict[str, Any]:
    return {"token": entry.token, "logProbability": entry.logprob}


def annotation(cited: ir.Citation, *, is_nested: bool) -> dict[str, Any]:
    """A citation as OpenAI tells it: in a chat it stands in a member of its own."""
    told = {"start_index": cited.start, "end_index": cited.end, "url": cited.url, "title": cited.title}
    return {"type": "url_citation", **({"url_citation": told} if is_nested else told)}


def anthropic_citation(cited: ir.Citation) -> dict[str, Any]:
    """A citation as Anthropic tells it; without the seal that only its own search gives, see `is_unsealed`."""
    told = {"type": "web_search_result_location", "url": cited.url, "title": cited.title or None}
    return {**told, "cited_text": cited.quote, "encrypted_index": ""}


def grounding(citations: Sequence[ir.Citation], text: str) -> dict[str, Any]:
    """Citations as Gemini's `groundingMetadata`; `text` is empty when their places cannot be told."""
    pages = list(dict.fromkeys((cited.url, cited.title) for cited in citations))
    told: dict[str, Any] = {"groundingChunks": [{"web": {"uri": url, "title": title}} for url, title in pages]}
    supports = []
    for cited in citations:
        if text and cited.end > cited.start:
            start, end = (len(text[:place].encode("utf-8", "replace")) for place in (cited.start, cited.end))
            segment = {"startIndex": start, "endIndex": end, "text": text[cited.start : cited.end]}
            number = pages.index((cited.url, cited.title))
            supports.append({"segment": segment, "groundingChunkIndices": [number]})
    return {**told, "groundingSupports": supports} if supports else told
