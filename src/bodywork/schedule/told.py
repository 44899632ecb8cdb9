"""A firing as a document: how it is kept where there is no database."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from bodywork.schedule.firing import Cause, Firing, State

FIELDS = {field.name for field in fields(Firing)}


def encode(firing: Firing) -> str:
    return json.dumps(asdict(firing))


def decode(text: str) -> Firing:
    """The inverse; what another version has written besides is passed over."""
    known = {name: value for name, value in json.loads(text).items() if name in FIELDS}
    return Firing(**{**known, "cause": Cause(known["cause"]), "state": State(known["state"])})


def key_of(firing: Firing) -> str:
    """Sorts by time; the same for whoever writes of the same firing."""
    return f"{firing.due:014.0f}-{firing.cause}"
