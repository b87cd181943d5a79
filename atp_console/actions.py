"""Every action of the console, once: footer, palette, help and key bindings are made from this table.

An action is carried out by the method `do_<id with underscores>` of the screen that has its scope, or
of the app, which switches to the screen `<tab>` for `screen.<tab>`. To add one, add a row and that method.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Where an action lives; the value is its heading in the help."""

    GLOBAL = "Everywhere"
    LIST = "Lists"
    TABLE = "Columns and marks"
    ROWS = "Taking out"
    LIVE = "Live"
    SESSIONS = "Sessions"
    METRICS = "Metrics"
    MODELS = "Models"
    CONFIG = "Config"
    LOGS = "Logs"
    KEYS = "Keys"
    PLAY = "Playground"
    REQUEST = "Request"
    SESSION = "Session"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done. `keys` are Textual key names, the first one is shown."""

    id: str
    scope: Scope
    keys: tuple[str, ...]
    title: str
    """What it does, for palette and help."""
    hint: str = ""
    """One word for the footer; empty keeps it out of there."""
    rank: int = 50
    """Order in the footer, lowest first; what does not fit is left out from the end."""
    is_mutating: bool = False
    """Changes something in the engine: not there in read-only mode."""
    is_priority: bool = False
    """Works while a text field has the focus, too."""

    @property
    def method(self) -> str:
        """Name of the method that does it."""
        return "do_" + self.id.replace(".", "_")


ACTIONS: tuple[Action, ...] = (
    Action("screen.live", Scope.GLOBAL, ("1",), "Live: every request as it runs"),
    Action("screen.sessions", Scope.GLOBAL, ("2",), "Sessions: conversations and agent runs"),
    Action("screen.metrics", Scope.GLOBAL, ("3",), "Metrics: traffic over time, in charts"),
    Action("screen.models", Scope.GLOBAL, ("4",), "Models: health, speed and price of every deployment"),
    Action("screen.config", Scope.GLOBAL, ("5",), "Config: edit the file, check it, apply it, roll it back"),
    Action("screen.logs", Scope.GLOBAL, ("7",), "Logs: what the engine said, and who did what"),
    Action("screen.play", Scope.GLOBAL, ("8",), "Playground: a prompt to several models side by side"),
    Action("screen.keys", Scope.GLOBAL, ("9",), "Keys & budgets: who may call, and how much of each window is used"),
    Action("screen.last", Scope.GLOBAL, ("minus",), "Back to the screen before"),
    Action("pane.next", Scope.GLOBAL, ("tab", "l"), "Next pane", "pane", 45),
    Action("pane.previous", Scope.GLOBAL, ("shift+tab", "h"), "Previous pane"),
    Action("zoom", Scope.GLOBAL, ("plus", "underscore"), "Zoom the pane, or all panes again", "zoom", 46),
    Action("jump", Scope.GLOBAL, ("ctrl+o",), "Jump: a letter for every pane", "jump", 47),
    Action("palette", Scope.GLOBAL, ("colon", "ctrl+p"), "Find and run any action", "cmd", 98),
    Action("help", Scope.GLOBAL, ("question_mark", "f1"), "Keys of this screen, searchable", "help", 99),
    Action("screenshot", Scope.GLOBAL, ("S",), "Save this screen as SVG and text"),
    Action("theme", Scope.GLOBAL, (), "Choose the colours"),
    Action("settings.read", Scope.GLOBAL, (), "Read the console's settings again: keys, colours, folder"),
    Action("dashboard", Scope.GLOBAL, (), "Copy a one-time address of the web dashboard", is_mutating=True),
    Action("undo", Scope.GLOBAL, ("u",), "Take the last act back", is_mutating=True),
    Action("back", Scope.GLOBAL, ("escape", "q"), "Back: close, clear or leave", "back", 44),
    Action("quit", Scope.GLOBAL, ("ctrl+q", "ctrl+c"), "Quit the console", is_priority=True),
    Action("list.open", Scope.LIST, ("enter",), "Open what is selected", "open", 10),
    Action("list.down", Scope.LIST, ("j", "down"), "Down"),
    Action("list.up", Scope.LIST, ("k", "up"), "Up"),
    Action("list.page_down", Scope.LIST, ("ctrl+d", "pagedown"), "Down half a page"),
    Action("list.page_up", Scope.LIST, ("ctrl+u", "pageup"), "Up half a page"),
    Action("list.first", Scope.LIST, ("g", "home"), "To the top; the newest request and follow"),
    Action("list.last", Scope.LIST, ("G", "end"), "To the bottom"),
    Action("copy", Scope.ROWS, ("y",), "Copy the row: id, curl, JSON, text, its page's address", "copy", 30),
    Action("export", Scope.ROWS, ("e",), "Write the list to a file: CSV, JSONL, HAR, SVG", "export", 31),
    Action("columns", Scope.TABLE, ("w",), "Choose the columns of this list", "columns", 48),
    Action("mark", Scope.TABLE, ("m",), "Mark the row, or unmark it", "mark", 47),
    Action("mark.only", Scope.TABLE, ("M",), "Only the marked rows, or all"),
    Action("mark.copy", Scope.TABLE, ("Y",), "Copy the marked rows' ids"),
    Action("mark.clear", Scope.TABLE, (), "Forget every mark of this list"),
    Action("freeze", Scope.LIVE, ("space",), "Freeze the list, or let it run", "freeze", 20),
    Action("follow", Scope.LIVE, ("f",), "Follow the newest request, or stay on this one", "follow", 21),
    Action("filter", Scope.LIVE, ("slash",), "Filter: model:claude* ttft>2s -state:ok", "filter", 22),
    Action("filter.toggle", Scope.LIVE, ("backslash",), "Switch the filter off, or on again"),
    Action("match.next", Scope.LIVE, ("n",), "The next match of the filter, also while it is off"),
    Action("match.previous", Scope.LIVE, ("N",), "The match before"),
    Action("view.save", Scope.LIVE, ("ctrl+s",), "Save filter, order and columns as a view"),
    Action("view.open", Scope.LIVE, ("V",), "Saved views: open or delete one"),
    Action("errors", Scope.LIVE, ("z",), "Only failed requests, or all", "errors", 25),
    Action("sort", Scope.LIVE, ("o",), "Sort by the next column", "sort", 28),
    Action("sort.reverse", Scope.LIVE, ("O",), "Turn the order round"),
    Action("cancel", Scope.LIVE, ("x",), "Cancel the selected request", "cancel", 23, is_mutating=True),
    Action(
        "replay",
        Scope.LIVE,
        ("r",),
        "Send it again, beside its recorded answer",
        "replay",
        29,
        is_mutating=True,
    ),
    Action("replay.as", Scope.LIVE, ("R",), "Send the request to another model", is_mutating=True),
    Action("whatif", Scope.LIVE, ("W",), "How the request would be routed now, sending nothing"),
    Action("test", Scope.LIVE, ("t",), "Send a test request through the simulated model", "test", 30, is_mutating=True),
    Action("session.filter", Scope.SESSIONS, ("slash",), "Find a session by any of its words", "find", 22),
    Action("session.live", Scope.SESSION, ("v",), "Its requests in Live", "live", 23),
    Action("session.pause", Scope.SESSION, ("p",), "Pause the session, or let it go on", "pause", 24, is_mutating=True),
    Action("session.pin", Scope.SESSION, ("P",), "Pin the session to a deployment", "pin", 25, is_mutating=True),
    Action("session.qos", Scope.SESSION, ("c",), "Give the session a service class", "class", 27, is_mutating=True),
    Action("session.budget", Scope.SESSION, ("b",), "Cap the session's dollars", "budget", 26, is_mutating=True),
    Action("session.drop", Scope.SESSION, ("D",), "Drop: cancel it and refuse the rest", "drop", 29, is_mutating=True),
    Action("session.end", Scope.SESSION, ("x",), "End: cancel it and forget it", "end", 28, is_mutating=True),
    Action("chart.next", Scope.METRICS, ("right",), "Next chart", "chart", 20),
    Action("chart.previous", Scope.METRICS, ("left",), "Chart before"),
    Action("window.longer", Scope.METRICS, ("right_square_bracket",), "A longer window", "longer", 22),
    Action("window.shorter", Scope.METRICS, ("left_square_bracket",), "A shorter window", "shorter", 23),
    Action(
        "metrics.group", Scope.METRICS, ("v",), "Group by model, provider, route, client, key, session", "group", 21
    ),
    Action("metrics.freeze", Scope.METRICS, ("space",), "Freeze the charts, or let them run", "freeze", 24),
    Action("model.probe", Scope.MODELS, ("t",), "Ask the vendor's free model list", "probe", 23, is_mutating=True),
    Action(
        "model.drain", Scope.MODELS, ("d",), "Drain: no new calls, those in flight go on", "drain", 24, is_mutating=True
    ),
    Action(
        "model.enable", Scope.MODELS, ("E",), "Disable the deployment, or enable it", "on/off", 25, is_mutating=True
    ),
    Action("model.close", Scope.MODELS, ("c",), "Close the circuit and end every rest", "close", 26, is_mutating=True),
    Action("model.open", Scope.MODELS, ("o",), "Open the circuit until it is closed", is_mutating=True),
    Action("model.play", Scope.MODELS, ("p",), "Try a prompt on it in the Playground", "play", 27),
    Action("model.live", Scope.MODELS, ("v",), "Requests of this deployment in Live", "requests", 22),
    Action("config.edit", Scope.CONFIG, ("i", "a"), "Edit the text", "edit", 20),
    Action("config.diff", Scope.CONFIG, ("b",), "What the draft changes", "diff", 21),
    Action("config.history", Scope.CONFIG, ("H", "d"), "Every version that was live", "history", 22),
    Action(
        "config.apply",
        Scope.CONFIG,
        ("ctrl+s",),
        "Check the draft and make it live",
        "apply",
        23,
        is_mutating=True,
        is_priority=True,
    ),
    Action("config.problem", Scope.CONFIG, ("f8",), "To the next problem", "problem", 24, is_priority=True),
    Action(
        "config.rollback", Scope.CONFIG, ("R",), "Roll back to the selected version", "roll back", 25, is_mutating=True
    ),
    Action("config.discard", Scope.CONFIG, (), "Throw the draft away (a copy goes to a file)"),
    Action("key.create", Scope.KEYS, ("c",), "Make a client key", "create", 20, is_mutating=True),
    Action("key.rotate", Scope.KEYS, ("r",), "Give the key a new secret", "rotate", 21, is_mutating=True),
    Action("key.revoke", Scope.KEYS, ("x",), "Revoke the key", "revoke", 22, is_mutating=True),
    Action("log.filter", Scope.LOGS, ("slash",), "Find lines by their words", "find", 22),
    Action("log.level", Scope.LOGS, ("v",), "Least severe level shown", "level", 23),
    Action("play.edit", Scope.PLAY, ("i",), "Write the prompt", "prompt", 20),
    Action("play.models", Scope.PLAY, ("m",), "Choose the models, up to three", "models", 21),
    Action(
        "play.send",
        Scope.PLAY,
        ("ctrl+s",),
        "Send the prompt to every chosen model",
        "send",
        22,
        is_mutating=True,
        is_priority=True,
    ),
    Action("play.compare", Scope.PLAY, ("b",), "Compare the answers with the first one", "compare", 23),
    Action("play.cancel", Scope.PLAY, ("x",), "Cancel what is running", "cancel", 25, is_mutating=True),
    Action("tab.overview", Scope.REQUEST, ("a",), "All: timeline, why and numbers", "all", 20),
    Action("tab.why", Scope.REQUEST, ("b",), "Why: every candidate and its reason", "why", 21),
    Action("tab.request", Scope.REQUEST, ("c",), "What the client sent", "request", 22),
    Action("tab.response", Scope.REQUEST, ("d",), "What it got", "response", 23),
    Action("tab.events", Scope.REQUEST, ("e",), "Raw events, as the client got them", "raw", 23),
    Action("tab.sent", Scope.REQUEST, ("f",), "What the client sent beside what went up", "sent", 23),
    Action("request.older", Scope.REQUEST, ("left_square_bracket",), "The session's request before", "prev", 24),
    Action("request.newer", Scope.REQUEST, ("right_square_bracket",), "The session's next request", "next", 25),
    Action("body.form", Scope.REQUEST, ("v",), "Bodies as text, or as they were sent", "form", 26),
    Action("request.copy", Scope.REQUEST, ("y",), "Copy it: id, curl, JSON, text, its page's address", "copy", 27),
    Action(
        "request.replay",
        Scope.REQUEST,
        ("r",),
        "Send it again, beside its recorded answer",
        "replay",
        28,
        is_mutating=True,
    ),
    Action("request.replay_as", Scope.REQUEST, ("R",), "Send it to another model", is_mutating=True),
    Action("request.whatif", Scope.REQUEST, ("W",), "How it would be routed now, sending nothing", "what-if", 29),
    Action("request.export", Scope.REQUEST, ("E",), "Write it to a file: CSV, JSONL, HAR, JSON, SVG", "export", 28),
    Action("request.cancel", Scope.REQUEST, ("x",), "Cancel this request", "cancel", 29, is_mutating=True),
)
BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def actions_of(scopes: Iterable[Scope]) -> list[Action]:
    """The actions of some scopes, in the table's order."""
    wanted = frozenset(scopes)
    return [action for action in ACTIONS if action.scope in wanted]
