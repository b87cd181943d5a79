"""Windows in words and as views: which is full, how much is left, when it is free again."""

from __future__ import annotations

from datetime import datetime
from math import isfinite

from atp_engine.core.errors import WindowExceeded
from atp_engine.core.text import safe_text
from atp_engine.core.window_views import WindowView
from atp_engine.limits.window import NO_LIMIT, Lack, Rule, Scope, Window


def exceeded(lack: Lack, subject: str, now: float, mono: float) -> WindowExceeded:
    """The refusal for work that does not fit, with the seconds after which it may."""
    window, rule = lack.window, lack.window.rule
    wait_s = window.frees_in_s(lack.limit, lack.tokens, lack.nusd, now, mono)
    head = title(rule, subject)
    if lack.limit == "max_parallel":
        text = f"{head} is full: {window.in_flight} of {rule.max_parallel} are in flight"
    elif lack.limit == "requests_per_minute":
        text = f"{head} is used up: {rule.per_minute} requests per minute"
    else:
        is_money = lack.limit == "max_usd"
        most, asked = (rule.max_nusd, lack.nusd) if is_money else (rule.max_tokens, lack.tokens)
        used, reserved = window.needs()[is_money], window.reserved_nusd if is_money else window.reserved_tokens
        show = dollars if is_money else tokens
        text = (
            f"{head} has {show(max(0, most - used))} of its {show(most)} left, {show(reserved)} are reserved by "
            f"requests in flight, and this request may need {show(asked)}"
        )
        if asked > most:
            text += "; ask for a shorter answer (max_tokens)"
        elif isfinite(window.ends_at) and wait_s > 1.0:
            text += f"; it is free again at {_moment(window.ends_at, rule)}"
    is_budget = lack.limit in ("max_usd", "max_tokens")
    return WindowExceeded(text, retry_after_s=wait_s, is_budget=is_budget)


def reached(window: Window, subject: str, percent: int) -> str:
    """The sentence of a threshold."""
    rule = window.rule
    spent = [f"{tokens(window.tokens)} of {tokens(rule.max_tokens)}"] if rule.max_tokens != NO_LIMIT else []
    spent += [f"{dollars(window.nusd)} of {dollars(rule.max_nusd)}"] if rule.max_nusd != NO_LIMIT else []
    return f"{title(rule, subject)} has reached {percent} %: {', '.join(spent)}"


def title(rule: Rule, subject: str) -> str:
    """`window "team-a" of key alice (day)`."""
    whose = "" if rule.scope is Scope.EVERYTHING else f" of {rule.scope} {safe_text(subject, limit=128)}"
    return f'window "{rule.name}"{whose} ({rule.period.replace("_", " ")})'


def view(window: Window, subject: str) -> WindowView:
    """A window as the faces see it."""
    rule = window.rule
    share = window.share()
    return WindowView(
        name=rule.name,
        scope=rule.scope.value,
        subject=subject,
        period=rule.period.value,
        time_zone=str(rule.zone),
        starts_at=window.starts_at if isfinite(window.starts_at) else None,
        frees_at=window.ends_at if isfinite(window.ends_at) else None,
        in_flight=window.in_flight,
        max_parallel=_limit(rule.max_parallel),
        used_tokens=window.tokens,
        reserved_tokens=window.reserved_tokens,
        in_doubt_tokens=window.doubt_tokens,
        max_tokens=_limit(rule.max_tokens),
        used_nusd=window.nusd,
        reserved_nusd=window.reserved_nusd,
        in_doubt_nusd=window.doubt_nusd,
        max_nusd=_limit(rule.max_nusd),
        requests_per_minute=rule.per_minute or None,
        on_exceed=rule.on_exceed.value,
        share=round(share, 4) if share >= 0.0 else None,
    )


def dollars(nusd: int) -> str:
    """`$25`, `$0.0342`."""
    return f"${nusd / 1e9:,.6f}".rstrip("0").rstrip(".")


def tokens(count: int) -> str:
    """`12,000 tokens`."""
    return f"{count:,} tokens"


def _limit(value: int) -> int | None:
    return None if value == NO_LIMIT else value


def _moment(at: float, rule: Rule) -> str:
    return f"{datetime.fromtimestamp(at, rule.zone):%Y-%m-%d %H:%M} {rule.zone}"
