"""Groups of dialects for tests that ask the same of each."""

from __future__ import annotations

from atp_engine.core.types import Dialect

SSE_DIALECTS = (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC, Dialect.OPENAI_RESPONSES)
"""Those whose streams end with an event of their own, and which hold a request whole."""
