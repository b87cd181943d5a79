"""Holds a scenario against what the caller saw and what the upstream logged: a list of complaints.

`runner` calls it once per case; an empty list is a pass. The rules that hold for every scenario come
first: no hang, a well-formed end, no success that the upstream did not send, no text that it did not
send, a request id, nothing of the inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from atp_console.wall.scenario import Case, Must
from atp_console.wall.seen import Seen
from atp_console.wall.turn import Call
from atp_console.wall.voices import PROMPT_TOKENS

SLACK_S = 1.0
"""What a gateway may be late, at any pace."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything there is to judge a case by."""

    case: Case
    seen: tuple[Seen, ...]
    started_at: tuple[float, ...]
    """Monotonic start of each call."""
    calls: tuple[Call, ...]
    pace: float
    secrets: tuple[bytes, ...]
    """What must not be found in any answer."""
    is_own: bool
    """The gateway is this product: its codes and headers are judged too."""
    slack_s: float = SLACK_S

    def by(self, role: str) -> list[Call]:
        """The upstream calls of a role."""
        return [call for call in self.calls if call.role == role]


def judge(evidence: Evidence) -> list[str]:
    """The complaints, the worst first, none twice."""
    found: list[str] = []
    for seen in evidence.seen:
        found += _truth(evidence, seen)
        found += _form(evidence, seen)
        found += _promises(evidence, seen)
    found += _log(evidence)
    found += _series(evidence)
    return list(dict.fromkeys(found))


def speaker_of(evidence: Evidence, seen: Seen) -> Call | None:
    """The upstream call whose text the caller got."""
    if not seen.text:
        return None
    fitting = [call for call in evidence.calls if call.text.startswith(seen.text)]
    return max(fitting, key=lambda call: call.has_stopped, default=None)


def _truth(evidence: Evidence, seen: Seen) -> list[str]:
    found = []
    call = speaker_of(evidence, seen)
    if seen.text and call is None:
        found.append(f"LIE: text that no upstream sent ({seen.text[:40]!r})")
    claims_success = bool(seen.finish) or (seen.has_terminal and seen.error is None)
    if claims_success and (call is None or not call.has_stopped or seen.text != call.text):
        marker = f"finish reason {seen.finish!r}" if seen.finish else "a terminal event"
        found.append(f"LIE: {marker} for an answer that the upstream did not finish")
    if seen.end == "hung":
        found.append(f"HANG: no end within {seen.end_s:.1f} s")
    return found


def _form(evidence: Evidence, seen: Seen) -> list[str]:
    """What holds for every answer whatever the scenario."""
    found = [f"malformed: {flaw}" for flaw in seen.flaws if seen.end != "left"]
    if seen.status and not any("request-id" in name or "call-id" in name for name in seen.headers):
        found.append("no request id in the headers")
    found += [f"leak: {secret.decode()!r} reached the caller" for secret in evidence.secrets if secret in seen.kept]
    if seen.status in (401, 403):
        found.append(f"the caller got {seen.status} for a fault of the upstream")
    if evidence.is_own and seen.status and evidence.calls and "x-atp-deployment" not in seen.headers:
        found.append("no x-atp-deployment in the headers")
    return found


def _promises(evidence: Evidence, seen: Seen) -> list[str]:
    """What the row asks of one call."""
    must, pace = evidence.case.scenario.must, evidence.pace
    found = []
    if seen.outcome not in must.see:
        told = f" ({seen.status} {seen.error.code or seen.error.type}: {seen.error.message[:60]})" if seen.error else ""
        found.append(f"saw {seen.outcome}{told}, expected {' or '.join(must.see)}")
    limit_s = must.within_s * pace + evidence.slack_s
    if must.within_s and seen.end_s > limit_s:
        found.append(f"took {seen.end_s:.1f} s, at most {limit_s:.1f} s")
    limit_s = must.first_within_s * pace + evidence.slack_s
    if must.first_within_s and seen.first_s is not None and seen.first_s > limit_s:
        found.append(f"first content after {seen.first_s:.1f} s, at most {limit_s:.1f} s")
    if must.tokens is not None and seen.is_stream and len(seen.text.split()) != must.tokens:
        found.append(f"{len(seen.text.split())} tokens reached the caller, {must.tokens} were sent")
    return found + _told(evidence, seen, must) + _spoken(evidence, seen, must)


def _told(evidence: Evidence, seen: Seen, must: Must) -> list[str]:
    """How an error is told."""
    error = seen.error
    if error is None:
        return []
    found = []
    if must.statuses and not error.is_in_stream and seen.status not in must.statuses:
        found.append(f"status {seen.status}, expected {' or '.join(map(str, must.statuses))}")
    if must.says and must.says not in error.message:
        found.append(f"the error does not say {must.says!r}: {error.message[:80]!r}")
    if evidence.is_own and must.codes and seen.dialect == "chat" and error.code not in must.codes:
        found.append(f"code {error.code!r}, expected {' or '.join(must.codes)}")
    if evidence.is_own and seen.dialect == "chat" and not error.code:
        found.append("an error without a code")
    return found


