"""What a row of any list is about: its identity, and the page of the dashboard that shows the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from atp_engine.core.config_views import ConfigVersion
from atp_engine.core.key_views import KeySummary
from atp_engine.core.log_views import AuditView, LogLine
from atp_engine.core.metrics_views import TrafficGroup
from atp_engine.core.text import safe_text
from atp_engine.core.views import DeploymentView, RequestView, SessionView
from atp_engine.core.window_views import WindowView


@dataclass(frozen=True, slots=True)
class Subject:
    """`path` is below the engine's address, empty where no page shows it."""

    noun: str
    id: str
    path: str = ""


def subject_of(row: object, group: str = "") -> Subject | None:
    """What a row is about; `group` is the filter field of a traffic group's name. None for anything else."""
    match row:
        case RequestView():
            return request_subject(row.id)
        case SessionView():
            return Subject("session", row.id, list_path(f'session="{_word(row.id)}"'))
        case DeploymentView():
            return Subject("deployment", row.key, list_path(f'model="{_word(row.key)}"'))
        case TrafficGroup():
            return Subject(group or "group", row.name, list_path(f'{group}="{_word(row.name)}"') if group else "")
        case KeySummary():
            return Subject("key", row.id, list_path(f'key="{_word(row.name)}"'))
        case LogLine():
            return Subject("record", str(row.number), _request_path(row.request_id))
        case AuditView():
            return Subject("act", str(row.number), _request_path(row.target if row.action[:8] == "request." else ""))
        case WindowView():
            return Subject("window", f"{row.name} {row.scope} {row.subject}")
        case ConfigVersion():
            return Subject("version", str(row.number))
    return None


def request_subject(id: str) -> Subject:
    """A request by its id."""
    return Subject("request", id, _request_path(id))


def list_path(query: str) -> str:
    """The live list of the dashboard, narrowed by a filter."""
    return "/ui/?" + urlencode({"q": query}) if query else "/ui/"


def _request_path(id: str) -> str:
    return f"/ui/requests/{quote(id, safe='')}" if id else ""


def _word(text: str) -> str:
    return safe_text(text, limit=128).replace('"', "")
