"""The command `bodywork`: finds the command's module, and gives out exit codes; nothing else does.

0 done, 1 the run failed, 2 wrong usage or configuration, 3 a bug in bodywork, 4 Git, index or
agent out of reach, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from bodywork import __version__
from bodywork.cli.streams import GONE, open_missing, silence
from bodywork.errors import BodyworkError, MachineError, RunFailedError, SpecError, UnreachableError

COMMANDS = {
    "init": "Write a first bodywork.yaml for a folder.",
    "validate": "Check a bodywork.yaml and show every error in it.",
    "plan": "Show what a deploy would do, and why; change nothing.",
    "deploy": "Run a project's workflow at one commit.",
    "schedule": "Run a project by itself, at times or when its branch has moved.",
    "status": "Show pipelines, or the stages and services of one.",
    "runs": "List runs, newest first.",
    "logs": "Show what stages have printed.",
    "resume": "Go on with a run that did not end well.",
    "stop": "Cancel the run in progress; services go on.",
    "rollback": "Go back to an earlier release.",
    "artifacts": "List what runs have made, or get one of it.",
    "prune": "Free space: forget old runs, and what nothing needs any more.",
    "delete": "Remove a pipeline with its services, runs and logs.",
    "secret": "Keep passwords, tokens and keys for stages.",
    "git": "Look after what git needs to reach private repositories.",
    "agent": "Look after the background process that keeps services running.",
    "doctor": "Say what this machine lacks, and how to get it.",
    "render": "Print the Kubernetes objects that deploy a project, as YAML.",
    "schema": "Print the JSON Schema of bodywork.yaml.",
    "completion": "Print a script for shell completion.",
}


HIDDEN = ("controller", "firing")
"""Commands that are for programs: bodywork calls them itself."""


class Commands(click.Group):
    """Commands that are imported when they are called: `--help` has to be quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        command: click.Command = import_module(f"bodywork.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in (*COMMANDS, *HIDDEN) and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise click.UsageError(f"there is no command {name!r}{meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: bodywork deploy . — then: bodywork status",
)
@click.version_option(__version__, prog_name="bodywork")
def bodywork() -> None:
    """Deploy machine-learning projects straight from Git: one bodywork.yaml, no image to build."""


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does at this moment; within asyncio.run, that is to cancel its task."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(number, frame)


def _heard_again(ignored: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in callbacks like those of weak references: not the wish to end."""
    if not isinstance(ignored.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    again.daemon = True
    again.start()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    sys.unraisablehook = _heard_again
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    open_missing()
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored
                signal.signal(number, _as_interrupt)  # let what was begun be ended
        result: Any = bodywork.main(
            args=None if arguments is None else list(arguments),
            prog_name="bodywork",
            standalone_mode=False,
            color=_colour(),
        )
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except BodyworkError as error:
        return _expected(error)
    except OSError as error:
        if error.errno not in GONE or error.filename:
            return _machine(error)
        # The reader of our output has gone (`| head`, or the terminal): there is nobody left to tell.
        silence(error, sys.stdout.fileno())
        return 0 if isinstance(error, BrokenPipeError) else 130
    except Exception as error:
        return _bug(error)
    return result if isinstance(result, int) else 0


def _colour() -> bool | None:
    """False where the user wants none (https://no-color.org), else None: on a terminal, not in a pipe."""
    return False if os.environ.get("NO_COLOR") else None


def _expected(error: BodyworkError) -> int:
    for line in _sentences(error):
        click.echo(line, err=True, color=_colour())
    if error.hint:
        click.echo(f"{click.style('hint', fg='cyan', bold=True)}: {error.hint}", err=True, color=_colour())
    if isinstance(error, UnreachableError):
        return 4
    return 1 if isinstance(error, RunFailedError) else 2


def _sentences(error: BodyworkError) -> Iterator[str]:
    """What is wrong; each problem of a file is one, and so is what is odd in it besides."""
    wrong, odd = click.style("error", fg="red", bold=True), click.style("warning", fg="yellow", bold=True)
    if isinstance(error, SpecError):
        for problem in error.problems:
            yield f"{odd if problem.warning else wrong}: {problem}"
    else:
        yield f"{wrong}: {error.message}"


ROOM = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there: your quota is used up",
    errno.EROFS: "set BODYWORK_HOME and BODYWORK_CACHE to folders that you may write to",
    errno.EACCES: "set BODYWORK_HOME and BODYWORK_CACHE to folders that you may write to",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.ENOMEM: "free some memory",
}
"""What to do about a machine that cannot go on; whatever was interrupted can be resumed after that."""


def _machine(error: OSError) -> int:
    """The machine refuses something: mostly a full or read-only disk."""
    if error.errno not in ROOM:
        return _bug(error)
    place = f" ({error.filename})" if error.filename else ""
    message = f"this machine cannot go on: {error.strerror}{place}"
    hint = f"{ROOM[error.errno]}, then go on with: bodywork resume PIPELINE"
    return _expected(MachineError(message, hint=hint))


def _bug(error: Exception) -> int:
    """A short message, and a file with all of it to send."""
    import re
    import tempfile
    import traceback
    from pathlib import Path

    text = f"bodywork {__version__}, Python {sys.version}, {sys.platform}\n{sys.argv[1:]}\n\n"
    text += "".join(traceback.format_exception(error))
    text = re.sub(r"(?<=://)[^/@\s]+@", "***@", text)  # credentials in an address
    try:
        descriptor, name = tempfile.mkstemp(prefix="bodywork-bug-", suffix=".log")
        os.close(descriptor)
        Path(name).write_text(text)
        kept = f"the details are in {name}: please send that file with a bug report"
    except OSError:
        kept = text
    click.echo(f"error: a bug in bodywork: {type(error).__name__}: {error}\nhint: {kept}", err=True)
    return 3
