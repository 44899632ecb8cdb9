"""The rule of a schedule out of what a command was given, over what the project says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from bodywork.errors import UsageError
from bodywork.spec.from_v2 import read_schedule
from bodywork.spec.model import Schedule
from bodywork.spec.shape import sentence
from bodywork.spec.v2 import ScheduleForm

HINT = 'say when: --cron "0 6 * * 1-5", or --on-push; or write `schedule:` into bodywork.yaml'


def rule_of(given: Mapping[str, Any], said: Schedule | None) -> Schedule:
    """`given` are options by key, None where there is none; each wins over what the project has `said`.

    Raises UsageError with all that is wrong.
    """
    asked = {key: value for key, value in given.items() if value is not None}
    try:
        read = read_schedule(ScheduleForm.model_validate(asked))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise UsageError(
            "; ".join(f"--{str(fault['loc'][0]).replace('_', '-')}: {sentence(fault)}" for fault in faults)
        ) from None
    rule = replace(said or Schedule(), **{key: getattr(read, key) for key in asked})
    if rule.cron is None and rule.on_push is None:
        raise UsageError("nothing says when the project is to run", hint=HINT)
    return rule
