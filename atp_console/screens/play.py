"""Playground: a prompt to one or several models side by side, or a recorded request sent again."""

from __future__ import annotations

import asyncio
import contextlib

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import TextArea

from atp_console import bodies
from atp_console.actions import Scope
from atp_console.desk import Desk
from atp_console.paint import Line
from atp_console.screens import taking
from atp_console.screens.base import ConsoleScreen, Due, Go, Replay
from atp_console.screens.dialogs import Item, Picker
from atp_console.widgets.answer import Answer, AnswerPane
from atp_console.widgets.bars import Bar
from atp_console.widgets.columns import name
from atp_console.widgets.pane import Pane
from atp_engine.client.errors import EngineError, EngineGone, EngineRefused
from atp_engine.core.play_views import PlayAsk

MOST_MODELS = 3
_PROMPT_CAP = 100_000
_MOST_MISSES = 6
"""Looks that may find nothing: a request is known a moment after it was started."""


class PlayScreen(ConsoleScreen):
    """Screen 8."""

    SCOPES = (Scope.LIST, Scope.ROWS, Scope.PLAY)
    TAB = "play"
    NAME = "Playground"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        look = desk.look
        self.models: list[str] = []
        self.answers: list[Answer] = []
        self.is_diff = False
        self._is_asking = False
        self.prompt = TextArea(
            id="prompt",
            compact=True,
            highlight_cursor_line=False,
            placeholder=f"a prompt; {self.key('play.send')} sends it, esc leaves it",
        )
        self.panes = [AnswerPane(look, id=f"answer-{place}") for place in range(MOST_MODELS)]

    def compose_body(self) -> ComposeResult:
        """Models and prompt above, the answers below."""
        yield Bar(self.desk.look, self._models_line, id="play-models")
        yield self.prompt
        with Container(id="answers"):
            yield from self.panes

    def on_mount(self) -> None:
        """The answers keep their places."""
        super().on_mount()
        self._arrange()

    def home_pane(self) -> Pane:
        """The first answer."""
        return self.panes[0]

    def marks(self) -> Line:
        """Whether answers are compared."""
        return [("compared with the first", "warn")] if self.is_diff else []

    def paint_body(self, due: frozenset[Due]) -> None:
        """Twice a second: figures grow, last words are asked for."""
        if Due.SIDE not in due:
            return
        if not self.models and self.desk.state.deployments:
            self.models = self._names()[:1]
        for answer in self.answers:
            answer.view = self.desk.state.request(answer.request_id) or answer.view
        self.query_one("#play-models", Bar).repaint()
        self._show()
        if not self._is_asking and any(one.is_open and one.request_id for one in self.answers):
            self._is_asking = True
            self.run_worker(self._follow(), exclusive=False, group="play")

    def _show(self) -> None:
        first = self.answers[0] if self.answers else None
        self.panes[0].nothing = [
            [("Nothing was sent yet.", "muted")],
            *(
                [(f"{self.key(action):>5} ", "key"), (words, "muted")]
                for action, words in (
                    ("play.edit", "write a prompt"),
                    ("play.models", "choose the models, side by side"),
                    ("play.send", "send it: answers come as they are made, with their cost and pace"),
                    ("play.compare", "show where the answers differ"),
                    ("request.replay", "on any request sends that one again and puts both answers here"),
                )
            ),
        ]
        for place, pane in enumerate(self.panes):
            answer = self.answers[place] if place < len(self.answers) else None
            pane.show(answer, first if self.is_diff and place else None)

    def _arrange(self) -> None:
        """As many panes as answers, at least one."""
        count = max(1, len(self.answers) or len(self.models))
        for place, pane in enumerate(self.panes):
            pane.display = place < count

    def _models_line(self, width: int) -> list[Line]:
        glyphs = self.desk.look.glyphs
        line: Line = [(" to ", "muted")]
        for place, model in enumerate(self.models):
            line.append((f"{' and ' if place else ''}", "muted"))
            line.append((name(model), "strong"))
        line.append((f"  {glyphs.dot} ", "muted"))
        for action, words in (("play.models", "choose, up to three"), ("play.send", "send"), ("play.edit", "prompt")):
            line += [(self.key(action), "key"), (f" {words}  ", "muted")]
        return [line]

    def _names(self) -> list[str]:
        """What can be asked for: routes, then deployments."""
        deployments = self.desk.state.deployments
        routes = sorted({route for view in deployments.values() for route in view.routes})
        return [*routes, *sorted(key for key in deployments if key not in routes)]

    # --- following

    async def _follow(self) -> None:
        try:
            for answer in [one for one in self.answers if one.is_open and one.request_id]:
                with contextlib.suppress(EngineGone):  # the box about a lost engine tells it
                    await self._read(answer)
        finally:
            self._is_asking = False
        self._show()

    async def _read(self, answer: Answer) -> None:
        """The last words of an open request, the whole text of one that is over."""
        source = self.desk.source
        if answer.view is None or not answer.view.state.is_final:
            with contextlib.suppress(EngineRefused):  # it is over, or has not begun
                tail = await source.tail(answer.request_id)
                answer.text = tail.text or answer.text
                return
        try:
            detail = await source.request(answer.request_id)
        except EngineRefused as error:
            answer.misses += 1
            answer.problem = error.message if answer.misses >= _MOST_MISSES else ""
            return
        answer.view = detail.request
        if not detail.request.state.is_final:
            return
        if detail.response_body:
            answer.text = await asyncio.to_thread(bodies.plain, detail.response_body)
        answer.text = answer.text or detail.request.error_message
        answer.is_whole = True

    # --- actions

    def do_play_send(self) -> None:
        """Sends the prompt to every chosen model."""
        text = self.prompt.text[:_PROMPT_CAP]
        if not text.strip():
            self.tell(f"Write a prompt first: {self.key('play.edit')} puts the cursor there.")
            self.set_focus(self.prompt)
            return
        self.answers = [Answer(model, "") for model in self.models]
        self.is_diff = False
        self._arrange()
        for answer in self.answers:
            self.run_worker(self._send(answer, text), exclusive=False, group="play-send")
        self.panes[0].focus()
        self._show()

    async def _send(self, answer: Answer, prompt: str) -> None:
        try:
            started = await self.desk.source.play(PlayAsk(answer.model, prompt))
        except EngineError as error:
            answer.problem = error.message
        else:
            answer.request_id = started.request_id
        self._show()

    def show_replay(self, replay: Replay) -> None:
        """A recorded answer beside the new one that is on its way."""
        before = Answer("recorded", replay.recorded_id)
        before.text, before.is_whole = replay.recorded_text, True
        before.view = self.desk.state.request(replay.recorded_id)
        self.answers = [before, Answer(replay.model, replay.started_id)]
        self.is_diff = False
        self._arrange()
        self.paint_all()

    def take(self, model: str) -> None:
        """A prompt for this model alone."""
        self.models = [model]
        self.set_focus(self.prompt)
        self.paint_all()

    def do_play_edit(self) -> None:
        """The cursor into the prompt."""
        self.set_focus(self.prompt)

    def do_play_models(self) -> None:
        """Takes a model in, or out again."""
        items = [
            Item(
                one,
                f"{'without' if one in self.models else 'with'} {name(one)}",
                group="" if one in self.models else "+",
            )
            for one in self._names()
        ]

        def chosen(picked: str | None) -> None:
            if not picked:
                return
            if picked in self.models and len(self.models) > 1:
                self.models.remove(picked)
            elif picked not in self.models:
                self.models = [*self.models[-(MOST_MODELS - 1) :], picked]
            if not self.answers:
                self._arrange()
            self.paint_all()

        self.app.push_screen(Picker(self.desk.look, "Models", items, is_searchable=True), chosen)

    def do_play_compare(self) -> None:
        """Each answer against the first one, or plain again."""
        if len(self.answers) < 2:
            self.tell(f"Two answers are needed: {self.key('play.models')} chooses another model.")
            return
        self.is_diff = not self.is_diff
        self.paint_all()

    def row_taken(self) -> object | None:
        """The request behind the focused answer."""
        answer = self._selected()
        return answer.view if answer is not None else None

    def do_copy(self) -> None:
        """Something of the focused answer."""
        answer = self._selected()
        if answer is not None and answer.view is None and answer.text:
            self.copy("answer", answer.text)
        else:
            taking.copy_row(self, answer.text if answer is not None else "")

    def do_play_cancel(self) -> None:
        """Ends what is still running."""
        running = [one.request_id for one in self.answers if one.is_open and one.request_id]
        if not running:
            self.tell("Nothing is running.")
        for request_id in running:
            self.ask(self._cancel(request_id))

    async def _cancel(self, request_id: str) -> None:
        await self.desk.source.cancel(request_id)

    def do_list_open(self) -> None:
        """Everything about the focused answer's request."""
        answer = self._selected()
        if answer is not None and answer.request_id:
            self.post_message(Go("request", id=answer.request_id))

    def _selected(self) -> Answer | None:
        place = self.panes.index(self.focused) if isinstance(self.focused, AnswerPane) else 0
        return self.answers[place] if place < len(self.answers) else None

    def back(self) -> bool:
        """Leaves the prompt, ends zoom, ends the comparison."""
        if self.focused is self.prompt:
            self.panes[0].focus()
            return True
        if self.end_zoom():
            return True
        if self.is_diff:
            self.do_play_compare()
            return True
        return False
