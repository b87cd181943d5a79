"""Models: every deployment with health, circuit, speed and price, and what is known of the selected one."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from atp_console import format as fmt
from atp_console.actions import Scope
from atp_console.desk import Desk, Undo
from atp_console.look import Look
from atp_console.paint import Line, cells, wrapped
from atp_console.screens.base import Due, Go
from atp_console.screens.dialogs import Choice, Question
from atp_console.screens.lists import ListActs
from atp_console.widgets.columns import DEPLOYMENTS, name, request_catalog
from atp_console.widgets.pane import Pane
from atp_console.widgets.table import Table
from atp_engine.core.text import safe_text
from atp_engine.core.views import DeploymentView, RequestView

_LATEST = 100
_OPPOSITES = {"drain": "close", "disable": "enable", "enable": "disable", "open": "close"}
_ERROR_CAP = 300
_TITLES = ("TIME", "SESSION", "ASKED → SERVED", "STATE", "TTFT", "TOTAL", "COST")


class ModelsScreen(ListActs):
    """Screen 4."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.TABLE, Scope.MODELS)
    TAB = "models"
    NAME = "Models"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        look = desk.look
        self._fitted = 0
        self.deployments = Table[DeploymentView](look, DEPLOYMENTS.usual, lambda view: view.key, id="deployments")
        self.set_up_list(self.deployments, DEPLOYMENTS)
        self.deployments.heading_of = self._heading
        self.deployments.empty_of = lambda: [[], [("No deployment is configured.", "muted")]]
        self.deployment = DeploymentPane(look, id="deployment")
        catalog = request_catalog(desk.now, "deployment-requests", "Latest requests", _TITLES)
        self.requests = Table[RequestView](look, catalog.usual, lambda view: view.id, id="deployment-requests")
        self.set_up_list(self.requests, catalog)
        self.requests.heading_of = lambda: ([("Latest requests", "title")], [])
        self.requests.empty_of = lambda: [[("None of the requests held here was served by it.", "muted")]]

    def compose_body(self) -> ComposeResult:
        """The list; below it the selected deployment and its latest requests."""
        yield self.deployments
        with Container(id="models-lower"):
            yield self.deployment
            yield self.requests

    def home_pane(self) -> Pane:
        """The list."""
        return self.deployments

    def paint_body(self, due: frozenset[Due]) -> None:
        """Twice a second."""
        if Due.SIDE not in due:
            return
        table = self.deployments
        if table.marked:
            table.marked.keep(self.desk.state.deployments)
        self.requests.grow_old()
        table.set_rows(list(self.desk.state.deployments.values()))
        self._fit(len(self.desk.state.deployments))
        self._paint_selected()

    def _fit(self, rows: int) -> None:
        """The list is as high as its rows, up to half of the screen; the rest goes to the selected one."""
        height = min(max(rows, 3) + 3, self.size.height // 2)
        if self._fitted != height and not self.has_class("-zoom"):
            self._fitted = height
            self.deployments.styles.height = height

    def _paint_selected(self) -> None:
        selected = self.deployments.selected
        self.deployment.view = selected
        self.deployment.repaint()
        self.requests.set_rows(self.desk.state.served_by(selected.key, _LATEST) if selected else [])

    def _heading(self) -> tuple[Line, Line]:
        views = self.desk.state.deployments.values()
        unpriced = sum(1 for one in views if one.input_usd is None or one.output_usd is None)
        right: Line = (
            [(f"{unpriced} without a price", "warn")] if unpriced else [("prices: $ per million tokens", "muted")]
        )
        return [("Deployments", "title"), (f" {len(views)}", "text")], right

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another deployment."""
        event.stop()
        if self.is_mounted:
            self._paint_selected()

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click opens as enter does."""
        event.stop()
        self.do_list_open()

    def do_list_open(self) -> None:
        """The deployment's requests in Live, or one of them."""
        request = self.requests.selected
        if self.focused is self.requests and request is not None:
            self.post_message(Go("request", id=request.id))
        else:
            self.do_model_live()

    def do_model_live(self) -> None:
        """Its requests in Live."""
        selected = self.deployments.selected
        if selected is not None:
            self.post_message(Go("live", query=f'model="{name(selected.key)}"'))

    # --- switches

    def do_model_probe(self) -> None:
        """The vendor's free model list."""
        selected = self.deployments.selected
        if selected is not None:
            self.tell(f"Asking about {name(selected.key)} ...")
            self.ask(self._probe(selected.key))

    async def _probe(self, key: str) -> None:
        reply = await self.desk.source.probe(key)
        severity = "information" if reply.is_ok or not reply.has_list else "error"
        self.tell(safe_text(reply.message, limit=200), severity=severity)

    def do_model_drain(self) -> None:
        """No new calls, after a question."""
        self._ask_switch(
            "drain",
            "Drain it?",
            f"It gets no new calls; those in flight go on. {self.key('model.close')} takes it back.",
        )

    def do_model_enable(self) -> None:
        """Disables after a question, enables at once."""
        selected = self.deployments.selected
        if selected is not None and not selected.is_enabled:
            self.ask(self._switch(selected.key, "enable"))
        else:
            self._ask_switch(
                "disable", "Disable it?", f"Routes leave it out until {self.key('model.enable')} enables it again."
            )

    def do_model_close(self) -> None:
        """The circuit closed, every rest over."""
        selected = self.deployments.selected
        if selected is not None:
            self.ask(self._switch(selected.key, "close"))

    def do_model_open(self) -> None:
        """The circuit open, after a question."""
        self._ask_switch(
            "open", "Open its circuit?", f"It gets no calls until {self.key('model.close')} closes the circuit."
        )

    def do_model_play(self) -> None:
        """A prompt for it."""
        selected = self.deployments.selected
        if selected is not None:
            self.post_message(Go("play", id=selected.key))

    def _ask_switch(self, act: str, title: str, meaning: str) -> None:
        selected = self.deployments.selected
        if selected is None:
            return

        def answered(picked: str | None) -> None:
            if picked:
                self.ask(self._switch(picked, act))

        text = [f"{name(selected.key)}, {name(selected.model)}: {selected.in_flight} in flight", meaning]
        choices = [Choice("n", "No", ""), Choice("y", f"Yes, {act}", selected.key)]
        self.app.push_screen(Question(self.desk.look, title, text, choices), answered)

    async def _switch(self, key: str, act: str) -> None:
        desk = self.desk
        view = await desk.source.act(key, act)
        desk.state.deployments[view.key] = view
        opposite = _OPPOSITES.get(act)
        if opposite:

            async def take_back() -> None:
                again = await desk.source.act(key, opposite)
                desk.state.deployments[again.key] = again

            desk.undo = Undo(f"{act} of {name(key)}", take_back)
        self.paint_all()

    def back(self) -> bool:
        """Shows all beside the marked, ends zoom, returns to the list."""
        if self.leave_marked():
            return True
        if self.end_zoom():
            return True
        if self.focused is not self.deployments:
            self.deployments.focus()
            return True
        return False


class DeploymentPane(Pane):
    """What is known of one deployment beyond its row."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.view: DeploymentView | None = None

    def heading(self) -> tuple[Line, Line]:
        """Its key."""
        return [("Deployment", "title"), (f" {name(self.view.key)}" if self.view else "", "text")], []

    def lines(self, width: int, height: int) -> list[Line]:
        """Label and value per line."""
        view = self.view
        if view is None:
            return []
        glyphs = self.look.glyphs
        dot = f" {glyphs.dot} "
        circuit, circuit_role = fmt.circuit_mark(view, glyphs)
        health, health_role = fmt.health_mark(view, glyphs)
        context = f"{fmt.count(view.context_tokens)} tokens" if view.context_tokens else "context not known"
        if view.estimate_error is not None:
            context += f"{dot}token estimates off by {fmt.share(view.estimate_error, glyphs)}"
        place = "on this machine" if view.is_local else "remote"
        failed = f"{dot}{fmt.share(view.error_rate, glyphs)} failed" if view.error_rate is not None else ""
        facts: list[tuple[str, Line]] = [
            ("health", [(health, health_role), (dot, "muted"), (circuit, circuit_role)]),
            ("model", [(name(view.model), "text"), (f"{dot}{name(view.provider)}{dot}{place}", "muted")]),
            ("routes", [(", ".join(name(route) for route in view.routes) or glyphs.none, "text")]),
            ("context", [(context, "text")]),
            ("price", self._price(view)),
            (
                "speed",
                [
                    (f"p50 {fmt.duration(view.p50_ms, glyphs)}  p95 {fmt.duration(view.p95_ms, glyphs)}  ", "text"),
                    *self._pace(view),
                ],
            ),
            (
                "load",
                [
                    (f"{view.in_flight}{f' of {view.limit}' if view.limit else ''} in flight", "text"),
                    (f"{dot}{view.queued} queued" if view.queued else "", "warn"),
                    (f"{dot}{fmt.grouped(view.requests)} requests", "text"),
                    (failed, "muted"),
                ],
            ),
        ]
        if view.block:
            facts.insert(1, ("", [(safe_text(view.block, limit=200), "warn")]))
        lines: list[Line] = [[(f"{label:<9}", "muted"), *spans] for label, spans in facts]
        if view.last_error:
            pieces = wrapped(safe_text(view.last_error, limit=_ERROR_CAP), max(10, width - 9))
            for place_of, piece in enumerate(pieces[:3]):
                lines.append([(f"{'last err' if not place_of else '':<9}", "muted"), (piece, "bad")])
        return lines

    def _price(self, view: DeploymentView) -> Line:
        source = safe_text(view.price_source, limit=60)
        if view.input_usd is None or view.output_usd is None:
            return [("no price is known: its cost shows as ?", "warn")]
        return [
            (f"${view.input_usd:g} in  ${view.output_usd:g} out", "text"),
            (f" {self.look.glyphs.dot} {source}" if cells(source) else "", "muted"),
        ]

    def _pace(self, view: DeploymentView) -> Line:
        glyphs = self.look.glyphs
        return [
            (f"ttft p95 {fmt.duration(view.ttft_p95_ms, glyphs)}  {fmt.speed(view.tokens_per_s, glyphs)} tok/s", "text")
        ]
