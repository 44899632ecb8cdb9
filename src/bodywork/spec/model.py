"""The one model that every form of bodywork.yaml is read into.

All of it is frozen. Durations are seconds, sizes are bytes, cpu is cores; paths are relative to
the folder of bodywork.yaml, with forward slashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """What ends a stage: itself (batch), or its deletion (service)."""

    BATCH = "batch"
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A stage that runs to its end. `timeout` (seconds, None: none) is of the module alone."""

    timeout: float | None = None
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class Autoscale:
    """How far a service grows: to `max` replicas, while they use over `cpu` percent of what they ask for."""

    max: int
    cpu: int = 70


@dataclass(frozen=True, kw_only=True)
class Service:
    """A stage that stays up.

    `port` is the one the module binds. `startup_timeout` counts, in seconds, from the start of the
    module to readiness. `health` is an HTTP path that must answer below 400; None: a TCP
    connection is enough. `route` is the path under which a gateway publishes the service.
    With `autoscale`, `replicas` is the least there are.
    """

    port: int
    replicas: int = 1
    startup_timeout: float = 120.0
    health: str | None = None
    route: str | None = None
    autoscale: Autoscale | None = None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a stage asks for: cores, bytes, devices. None: nothing said."""

    cpu: float | None = None
    memory: int | None = None
    gpu: int | None = None


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """The packages of a stage, in exactly one of two ways.

    `packages` are requirement lines (PEP 508); `file` is a requirements.txt, pyproject.toml,
    uv.lock or pylock.toml of the repository. Both empty: the standard library only.
    """

    packages: tuple[str, ...] = ()
    file: str | None = None


@dataclass(frozen=True, kw_only=True)
class SecretVariable:
    """Environment variable `variable` takes the key of the same name out of secret `secret`."""

    variable: str
    secret: str


@dataclass(frozen=True, kw_only=True)
class Output:
    """An artifact that a stage writes at `$BODYWORK_OUTPUT_<NAME>`; `file` is its file name."""

    name: str
    file: str


@dataclass(frozen=True, kw_only=True)
class Input:
    """An artifact that a stage reads at `$BODYWORK_INPUT_<NAME>`: output `output` of stage `stage`."""

    name: str
    stage: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint of nodes that a stage's pods put up with; the fields are those of Kubernetes.

    `seconds` is `tolerationSeconds`: how long they stay on a node that gets the taint.
    """

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: str | None = None
    seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a cluster puts a stage's pods, and as whom they run there. What the project says is merged in."""

    service_account: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    priority_class: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One executable module and what it needs.

    `run` is the module (.py or .ipynb); it runs in its own folder, with the project's root first
    on PYTHONPATH. `object_name` is a valid, unique DNS label made from `name`; `host_names` are
    all the names under which a service is called. `after` are the stages that must have succeeded
    before this one starts.
    """

    name: str
    object_name: str
    run: str
    args: tuple[str, ...] = ()
    python: str = "3.12"
    image: str | None = None
    requirements: Requirements = field(default_factory=Requirements)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[SecretVariable, ...] = ()
    resources: Resources = field(default_factory=Resources)
    outputs: tuple[Output, ...] = ()
    inputs: tuple[Input, ...] = ()
    does: Batch | Service = field(default_factory=Batch)
    after: frozenset[str] = frozenset()
    host_names: tuple[str, ...] = ()
    placement: Placement = field(default_factory=Placement)

    @property
    def kind(self) -> Kind:
        return Kind.SERVICE if isinstance(self.does, Service) else Kind.BATCH

    @property
    def service(self) -> Service:
        """The service settings. Raises TypeError for a batch stage."""
        if not isinstance(self.does, Service):
            raise TypeError(f"stage {self.name} is not a service")
        return self.does

    @property
    def batch(self) -> Batch:
        """The batch settings. Raises TypeError for a service stage."""
        if not isinstance(self.does, Batch):
            raise TypeError(f"stage {self.name} is not a batch stage")
        return self.does


class Overlap(StrEnum):
    """What a schedule does while a run of its pipeline is in progress: skip the time, or cancel that run."""

    SKIP = "skip"
    REPLACE = "replace"


class Missed(StrEnum):
    """What becomes of times that came while nobody could act on them: the last one fires, or none."""

    LAST = "last"
    NONE = "none"


KEEP = 30


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When to run: at the times of `cron` in an IANA time zone, when the ref has moved, or both.

    `cron` is five fields, or @daily and its like; `on_push` is how often, in seconds, to look whether
    the ref has moved. `deadline` is after how many seconds a time is given up, `keep` how many runs
    of the schedule are kept.
    """

    cron: str | None = None
    timezone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.LAST
    deadline: float | None = None
    keep: int = KEEP
    on_push: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Where a cluster keeps packages between pods: a claim, or a folder of each node. Exactly one is set."""

    claim: str | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What a project asks of a cluster as a whole. None: nothing said.

    `gateway` is NAME or NAMESPACE/NAME; `prepare_timeout` is how long, in seconds, a pod may take
    to get its packages and files before the module starts.
    """

    namespace: str | None = None
    cache: Cache | None = None
    gateway: str | None = None
    ingress_class: str | None = None
    prepare_timeout: float | None = None


class Occasion(StrEnum):
    """When a webhook is told of a run: it failed, it went well again, or for the first time ever."""

    FAILED = "failed"
    RECOVERED = "recovered"
    FIRST_SUCCESS = "first-success"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Who is told how runs end. The address is `url`, or else the key `key` of secret `secret`."""

    url: str | None = None
    secret: str | None = None
    key: str = "WEBHOOK_URL"
    form: Literal["slack", "json"] = "slack"
    on: tuple[Occasion, ...] = tuple(Occasion)


@dataclass(frozen=True, kw_only=True)
class Project:
    """A whole bodywork.yaml.

    `stages` are those that the workflow names, in the order of the workflow; `steps` are their
    names step by step (for `after:`, the levels of the graph). `unused` are stages of the old
    forms that no workflow names. `resolve` says which state of the package index counts:
    "commit" (as it was when the project last changed its requirements), "latest", or an RFC 3339
    date. `setuptools` is true for the old forms, whose images had it.
    """

    name: str
    object_name: str
    version: Literal["1.0", "1.1", "2"]
    stages: tuple[Stage, ...]
    steps: tuple[tuple[str, ...], ...]
    unused: tuple[str, ...] = ()
    on_failure: Stage | None = None
    schedule: Schedule | None = None
    store: str | None = None
    resolve: str = "commit"
    setuptools: bool = False
    secrets_group: str | None = None
    log_level: str | None = None
    cluster: Cluster = field(default_factory=Cluster)
    notify: tuple[Webhook, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage called `name`. Raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    @property
    def all_stages(self) -> tuple[Stage, ...]:
        """The stages of the workflow and, last, the one of `on_failure`."""
        return self.stages if self.on_failure is None else (*self.stages, self.on_failure)
