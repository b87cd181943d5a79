"""The context window that an Ollama server is asked for.

Without `num_ctx` the server takes its own default (4096 tokens unless its operator set more) and cuts the start of a
longer prompt without a word (docs.ollama.com/context-length, November 2026). A window that changes makes it load the
model again, so windows go up in powers of two.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.dialects.ollama_facts import read_facts

SERVERS_OWN = 4_096
"""What every server has without being asked."""
_SLACK = 1.25
"""The prompt's tokens are an estimate."""
_USUAL_ANSWER = 1_024
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def with_window(body: bytes, context_tokens: int, num_ctx: int | None) -> bytes:
    """The chat body with a window that its prompt and its answer fit into.

    What the client's own `options` say stays. `num_ctx` is the deployment's: a fixed window, 0 to leave it to the
    server, None to fit it; `context_tokens` is the most that the model has, 0 when unknown.
    """
    if num_ctx == 0:
        return body
    try:
        fields = _FIELDS.decode(body)
        options = _FIELDS.decode(fields["options"]) if fields.get("options", _NULL) != _NULL else {}
        if "num_ctx" in options:
            return body
        window = num_ctx or _fitting(body, context_tokens)
    except (ValueError, RecursionError, InvalidRequest):
        return body
    if not window:
        return body
    options["num_ctx"] = msgspec.Raw(str(window).encode())
    fields["options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


_NULL = msgspec.Raw(b"null")


def _fitting(body: bytes, context_tokens: int) -> int:
    """The smallest window in powers of two, 0 when the server's own will do."""
    facts = read_facts(body)
    needed = int(facts.prompt_tokens_estimate * _SLACK) + (facts.max_output_tokens or _USUAL_ANSWER)
    if needed <= SERVERS_OWN:
        return 0
    window = 1 << (needed - 1).bit_length()
    return min(window, context_tokens) if context_tokens else window
