"""The live part of a run's display on a terminal: a table of the stages below what scrolls by."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live as RichLive
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bodywork.cli.words import COLOURS, duration
from bodywork.run.plan import Plan
from bodywork.run.replay import RunView, StageView
from bodywork.run.states import StageState

MOST_ROWS = 24
"""Rows of a table that still fits on a small terminal; ended stages are folded first."""


class Live:
    """Shows `view` as it changes, below the text that is written with `above`."""

    def __init__(self, plan: Plan, view: RunView, stream: TextIO) -> None:
        self._plan = plan
        self._view = view
        self._console = Console(file=stream, highlight=False)
        self._live = RichLive(
            console=self._console,
            get_renderable=self._table,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Live:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def above(self, text: str) -> None:
        """Print text, which may hold colour codes, above the table."""
        self._console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        rows = [
            (number, self._view.stages[name])
            for number, step in enumerate(self._plan.project.steps, 1)
            for name in step
            if name in self._view.stages
        ]
        moving = [row for row in rows if not row[1].state.ended]
        shown = rows if len(rows) <= MOST_ROWS else moving[:MOST_ROWS]
        if len(shown) < len(rows):
            done = sum(stage.state.ended for _, stage in rows)
            table.add_row("", Text(f"{done} of {len(rows)} stages have ended", style="dim"))
        step_before = 0
        for number, stage in shown:
            step = Text(f"step {number}" if number != step_before else "", style="dim")
            step_before = number
            table.add_row(step, stage.name, self._state(stage), self._time(stage))
        return table

    def _state(self, stage: StageView) -> Text | Spinner:
        style = COLOURS[str(stage.state)]
        word = "building its environment" if stage.state is StageState.PREPARING else str(stage.state)
        if stage.state in (StageState.RUNNING, StageState.PREPARING):
            return Spinner("dots", text=Text(word, style=style))
        return Text(word, style=style)

    def _time(self, stage: StageView) -> str:
        if stage.started is None:
            return ""
        return duration((stage.ended or time.time()) - stage.started)
