"""What can be done with one request from any screen that has one selected: copy it, cancel it, send it again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from atp_console import bodies
from atp_console.screens.base import ConsoleScreen, Go, Replay
from atp_console.screens.dialogs import Choice, Item, Picker, Question
from atp_console.widgets.columns import name, served_name
from atp_engine.core.text import safe_text
from atp_engine.core.views import RequestView


class RequestActs(ConsoleScreen):
    """Mixed into Live and Request."""

    def selected_request(self) -> RequestView | None:
        """The request that is acted on."""
        return None

    def stamp(self) -> str:
        """Now as part of a file name, UTC."""
        return datetime.fromtimestamp(self.desk.now(), UTC).strftime("%Y%m%d-%H%M%S")

    def cancel_request(self) -> None:
        """Asks, naming the request, and ends it."""
        view = self.selected_request()
        if view is None:
            self.tell("No request is selected.")
            return
        if view.state.is_final:
            self.tell(f"{name(view.id)} is over already.")
            return
        look = self.desk.look
        served = served_name(view, look)
        session = name(view.session_id) or look.glyphs.none
        text = [
            f"{name(view.id)}",
            f"{name(view.asked)} {look.glyphs.arrow} {served}, {name(view.client)}, session {session}",
            "Its client gets an error; tokens made so far are paid.",
        ]
        choices = [Choice("n", "No, let it run", ""), Choice("y", "Yes, cancel it", view.id)]

        def answered(picked: str | None) -> None:
            if picked:
                self.ask(self._cancel(picked))

        self.app.push_screen(Question(look, "Cancel this request?", text, choices), answered)

    async def _cancel(self, id: str) -> None:
        is_cancelled = await self.desk.source.cancel(id)
        self.tell(f"Cancelled {name(id)}." if is_cancelled else f"{name(id)} was over already.")

    # --- again

    def replay_request(self, model: str = "") -> None:
        """Sends the selected request again and shows both answers."""
        view = self.selected_request()
        if view is None:
            self.tell("No request is selected.")
        elif not view.has_body:
            self.tell("It cannot be sent again: its body was not kept.", severity="warning")
        else:
            self.ask(self._replay(view.id, model or view.asked))

    async def _replay(self, id: str, model: str) -> None:
        detail = await self.desk.source.request(id)
        started = await self.desk.source.replay(id, model)
        if started.is_redacted:
            self.tell("Credentials had been taken out of the recorded body.", severity="warning")
        text = await asyncio.to_thread(bodies.plain, detail.response_body or "")
        self.post_message(Go("play", replay=Replay(id, text, started.request_id, model)))

    def replay_request_as(self) -> None:
        """Asks for the model first."""
        deployments = self.desk.state.deployments
        routes = sorted({route for view in deployments.values() for route in view.routes})
        items = [
            *(Item(one, name(one), group="route") for one in routes),
            *(Item(one, name(one), group="deployment") for one in sorted(deployments) if one not in routes),
        ]

        def chosen(picked: str | None) -> None:
            if picked:
                self.replay_request(picked)

        self.app.push_screen(Picker(self.desk.look, "Send it to", items, is_searchable=True), chosen)

    def ask_whatif(self) -> None:
        """Shows how the selected request would be routed now."""
        view = self.selected_request()
        if view is None:
            self.tell("No request is selected.")
        elif not view.has_body:
            self.tell("It cannot be decided again: its body was not kept.", severity="warning")
        else:
            self.ask(self._whatif(view))

    async def _whatif(self, view: RequestView) -> None:
        decision = await self.desk.source.decide(view.id)
        glyphs = self.desk.look.glyphs
        lines = [f"served then by {served_name(view, self.desk.look)}; now, nothing sent:"]
        for one in decision.candidates:
            mark = f"{glyphs.star} {one.rank}" if one.rank == 1 else str(one.rank) if one.rank else glyphs.bad
            score = f" {one.score:.2f}" if one.score is not None else ""
            lines.append(f"{mark} {name(one.deployment)}{score} {glyphs.dot} {safe_text(one.reason, limit=200)}")
        lines.append(safe_text(decision.explanation, limit=300))
        self.app.push_screen(Question(self.desk.look, "What if it came now?", lines, [Choice("o", "OK", "")]))
