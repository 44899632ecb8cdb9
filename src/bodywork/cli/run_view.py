"""A run as it goes on: plain prefixed lines in a pipe, a live table on a terminal.

Both show the same things. What a stage prints is data, and goes to stdout; with `--output json`
stdout has room for one document only, and everything else goes to stderr.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

import click

from bodywork.app.past import view_of
from bodywork.cli.notes import Notes
from bodywork.cli.streams import GONE, silence
from bodywork.cli.words import COLOURS, duration, size
from bodywork.run.events import (
    Event,
    ServiceRemoved,
    StageEnded,
    StageOutput,
    StageRetrying,
    StageStarted,
    StageWaiting,
)
from bodywork.run.plan import Plan
from bodywork.run.replay import RunView
from bodywork.run.states import StageState
from bodywork.spec.model import Kind

if TYPE_CHECKING:
    from bodywork.cli.live import Live

PALETTE = ("cyan", "magenta", "blue", "yellow", "green", "bright_cyan", "bright_magenta", "bright_blue")


class RunWatcher(Notes):
    """Shows a run. Use as a context manager: the terminal is given back at the end.

    With a `day`, it is one of several that are shown at the same time: each line names it.
    """

    def __init__(self, output: str, *, day: str = "") -> None:
        self._day = f"{day} " if day else ""
        self._stream: TextIO = sys.stderr if output == "json" else sys.stdout
        self._stack = ExitStack()
        self._live: Live | None = None
        self._plan: Plan | None = None
        self._view: RunView | None = None
        self._width = 0
        self._prefixes: dict[str, str] = {}

    def __enter__(self) -> RunWatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def planned(self, plan: Plan, *, resumed: bool = False) -> None:
        self._plan = plan
        names = [stage.stage.name for stage in plan.all_stages]
        self._view = view_of(plan)
        self._width = max((len(name) for name in names), default=0)
        for number, name in enumerate(names):
            prefix = click.style(f"{self._day}{name:>{self._width}} | ", fg=PALETTE[number % len(PALETTE)])
            self._prefixes[name] = prefix if self._colour else click.unstyle(prefix)
        day = f" for {plan.date}" if plan.date else ""
        self._say(f"run {plan.run} of {plan.pipeline}{day} {'goes on' if resumed else 'starts'}", bold=True)
        if self._stream.isatty() and not self._day:
            from bodywork.cli.live import Live

            self._live = self._stack.enter_context(Live(plan, self._view, self._stream))

    def event(self, event: Event) -> None:
        if self._view is not None and not isinstance(event, StageOutput):
            self._view.apply(event)
        if isinstance(event, StageOutput):
            self._write(self._prefixed(event.stage, event.text))
        elif line := self._line(event):
            self._say(line)

    @property
    def _colour(self) -> bool:
        return self._stream.isatty() and not os.environ.get("NO_COLOR")

    def _prefixed(self, stage: str, text: str) -> str:
        """Each line of a stage's output with the stage's name before it."""
        prefix = self._prefixes.get(stage, f"{self._day}{stage} | ")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
        return "".join(f"{prefix}{line}\n" for line in lines)

    def _line(self, event: Event) -> str | None:
        """A sentence for an event, None when there is nothing to say."""
        if isinstance(event, StageStarted):
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            return f"{event.stage} {click.style('started', fg='cyan')}{again}"
        if isinstance(event, StageWaiting):
            return (
                f"{event.stage} {click.style('waits', fg='yellow')}: {event.reason}" if event.reason else None
            )
        if isinstance(event, StageRetrying):
            return f"{event.stage} {event.reason}; trying again in {duration(event.delay)}"
        if isinstance(event, StageEnded):
            return self._ended(event)
        if isinstance(event, ServiceRemoved):
            return f"{event.stage} removed: {event.reason}"
        return None

    def _ended(self, event: StageEnded) -> str:
        service = self._plan is not None and self._plan.stage(event.stage).stage.kind is Kind.SERVICE
        word = "ready" if service and event.state is StageState.SUCCEEDED else str(event.state)
        text = f"{event.stage} {click.style(word, fg=COLOURS[str(event.state)])}"
        view = self._view.stages.get(event.stage) if self._view else None
        if view and view.started is not None and event.state is not StageState.UNCHANGED:
            text += f" in {duration(event.at - view.started)}"
        if event.cpu_seconds is not None:
            text += f", {event.cpu_seconds:.1f} s of CPU"
        if event.peak_memory:
            text += f", {size(event.peak_memory)} of memory"
        quiet = event.state is StageState.SUCCEEDED or not event.reason
        return text if quiet else f"{text}: {event.reason}"

    def _say(self, text: str, *, bold: bool = False) -> None:
        mark = click.style(f"{self._day}{'':>{self._width}} * " if self._width else "", dim=True)
        styled = mark + click.style(text, bold=True) if bold else mark + text
        self._write((styled if self._colour else click.unstyle(styled)) + "\n")

    def _write(self, text: str) -> None:
        try:
            if self._live is not None:
                self._live.above(text)
            else:
                self._stream.write(text)
                self._stream.flush()
        except OSError as error:
            if error.errno not in GONE:
                raise
            # The reader has gone (`| head`, the terminal). The run goes on, and nobody is told of it here.
            silence(error, self._stream.fileno())
