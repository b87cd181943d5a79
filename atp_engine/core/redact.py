"""Credentials taken out of text before anybody stores, shows or logs it.

`logs.py`, the body store and config messages call `redact`. The first look is a pass of the regex engine
that pydantic-core carries (Rust, no look-around, about a microsecond per KB); only a text with something
suspicious pays for Python's own. Redact first and cut afterwards: half a key is not recognised.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic_core import SchemaValidator, core_schema

MARK = "***"


class _Row(NamedTuple):
    """`sight` is what a text must hold before `pattern` can find anything; group 1 of a find stays."""

    sight: str
    pattern: str


def _key(lead: str, rest: str) -> _Row:
    # The look-behind comes after the lead so that Python can search for a literal beginning.
    return _Row(lead + rest, rf"({lead})(?<![A-Za-z0-9]{lead}){rest}[A-Za-z0-9_-]*")


def _any(*names: str) -> str:
    return "|".join(sorted({form for name in names for form in (name, name.upper(), name.title())}))


_AUTHORIZATION = _any("authorization")
_COOKIE = _any("cookie")
_BEARER = _any("bearer")
_BASIC = _any("basic")
_MEMBER = _any(
    "api-key", "api_key", "apikey", "auth_token", "auth-token", "access_token", "refresh_token", "client_secret",
    "password",
) + "|apiKey"  # fmt: skip
_GAP = r"[\\\"']{0,4}\s{0,4}(?:=>|[:=])\s{0,4}"
_QUERY = r"[?&](?:key|token|sig)="

# A sight has small repetitions only: large counted ones make the fast engine a thousand times slower.
_TABLE = (
    # Keys that tell themselves by their beginning: OpenAI, Anthropic and their kin ...
    _key("sk-", "[A-Za-z0-9_-]{16}"),
    _key("pk-", "[A-Za-z0-9_-]{16}"),
    # ... our own: random base32 or base64, which metric names such as atp_requests_total are not,
    _Row(
        "atp_[A-Za-z0-9_-]{18}",
        r"(atp_)(?:[A-Za-z_-]{0,24}[0-9][A-Za-z0-9_-]{16,}|[a-z0-9_]{0,13}[a-z2-7]{40,})",
    ),
    # Groq, xAI, Google, AWS, GitHub, Hugging Face, Slack, Perplexity, NVIDIA, GitLab, JSON web tokens.
    _key("gsk_", "[A-Za-z0-9]{20}"),
    _key("xai-", "[A-Za-z0-9]{20}"),
    _key("AIza", "[A-Za-z0-9_-]{20}"),
    _Row("A(?:KIA|SIA)[A-Z0-9]{16}", r"\b(A(?:KIA|SIA))[A-Z0-9]{16}"),
    _Row("gh[pousr]_[A-Za-z0-9]{20}", r"\b(gh[pousr]_)[A-Za-z0-9]{20,}"),
    _key("github_pat_", "[A-Za-z0-9_]{20}"),
    _key("hf_", "[A-Za-z0-9]{20}"),
    _Row("xox[a-z]-[A-Za-z0-9-]{10}", r"\b(xox[a-z]-)[A-Za-z0-9-]{10,}"),
    _key("pplx-", "[A-Za-z0-9]{16}"),
    _key("nvapi-", "[A-Za-z0-9_-]{16}"),
    _key("glpat-", "[A-Za-z0-9_-]{16}"),
    _Row(r"eyJ[A-Za-z0-9_-]{8}", r"(eyJ)[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    # Headers, members, assignments. Prose such as "bearer authentication" has letters only and stays.
    _Row(rf"(?:{_BEARER})\s", rf"((?:{_BEARER})\s+)(?=[A-Za-z]*[^A-Za-z\s])[A-Za-z0-9._~+/=-]{{8,}}"),
    _Row(rf"(?:{_BASIC})\s+[A-Za-z0-9+/=]{{16}}", rf"((?:{_BASIC})\s+)(?=[A-Za-z+/]*[0-9=])[A-Za-z0-9+/=]{{16,}}"),
    _Row(
        _AUTHORIZATION,
        rf"((?:{_AUTHORIZATION}){_GAP}[\\\"']{{0,4}}(?:[A-Za-z]{{1,16}}\s+)?)(?!\*\*\*)"
        r"(?=[^\s\"'\\,;]*[^A-Za-z\s\"'\\,;])[^\s\"'\\,;]{6,}",
    ),
    _Row(
        _COOKIE,
        rf"((?:{_COOKIE}){_GAP}[\\\"']{{0,4}})[^\s\"'\\;=,]{{1,256}}=[^\s\"'\\;]+"
        r"(?:;\s?[^\s\"'\\;=]{1,256}=[^\s\"'\\;]*)*",
    ),
    _Row(
        f"{_MEMBER}|{_AUTHORIZATION}",
        rf"((?:{_MEMBER}|{_AUTHORIZATION}){_GAP}[\\]{{0,3}}[\"'])(?!env:|file:|keyring:|\*\*\*)"
        r"[^\s\"'\\]{6,}(?=[\\]{0,3}[\"'])",
    ),
    _Row(_MEMBER, rf"((?:{_MEMBER}){_GAP})(?=[A-Za-z_.+/=-]{{0,256}}[0-9])[A-Za-z0-9_.+/=-]{{8,}}"),
    # URLs and private keys.
    _Row(_QUERY, rf"({_QUERY})[^&\s\"'\\]{{8,}}"),
    _Row(r"://[^\s/@:]*:[^\s/@]+@", r"(://[^\s/@:\"']{0,256}:)[^\s/@\"']{1,1024}(?=@)"),
    _Row(
        "PRIVATE KEY-----",
        r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?!\*)(?:\\[rn]|[A-Za-z0-9+/=\s:,.-])*?"
        r"(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|(?=\\[^rn]|[^\\A-Za-z0-9+/=\s:,.-])|\Z)",
    ),
)


def _seeing(sight: str) -> SchemaValidator:
    # As a validator the engine answers whether the sight is anywhere in the text, without copying it.
    return SchemaValidator(core_schema.str_schema(pattern=sight))


_SUSPICION = _seeing("|".join(dict.fromkeys(row.sight for row in _TABLE)))
_ROWS = tuple((_seeing(row.sight), re.compile(row.pattern)) for row in _TABLE)
_KEPT = rf"\g<1>{MARK}"


def redact(text: str) -> str:
    """The text with every recognised credential replaced by `***`, its telling beginning kept.

    Keys by their prefix, `Authorization` and cookie headers, bearer tokens, members and assignments
    such as `"api_key": "..."`, passwords in URLs, private key blocks. JSON stays JSON.
    """
    is_readable = text.isascii() or _is_encodable(text)
    if is_readable and not _SUSPICION.isinstance_python(text):
        return text
    for seeing, pattern in _ROWS:
        # A text with lone surrogates is no text to the fast engine, which would see nothing in it.
        if not is_readable or seeing.isinstance_python(text):
            text = pattern.sub(_KEPT, text)
    return text


def holds_credential(text: str) -> bool:
    """True if the text is or contains a credential, where a reference to one belongs."""
    return redact(text) != text


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
