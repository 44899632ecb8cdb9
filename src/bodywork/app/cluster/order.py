"""What a pod of a schedule is there for: known by what its CronJob tells it, and the name of its Job."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bodywork.app.where import KUBERNETES, Where
from bodywork.errors import NotFoundError
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.targets.kubernetes.manifests import cron_job


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the pod is told: the schedule, the namespace, and the name of its Job."""

    definition: Definition
    namespace: str
    job: str

    @property
    def where(self) -> Where:
        return Where(target=KUBERNETES, namespace=self.namespace)

    @property
    def looks(self) -> bool:
        """It is to look at the branch first; whether there is a firing is not yet known."""
        return cron_job.is_look(self.definition.name, self.job)

    @property
    def firing(self) -> Firing:
        """As it begins, of a time or of somebody's wish."""
        due, asked = cron_job.due_of(self.definition.name, self.job)
        return self._begun(due, Cause.ASKED if asked else Cause.TIME, run_of(self.definition.name, due))

    def push(self, tip: str, now: float) -> Firing:
        """The one that a branch leads to which is found at `tip`."""
        due = float(int(now))
        return self._begun(due, Cause.PUSH, run_of(f"{self.definition.name} {tip}", due), tip)

    def _begun(self, due: float, cause: Cause, run: str, tip: str = "") -> Firing:
        return Firing(
            number=0,
            schedule=self.definition.name,
            due=due,
            cause=cause,
            state=State.RUNNING,
            run=run,
            process=self.job,
            reason="",
            at=time.time(),
            ended=None,
            tip=tip,
        )


def run_of(schedule: str, due: float) -> str:
    """The run of a time: the same, however often its pod is started anew."""
    digest = hashlib.sha256(f"{schedule} {due:.0f}".encode()).hexdigest()
    return f"{datetime.fromtimestamp(due, UTC):%Y%m%d-%H%M%S}-{digest[:4]}"


def order_of(ours: Mapping[str, str], job: str, namespace: str) -> Order:
    """Out of what the CronJob tells its pods. Raises NotFoundError where there is no such thing."""
    text = ours.get(cron_job.DEFINITION)
    if text is None or not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise NotFoundError("this is no pod of a schedule", hint="see: bodywork schedule --help")
    return Order(definition=Definition.decode(text), namespace=namespace, job=job)
