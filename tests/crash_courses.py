"""Two runs that commands are killed in: one that goes well, one that fails and tells of it.

For each there is the workflow, every change that an undisturbed run of it makes in the cluster, by its name
(`crash_points`), and what has to be there at the end, however often it was killed and resumed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.batch.jobs import complete, failed
from bodywork.targets.kubernetes.kinds import JOB
from ground import SERVER, Ground
from pod_watch import PodWatch
from tool import Tool, wait_for

ON_FIRST_ATTEMPT = 'socket.gethostname().split("-")[-2] == "1"'
MODULES = {
    "work.py": "print('made')\n",
    "flaky.py": f"import socket, sys\nsys.exit({ON_FIRST_ATTEMPT})\n",
    "bad.py": "import sys; sys.exit('no data')\n",
    "serve.py": SERVER,
}


@dataclass(frozen=True, kw_only=True)
class Course:
    """A workflow, and what an undisturbed run of it changes, how often its stages succeed, how it ends."""

    workflow: str
    changes: tuple[str, ...]
    successes: dict[str, int]
    states: dict[str, str]
    state: str
    left: tuple[str, ...]


GOOD = Course(
    workflow="""workflow: flaky, work >> serve
on_failure: tell
stages:
  flaky: {run: flaky.py, batch: {retries: 2}}
  work: {run: work.py}
  serve: {run: serve.py, service: {port: 5000, replicas: 2, startup_timeout: 60s}}
  tell: {run: work.py}
""",
    changes=(
        "create namespaces PIPELINE",
        "take the lease",
        "create configmaps run-RUN",
        "record RunStarted",
        "record StagePreparing work",
        "create secrets source",
        "record StagePrepared work",
        "create jobs work-RUN-1",
        "record StageStarted work 1",
        "apply configmaps log-RUN-work",
        "record StageEnded work succeeded",
        "create jobs flaky-RUN-1",
        "record StageStarted flaky 1",
        "record StageRetrying flaky 1",
        "create jobs flaky-RUN-2",
        "record StageStarted flaky 2",
        "record StageEnded flaky succeeded",
        "apply services serve",
        "apply services PIPELINE--serve",
        "apply poddisruptionbudgets serve",
        "apply deployments serve",
        "record StageStarted serve 1",
        "patch deployments serve",
        "record StageEnded serve succeeded",
        "record StageEnded tell skipped",
        "record RunEnded succeeded",
        "record the release",
        "give the lease back",
    ),
    successes={"flaky": 1, "work": 1},
    states={**dict.fromkeys(("flaky", "work", "serve"), "succeeded"), "tell": "skipped"},
    state="succeeded",
    left=(
        "Job flaky-RUN-1",
        "Job flaky-RUN-2",
        "Job work-RUN-1",
        "Deployment serve",
        "ReplicaSet serve",
        "Service serve",
        "Service PIPELINE--serve",
        "PodDisruptionBudget serve",
        "ConfigMap log-RUN-work",
    ),
)
NOTED_TOGETHER = {
    f"record {what} {stage}"
    for what in ("StagePreparing", "StagePrepared")
    for stage in ("flaky", "serve", "tell")
}
"""Nothing follows from them, and they are the same for all stages: they are no points."""

OF_RESUME = ("take the lease over", "record RunStarted again")
"""Changes that a resumed run makes besides."""

FAILING = Course(
    workflow="""workflow: work >> bad >> never
on_failure: tell
stages:
  work: {run: work.py}
  bad: {run: bad.py}
  never: {run: work.py}
  tell: {run: work.py}
""",
    changes=(
        "create jobs bad-RUN-1",
        "record StageStarted bad 1",
        "apply configmaps log-RUN-bad",
        "record StageEnded bad failed",
        "record StageEnded never skipped",
        "create jobs tell-RUN-1",
        "record StageStarted tell 1",
        "apply configmaps log-RUN-tell",
        "record StageEnded tell succeeded",
        "record RunEnded failed",
        "give the lease back",
    ),
    successes={"work": 1, "tell": 1},
    states={"work": "succeeded", "bad": "failed", "never": "skipped", "tell": "succeeded"},
    state="failed",
    left=(
        "Job work-RUN-1",
        "Job bad-RUN-1",
        "Job tell-RUN-1",
        "ConfigMap log-RUN-work",
        "ConfigMap log-RUN-bad",
        "ConfigMap log-RUN-tell",
    ),
)
ALWAYS = (
    "Lease run-lock-PIPELINE",
    "ConfigMap kube-root-ca.crt",
    "ConfigMap run-RUN",
    "ServiceAccount default",
)


def when_stages_have_ended(ground: Ground) -> None:
    """Wait as whoever is slower than what is under way."""

    def ended() -> bool:
        return all(complete(job) or failed(job) for job in ground.all(JOB, **{labels.KIND: "batch"}))

    wait_for(ended, seconds=60, every=0.2)


def check(ground: Ground, other: Tool, pods: PodWatch, course: Course, *besides: str) -> None:
    """The run has ended as it would have undisturbed, and nothing is left but what that would have left,
    and, maybe, the objects `besides`.
    """
    pods.check(**course.successes)
    status = other.good("status", ground.name, "-o", "json").json
    assert status["state"] == course.state
    assert {one["name"]: one["state"] for one in status["stages"]} == course.states
    assert [one["ready"] for one in status["services"]] == [2] * (course is GOOD)
    there = ground.objects(status["run"])
    sources = Counter({name: n for name, n in there.items() if name.startswith("Secret source-")})
    assert sources.total() == 1, there
    more = Counter({name: n for name, n in there.items() if name.startswith("ConfigMap run-RUN-events-")})
    known = (name.replace("PIPELINE", ground.name) for name in (*course.left, *ALWAYS, *besides))
    assert not there - sources - more - Counter(known), there
