"""The documents of `bodywork schedule`, for docs/reference/json.md."""

from __future__ import annotations

from typing import Any

from bodywork.app.schedules import firing_document, schedule_document
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.spec.model import Schedule
from pages.markdown import code

LAST = "`null` when it has not fired; else as in `schedule history`."

WORDS = {
    "schedules": {
        "name": "The schedule's name.",
        "pipeline": "The pipeline that it runs.",
        "target": "Where.",
        "repository": "A URL, or a folder of this machine.",
        "ref": "Resolved anew each time; `null`: the default branch; `HEAD`: the commit that a folder is at.",
        "file": "The path of its bodywork.yaml; `null`: bodywork.yaml.",
        "cron": "The expression; `null` when it runs at pushes alone.",
        "timezone": "The zone in which it is meant.",
        "overlap": "`skip` or `replace`.",
        "missed": "`last` or `none`.",
        "deadline": "Seconds, or `null`.",
        "keep": "How many runs are kept.",
        "on_push": "Every how many seconds the ref is looked at, or `null`.",
        "made": "When it was made.",
        "paused": "Since when it is; `null` when it is not.",
        "looked": "When its ref was last looked at; `null` where that is not kept, as on local.",
        "trouble": "Why its ref could not be looked at, or a push not be run; empty when all is well.",
        "next": "The next five times; none while it is paused.",
        "next[].local": "The time in the schedule's zone, with its offset.",
        "next[].utc": "The same time in UTC.",
        "last": LAST,
    },
    "firings": {
        "due": "The time that it is for.",
        "cause": ", ".join(code(one) for one in Cause)
        + ": its time had come, the ref had moved, or `run-now`.",
        "state": ", ".join(code(one) for one in State) + ".",
        "run": "The run's id; `null` when none began.",
        "reason": "Why it did not fire, why it ended as it did, or how late it was; may be empty.",
        "decided": "When it was decided what becomes of it.",
        "ended": "When the run ended, or when it was known that there will be none.",
    },
}
TITLES = {"schedules": "schedule, schedule list, schedule show", "firings": "schedule history"}
NOTES = {
    "schedules": "`schedule list` prints a list, the others one object.",
    "firings": "A list, newest first.",
}


def samples(start: float, run: str) -> dict[str, Any]:
    rule = Schedule(cron="0 6 * * 1-5", timezone="Europe/London")
    definition = Definition(
        name="flowers", pipeline="flowers", repository="https://git.example/flowers", rule=rule
    )
    firing = Firing(
        number=1,
        schedule="flowers",
        due=start,
        cause=Cause.TIME,
        state=State.SUCCEEDED,
        run=run,
        process="",
        reason="",
        at=start + 0.2,
        ended=start + 31.7,
    )
    kept = Kept(definition=definition, made=start - 86400, paused=None, last=start)
    shown = schedule_document(kept, "local", None)
    shown["next"] = [{"local": "2026-03-02T06:00:00+00:00", "utc": "2026-03-02T06:00:00.000Z"}]
    return {"schedules": [shown], "firings": [firing_document(firing)]}
