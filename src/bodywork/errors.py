"""Every error that bodywork raises on purpose.

    BodyworkError
    ├── UsageError            what was asked for cannot be done as asked         exit code 2
    │   ├── SpecError         bodywork.yaml is wrong: all its problems at once
    │   ├── NotFoundError     no such pipeline, run, stage, ref, file ...
    │   ├── BusyError         another run of the pipeline holds its lock
    │   ├── ResolutionError   the packages asked for do not exist or conflict
    │   ├── MachineError      this machine lacks something: a Python, a free port, disk space
    │   └── ForbiddenError    the cluster does not let this account do it
    ├── RunFailedError        a run ended, and not well                          exit code 1
    ├── UnreachableError      Git host, index, agent or cluster out of reach     exit code 4
    └── StageError            a stage could not be prepared or started; ends as a failed run
        ├── QuotaError        a quota of its namespace is used up
        └── InvalidError      the cluster does not take an object as it is

The message says what happened and where; `hint` says what to do next. Exit codes are given out
in `cli.main` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class BodyworkError(Exception):
    """Base of all expected errors. `hint` is a sentence with the next step, or None."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BodyworkError):
    """What was asked for cannot be done as asked; asking again changes nothing."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong in a file. `line` and `column` count from 1; 0 where there is no place to name."""

    file: str
    line: int
    column: int
    path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f"{self.path}: " if self.path else ""
        return f"{place}: {key}{self.message}"


class SpecError(UsageError):
    """bodywork.yaml is wrong. `problems` has every problem of the file, in the file's order."""

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        super().__init__("\n".join(str(problem) for problem in problems), hint=hint)
        self.problems = tuple(problems)


class NotFoundError(UsageError):
    """Something that was named is not there."""


class BusyError(UsageError):
    """Another run of the same pipeline on the same target is in progress."""


class ResolutionError(UsageError):
    """The packages that a stage asks for do not exist, or cannot be had together."""


class MachineError(UsageError):
    """This machine lacks what the work needs."""


class ForbiddenError(UsageError):
    """The account may not do in the cluster what was asked for, or a rule of the cluster forbids it."""


class RunFailedError(BodyworkError):
    """A run ended as failed or cancelled."""


class UnreachableError(BodyworkError):
    """A Git host, the package index, the agent or the cluster cannot be reached; trying again may help."""


class StageError(BodyworkError):
    """A stage could not be prepared or started."""


class QuotaError(StageError):
    """A quota of the namespace leaves no room for what was asked for."""


class InvalidError(StageError):
    """The cluster does not take an object as it is."""
