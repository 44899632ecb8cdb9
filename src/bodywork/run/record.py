"""Events and plans as JSON text: what the history keeps, and what a cluster is given.

Events are written and read by hand, since there are many and `status` and `logs` must be quick.
A plan is written by walking its dataclasses. Stages and sets of predecessors, which a plan
mentions again and again, are written once and then named by number: without that, a step of 1,000
stages after a step of 1,000 would take a million names.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bodywork.run import events
from bodywork.run.events import Event
from bodywork.run.states import RunState, StageState

if TYPE_CHECKING:  # its import costs as much as all the rest of `status`
    from bodywork.run.plan import Plan

EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        events.RunStarted,
        events.StagePreparing,
        events.StagePrepared,
        events.StageStarted,
        events.StageWaiting,
        events.StageOutput,
        events.StageRetrying,
        events.StageEnded,
        events.ServiceRemoved,
        events.RunEnded,
    )
}


def encode_event(event: Event) -> str:
    """One line of JSON, in ASCII."""
    document = {"event": type(event).__name__, **vars(event)}
    if isinstance(event, events.StageEnded):
        document["outputs"] = dict(event.outputs)
    return json.dumps(document, separators=(",", ":"))


def decode_event(text: str) -> Event:
    """The event that `encode_event` wrote. Raises ValueError for anything else."""
    try:
        document = json.loads(text)
        kind = EVENTS[document.pop("event")]
        if kind is events.StageEnded:
            document["state"] = StageState(document["state"])
        elif kind is events.RunEnded:
            document["state"] = RunState(document["state"])
        return kind(**document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not an event of a run: {text[:200]}") from error


def encode_plan(plan: Plan) -> str:
    """JSON in ASCII: `{"plan": ..., "stages": [...], "sets": [[...], ...]}`."""
    writer = _Writer()
    document = writer.write(plan)
    return json.dumps({"plan": document, "stages": writer.stages, "sets": writer.sets}, separators=(",", ":"))


def decode_plan(text: str) -> Plan:
    """The plan that `encode_plan` wrote. Raises ValueError for anything else."""
    from bodywork.run.plan import Plan
    from bodywork.spec.model import Stage

    try:
        document = json.loads(text)
        reader = _Reader(Stage, [frozenset(names) for names in document["sets"]], document["stages"])
        plan = reader.read(Plan, document["plan"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"not a plan of a run: {text[:200]}") from error
    assert isinstance(plan, Plan)
    return plan


class _Writer:
    """Turns dataclasses into dicts of JSON, and what is shared into numbers."""

    def __init__(self) -> None:
        from bodywork.spec.model import Stage

        self._stage_type = Stage
        self._number_of_stage: dict[int, int] = {}
        self._number_of_set: dict[frozenset[str], int] = {}
        self.stages: list[Any] = []
        self.sets: list[list[str]] = []

    def write(self, value: object) -> Any:
        if isinstance(value, self._stage_type):
            return self._stage(value)
        if isinstance(value, StrEnum):
            return value.value
        if is_dataclass(value) and not isinstance(value, type):
            return self._fields(value)
        if isinstance(value, frozenset):
            return self._set(value)
        if isinstance(value, tuple):
            return [self.write(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self.write(item) for key, item in value.items()}
        return value

    def _fields(self, value: Any) -> dict[str, Any]:
        """The class is named, too: it tells the members of a union apart."""
        document = {field.name: self.write(getattr(value, field.name)) for field in fields(value)}
        return {"is": type(value).__name__, **document}

    def _stage(self, stage: object) -> int:
        number = self._number_of_stage.get(id(stage))
        if number is None:
            document = self._fields(stage)
            number = self._number_of_stage[id(stage)] = len(self.stages)
            self.stages.append(document)
        return number

    def _set(self, names: frozenset[str]) -> int:
        number = self._number_of_set.setdefault(names, len(self.sets))
        if number == len(self.sets):
            self.sets.append(sorted(names))
        return number


class _Reader:
    """Builds dataclasses out of what `_Writer` has written, led by their type hints."""

    def __init__(self, stage_type: type, sets: list[frozenset[str]], stages: list[Any]) -> None:
        self._stage_type = stage_type
        self._sets = sets
        self._hints: dict[type, dict[str, Any]] = {}
        self._stages: list[Any] = []
        self._stages = [self._fields(stage_type, document) for document in stages]

    def read(self, hint: Any, value: Any) -> Any:
        if hint is self._stage_type:
            return self._stages[value]
        if is_dataclass(hint) and isinstance(hint, type):
            return self._fields(hint, value)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return hint(value)
        return self._generic(hint, value)

    def _generic(self, hint: Any, value: Any) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is frozenset:
            return self._sets[value]
        if origin is tuple:
            kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
            return tuple(self.read(kind, item) for kind, item in zip(kinds, value, strict=True))
        if origin is Mapping:
            return {key: self.read(arguments[1], item) for key, item in value.items()}
        if origin is types.UnionType and value is not None:
            return self.read(_member(arguments, value), value)
        return value

    def _fields(self, kind: type, document: dict[str, Any]) -> Any:
        if document["is"] != kind.__name__:
            raise ValueError(f"{document['is']} where {kind.__name__} was expected")
        hints = self._hints.get(kind)
        if hints is None:
            hints = self._hints[kind] = typing.get_type_hints(kind)
        # What another version of bodywork has written besides is passed over.
        values = {name: value for name, value in document.items() if name in hints}
        return kind(**{name: self.read(hints[name], value) for name, value in values.items()})


def _member(kinds: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that `value` was: the class that it names, else the only one there is."""
    if isinstance(value, dict) and "is" in value:
        return next(kind for kind in kinds if getattr(kind, "__name__", "") == value["is"])
    return next(kind for kind in kinds if kind is not type(None))
