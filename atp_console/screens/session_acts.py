"""What can be done to a session, from the list of sessions and from its own screen.

Each act is a question with No as its default, or a choice; what can be taken back leaves its opposite in
`desk.undo`.
"""

from __future__ import annotations

from atp_console.desk import Undo
from atp_console.screens.base import ConsoleScreen, Go
from atp_console.screens.dialogs import Choice, Item, Picker, Question
from atp_console.screens.form import Field, Form
from atp_console.widgets.columns import name
from atp_engine.core.session_views import SessionAsk
from atp_engine.core.types import QoS
from atp_engine.core.views import SessionView

_OWN = "-"


class SessionActing(ConsoleScreen):
    """Mixed into both screens; `chosen_session` says which one is meant."""

    def chosen_session(self) -> SessionView | None:
        """The session that an act is about."""
        return None

    def do_session_live(self) -> None:
        """Its requests in Live."""
        view = self.chosen_session()
        if view is not None:
            self.post_message(Go("live", query=f'session="{name(view.id)}"'))

    def do_session_pause(self) -> None:
        """Pauses after a question; resumes at once."""
        view = self.chosen_session()
        if view is None:
            return
        if view.hold:
            opposite = "pause" if view.hold == "paused" else "drop"
            self._act_session(view, "resume", undo=opposite)
            return
        self._ask_session(
            view,
            "pause",
            "Pause it?",
            f"New requests get 503 until {self.key('session.pause')} lets it go on.",
            undo="resume",
        )

    def do_session_end(self) -> None:
        """Cancels what is in flight and forgets it."""
        view = self.chosen_session()
        if view is not None:
            self._ask_session(
                view, "end", "End it?", "What is in flight is cancelled; its next request begins a new session."
            )

    def do_session_drop(self) -> None:
        """Cancels what is in flight and refuses the rest."""
        view = self.chosen_session()
        if view is not None:
            until = f"until {self.key('session.pause')} lets it go on."
            meaning = f"What is in flight is cancelled, and everything new of it gets 403 {until}"
            self._ask_session(view, "drop", "Drop it?", meaning, undo="resume")

    def do_session_pin(self) -> None:
        """One deployment for all of it."""
        view = self.chosen_session()
        if view is None:
            return
        items = [Item(_OWN, "none: routes decide")]
        items += [Item(key, name(key), group=name(one.provider)) for key, one in self.desk.state.deployments.items()]

        def chosen(picked: str | None) -> None:
            if picked:
                wish = SessionAsk(deployment="" if picked == _OWN else picked)
                self._act_session(view, "pin", wish, undo="pin", back=SessionAsk(deployment=view.pinned))

        title = f"Pin {name(view.id)} to"
        self.app.push_screen(Picker(self.desk.look, title, items, is_searchable=True), chosen)

    def do_session_qos(self) -> None:
        """Its service class."""
        view = self.chosen_session()
        if view is None:
            return
        items = [Item(one.value, one.value, one.value[0]) for one in QoS]
        items.append(Item(_OWN, "its key's own", "k"))

        def chosen(picked: str | None) -> None:
            if picked:
                wish = SessionAsk(qos="" if picked == _OWN else picked)
                self._act_session(view, "qos", wish, undo="qos", back=SessionAsk(qos=view.qos))

        title = f"Class of {name(view.id)}"
        self.app.push_screen(Picker(self.desk.look, title, items, is_searchable=False), chosen)

    def do_session_budget(self) -> None:
        """Its dollars."""
        view = self.chosen_session()
        if view is None:
            return
        fields = [Field("usd", "dollars this month (empty: no cap)", "5.00", _usd(view.budget_usd))]

        def filled(values: dict[str, str] | None) -> None:
            if not values:
                return
            text = values["usd"].lstrip("$")
            try:
                usd = float(text) if text else None
            except ValueError:
                self.tell(f"Not done: {name(text)} is no number of dollars.", severity="error")
                return
            if usd is not None and not 0 <= usd <= 10_000_000:
                self.tell("Not done: a budget is 0 to 10000000 dollars.", severity="error")
                return
            self._act_session(
                view, "budget", SessionAsk(max_usd=usd), undo="budget", back=SessionAsk(max_usd=view.budget_usd)
            )

        self.app.push_screen(Form(self.desk.look, f"Budget of {name(view.id)}", fields), filled)

    def _ask_session(self, view: SessionView, act: str, title: str, meaning: str, *, undo: str = "") -> None:
        def answered(picked: str | None) -> None:
            if picked:
                self._act_session(view, act, undo=undo)

        text = [f"session {name(view.id)}, {name(view.client)}: {view.in_flight} in flight", meaning]
        choices = [Choice("n", "No", ""), Choice("y", f"Yes, {act} it", view.id)]
        self.app.push_screen(Question(self.desk.look, title, text, choices), answered)

    def _act_session(
        self,
        view: SessionView,
        act: str,
        wish: SessionAsk | None = None,
        *,
        undo: str = "",
        back: SessionAsk | None = None,
    ) -> None:
        self.ask(self._acted(view, act, wish, undo, back))

    async def _acted(
        self, view: SessionView, act: str, wish: SessionAsk | None, undo: str, back: SessionAsk | None
    ) -> None:
        desk = self.desk
        after = await desk.source.talks.act(view.id, act, wish)
        if act == "end":
            desk.state.sessions.pop(view.id, None)
            desk.undo = None
        else:
            desk.state.sessions[after.id] = after
        if undo:

            async def take_back() -> None:
                again = await desk.source.talks.act(view.id, undo, back)
                desk.state.sessions[again.id] = again

            desk.undo = Undo(f"{act} of session {name(view.id)}", take_back)
        self.tell(f"{name(view.id)}: {act} done." + (f" {self.key('undo')} takes it back." if undo else ""))
        self.paint_all()


def _usd(usd: float | None) -> str:
    return "" if usd is None else f"{usd:g}"
