"""What is put on a schedule: a project of a repository, and the rule of its times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bodywork.errors import MachineError
from bodywork.schedule.due import Timing
from bodywork.spec.cron import Cron
from bodywork.spec.model import Missed, Overlap, Schedule


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A schedule as it was made. `repository` is a URL without credentials, or an absolute path.

    `ref` (None: what the repository's HEAD says) is resolved anew each time; `ssh_key` is the file of
    the private key that opens the repository, `git_secret` the secret with a key or token for it.
    """

    name: str
    pipeline: str
    repository: str
    rule: Schedule
    ref: str | None = None
    file: str | None = None
    ssh_key: str | None = None
    git_secret: str | None = None

    @property
    def zone(self) -> ZoneInfo:
        """Raises MachineError where this machine does not know the zone."""
        try:
            return ZoneInfo(self.rule.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise MachineError(
                f"this machine does not know the time zone {self.rule.timezone} of schedule {self.name}",
                hint="install its data: apt install tzdata, or pip install tzdata",
            ) from None

    @property
    def timing(self) -> Timing | None:
        """None: it has no times, only pushes."""
        if self.rule.cron is None:
            return None
        rule = self.rule
        return Timing(
            cron=Cron.parse(self.rule.cron),
            zone=self.zone,
            overlap=rule.overlap,
            missed=rule.missed,
            deadline=rule.deadline,
        )

    def day(self, at: float) -> date:
        """The date in the schedule's zone at `at` (seconds since the epoch)."""
        return datetime.fromtimestamp(at, UTC).astimezone(self.zone).date()

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Definition:
        """The inverse of `encode`; what another version has written besides is passed over."""
        document = _known(cls, json.loads(text))
        rule = _known(Schedule, document["rule"])
        rule |= {"overlap": Overlap(rule["overlap"]), "missed": Missed(rule["missed"])}
        return cls(**{**document, "rule": Schedule(**rule)})


def differences(before: Definition, after: Definition) -> Iterator[str]:
    """What has changed, as `cron "0 6 * * *" -> "0 7 * * *"`."""
    for one, (old, new) in {**_pairs(before, after), **_pairs(before.rule, after.rule)}.items():
        if old != new and one != "rule":
            yield f"{one.replace('_', '-')}: {_said(old)} -> {_said(new)}"


def _pairs(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    names = [field.name for field in fields(before)]
    return {name: (getattr(before, name), getattr(after, name)) for name in names}


def _said(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _known(kind: Any, document: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in document.items() if name in names}
