"""Every full screen of the console, by the tab it stands under, and the two that open over a list."""

from __future__ import annotations

from types import MappingProxyType

from atp_console.actions import Scope
from atp_console.screens.base import ConsoleScreen
from atp_console.screens.config import ConfigScreen
from atp_console.screens.keys import KeysScreen
from atp_console.screens.live import LiveScreen
from atp_console.screens.logs import LogsScreen
from atp_console.screens.metrics import MetricsScreen
from atp_console.screens.models import ModelsScreen
from atp_console.screens.play import PlayScreen
from atp_console.screens.request import RequestScreen
from atp_console.screens.session import SessionScreen
from atp_console.screens.sessions import SessionsScreen

BY_TAB: MappingProxyType[str, type[ConsoleScreen]] = MappingProxyType(
    {
        "live": LiveScreen,
        "sessions": SessionsScreen,
        "metrics": MetricsScreen,
        "models": ModelsScreen,
        "config": ConfigScreen,
        "logs": LogsScreen,
        "play": PlayScreen,
        "keys": KeysScreen,
    }
)
ALL: tuple[type[ConsoleScreen], ...] = (*BY_TAB.values(), RequestScreen, SessionScreen)
SCOPES: tuple[tuple[Scope, ...], ...] = tuple(screen.SCOPES for screen in ALL)
"""What can be pressed together: one entry per screen, without what works everywhere."""