def _spoken(evidence: Evidence, seen: Seen, must: Must) -> list[str]:
    """Whose answer was seen."""
    call = speaker_of(evidence, seen)
    if call is None:
        return []
    found = []
    if call.role not in must.by:
        found.append(f"the {call.role} answered, expected the {' or '.join(must.by) or 'nobody'}")
    if must.has_model and seen.model != call.model:
        found.append(f"model {seen.model!r}, but {call.model!r} answered")
    expected = (PROMPT_TOKENS[call.role], len(call.text.split()))
    if must.has_usage and seen.usage != expected:
        found.append(f"usage {seen.usage}, the upstream reported {expected}")
    if (
        evidence.is_own
        and seen.outcome == "answer"
        and not seen.headers.get("x-atp-deployment", "").endswith(call.role)
    ):
        found.append(f"x-atp-deployment is {seen.headers.get('x-atp-deployment')!r}, but the {call.role} answered")
    return found


def _log(evidence: Evidence) -> list[str]:
    """What the upstream's log must show."""
    must = evidence.case.scenario.must
    found = []
    for role, (least, most) in (("primary", must.primary), ("same", must.same), ("fallback", must.fallback)):
        count = len(evidence.by(role))
        if not least <= count <= most:
            bounds = str(least) if least == most else f"{least} to {most}"
            found.append(f"{count} calls of the {role}, expected {bounds}")
    strangers = {f"{call.case}/{call.role}" for call in evidence.calls} - {
        f"{evidence.case.id}/{role}" for role, _ in evidence.case.scenario.scenes()
    }
    found += [f"a call of {one}, which nobody configured" for one in sorted(strangers)]
    primary = evidence.by("primary")
    gaps = [later.arrived_at - earlier.arrived_at for earlier, later in pairwise(primary)]
    if must.wait_s and gaps and min(gaps) < must.wait_s - 0.02:
        found.append(f"called again after {min(gaps):.2f} s, the upstream asked for {must.wait_s:g} s")
    if must.most_sent_bytes:
        sent = max((call.sent_bytes for call in primary), default=0)
        if sent > must.most_sent_bytes:
            found.append(f"took {sent >> 20} MiB of one answer, at most {must.most_sent_bytes >> 20} MiB")
    if must.refuses_prefill and any(call.last_role == "assistant" for call in evidence.calls):
        found.append("a model that refuses prefill got an assistant's message as the last one")
    return found + _left_open(evidence, must)


def _left_open(evidence: Evidence, must: Must) -> list[str]:
    """Upstream connections must not outlive their caller."""
    ended_at = max(start + seen.end_s for start, seen in zip(evidence.started_at, evidence.seen, strict=True))
    found = []
    for call in evidence.calls:
        if call.is_open:
            found.append(f"the {call.role}'s connection was never closed")
        elif call.left_at is not None and call.left_at - ended_at > must.closes_within_s:
            found.append(
                f"the {call.role}'s connection was closed {call.left_at - ended_at:.2f} s after the caller's end"
            )
    return found


def _series(evidence: Evidence) -> list[str]:
    """What an outage asks: single probes, and a prompt return."""
    series = evidence.case.scenario.series
    down_s = evidence.case.scenario.primary.down_s * evidence.pace
    primary = evidence.by("primary")
    found: list[str] = []
    if not primary:
        return found
    healthy_at = primary[0].arrived_at + down_s
    if series.is_probed_singly:
        first_ended = primary[0].arrived_at + series.every_s * evidence.pace * 1.5
        probes = [call for call in primary if first_ended < call.arrived_at < healthy_at]
        most = max((_at_once(probes, call.arrived_at) for call in probes), default=0)
        if most > 1:
            found.append(f"{most} calls at once while the primary was down, expected one probe at a time")
    if series.back_within_s:
        served = [call.arrived_at for call in primary if call.arrived_at >= healthy_at and call.has_stopped]
        limit_s = series.back_within_s * evidence.pace + evidence.slack_s
        if not served or served[0] - healthy_at > limit_s:
            when = f"after {served[0] - healthy_at:.1f} s" if served else "not at all"
            found.append(f"the primary served again {when}, at most {limit_s:.1f} s")
    return found


def _at_once(calls: list[Call], at: float) -> int:
    """Calls in progress at an instant."""
    return sum(1 for call in calls if call.arrived_at <= at < (call.ended_at or call.left_at or float("inf")))
