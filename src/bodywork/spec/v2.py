"""The native form, `version: "2"`, as it is written: its keys, their types and their documentation.

The descriptions here are the reference: JSON Schema and the docs are made from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bodywork.spec.form import Form
from bodywork.spec.model import KEEP
from bodywork.spec.v2_kubernetes import KubernetesForm, PlacementForm
from bodywork.spec.v2_notify import Webhooks
from bodywork.spec.values import (
    Argument,
    Artifact,
    ArtifactFile,
    ArtifactSource,
    Cpu,
    Cron,
    Duration,
    Image,
    Memory,
    Name,
    Packages,
    Port,
    PushInterval,
    Python,
    Resolve,
    SecretName,
    Store,
    TimeZone,
    UrlPath,
    Variable,
)


def _empty(value: Any) -> Any:
    """`batch:` with nothing after it means a batch stage with the defaults."""
    return {} if value is None else value


class ScheduleForm(Form):
    """When `bodywork schedule` runs the workflow."""

    cron: Cron | None = Field(
        None,
        description="Five cron fields (minute, hour, day of month, month, weekday), or @daily and its like.",
    )
    timezone: TimeZone = Field("UTC", description="The IANA time zone in which the fields are meant.")
    overlap: Literal["skip", "replace"] = Field(
        "skip",
        description="What happens at a time while a run of the pipeline is in progress: the time is skipped, "
        "or that run is cancelled and replaced by a new one.",
    )
    missed: Literal["last", "none"] = Field(
        "last",
        description="What becomes of times that came while the machine was off: the last one fires late, "
        "or none does.",
    )
    deadline: Duration | None = Field(
        None, description="After how long a time that could not fire is given up. Without it: never."
    )
    keep: Annotated[int, Field(ge=1, le=10_000)] = Field(
        KEEP,
        description="How many runs of the schedule are kept with their logs. What a release that serves, or "
        "that `rollback` goes back to, needs is kept in any case.",
    )
    on_push: PushInterval | None = Field(
        None,
        description="Look this often whether the branch has moved, and run the workflow when it has; instead "
        "of `cron`, or besides.",
    )


class BatchForm(Form):
    """Makes the stage a batch stage: it runs to its end."""

    timeout: Duration | None = Field(
        None,
        description="How long the module may run before it is ended. Preparing its packages does not "
        "count. Without it there is no limit.",
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="How many more times the module is started after it has failed."
    )


class AutoscaleForm(Form):
    """Lets a cluster start more replicas while there is much to do; `replicas` is the least there are."""

    max: Annotated[int, Field(ge=1, le=1000)] = Field(description="The most replicas there may be.")
    cpu: Annotated[int, Field(ge=1, le=1000)] = Field(
        70, description="Percent of the CPU they ask for; replicas are added while they use more."
    )


class ServiceForm(Form):
    """Makes the stage a service stage: it is kept running until the pipeline is deleted."""

    port: Port = Field(description="The port that the module listens on.")
    replicas: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="How many copies of the module run, each getting a share of the connections."
    )
    startup_timeout: Duration = Field(
        120.0,
        description="How long the module may take to become ready. Preparing its packages does not count.",
        json_schema_extra={"default": "2m"},
    )
    health: UrlPath | None = Field(
        None,
        description="An HTTP path that answers below 400 when the module is ready. Without it the module "
        "is ready when it accepts connections.",
    )
    route: UrlPath | None = Field(
        None,
        description="The path under which a gateway in front of a cluster publishes the service. The "
        "module sees it in its requests.",
    )
    autoscale: AutoscaleForm | None = Field(
        None, description="Lets a cluster start more replicas while there is much to do."
    )


class ResourcesForm(Form):
    """What the stage needs of a machine."""

    cpu: Cpu | None = Field(
        None,
        description="Cores: 0.5, 2 or 500m. They are kept free for the stage, which may use more where "
        "there is more. Without it: 100m.",
    )
    memory: Memory | None = Field(
        None,
        description="Memory: 512Mi, 2Gi or 500M. It is kept free for the stage, and a stage that uses more "
        "is ended. Without it 256Mi are kept free, and nothing is a limit but what the namespace sets.",
    )
    gpu: Annotated[int, Field(ge=0, le=1000)] | None = Field(None, description="Number of GPUs.")


class StageForm(Form):
    """One executable module and what it needs."""

    run: str = Field(description="The module: a .py or .ipynb file, relative to the folder of bodywork.yaml.")
    args: list[Argument] | None = Field(None, description="Arguments of the module.")
    python: Python | None = Field(None, description="The Python version of this stage, in quotes.")
    image: Image | None = Field(
        None, description="On Kubernetes: an image with a Python to run in, instead of bodywork's own."
    )
    requirements: Packages | None = Field(
        None,
        description="The packages that the module imports: a list of requirements, or the path of a "
        "requirements.txt, pyproject.toml, uv.lock or pylock.toml. Without it: the standard library.",
    )
    env: dict[Variable, Argument] | None = Field(None, description="Environment variables of the module.")
    secrets: dict[Variable, SecretName] | None = Field(
        None,
        description="Environment variables that come out of secrets: each names the secret that holds "
        "the key of the variable's name.",
    )
    resources: ResourcesForm | None = Field(None, description="What the stage needs of a machine.")
    kubernetes: PlacementForm | None = Field(
        None,
        description="On Kubernetes: where the stage's pods run and as whom. A key here wins over the same "
        "key of the project.",
    )
    outputs: dict[Artifact, ArtifactFile] | None = Field(
        None,
        description="Files that the stage makes for later stages: name and file name. The module writes "
        "output `model` to the path in BODYWORK_OUTPUT_MODEL.",
    )
    inputs: dict[Artifact, ArtifactSource] | None = Field(
        None,
        description="Outputs of earlier stages, as STAGE.OUTPUT. The module finds input `model` at the "
        "path in BODYWORK_INPUT_MODEL.",
    )
    after: list[str] | None = Field(
        None,
        description="The stages that must have succeeded before this one starts; instead of `workflow`.",
    )
    batch: Annotated[BatchForm | None, BeforeValidator(_empty)] = Field(
        None,
        description="Settings of a batch stage. A stage with neither `batch` nor `service` is a batch stage.",
    )
    service: Annotated[ServiceForm | None, BeforeValidator(_empty)] = Field(
        None, description="Settings of a service stage."
    )


class ProjectForm(Form):
    """A project that bodywork deploys from Git."""

    version: Literal["2"] = Field(description='The form of this file: "2", in quotes.')
    name: Name = Field(
        description="The pipeline's name: the project is deployed, listed and deleted under it."
    )
    python: Python = Field("3.12", description="The Python version of all stages, in quotes.")
    image: Image | None = Field(
        None, description="On Kubernetes: the image of all stages, instead of bodywork's own."
    )
    workflow: str | None = Field(
        None,
        description="The order of the stages: `prepare >> train_a, train_b >> serve`. Stages between two "
        "`>>` run at the same time. Not needed for a single stage, or where stages have `after`.",
    )
    on_failure: str | None = Field(
        None,
        description="A batch stage, not in the workflow, that runs when a run has failed. It finds what "
        "happened as JSON in BODYWORK_FAILURE.",
    )
    schedule: ScheduleForm | None = Field(None, description="When `bodywork schedule` runs the workflow.")
    notify: Webhooks | None = Field(
        None, description="Webhooks that are told when a run has failed, and when all is well again."
    )
    store: Store | None = Field(
        None,
        description="Where the outputs of stages are kept: a bucket, or on this machine a folder. Without it "
        "each target has a place of its own.",
    )
    kubernetes: KubernetesForm | None = Field(None, description="What the project asks of a cluster.")
    resolve: Resolve = Field(
        "commit",
        description="Which state of the package index counts: `commit`, as it was when the project last "
        "changed its requirements; `latest`; or a date.",
    )
    stages: dict[str, StageForm] = Field(
        description='The stages by name: lower-case letters, digits, "-" and "_".'
    )


STAND_INS: dict[str, Any] = {
    "version": "2",
    "name": "project",
    "stages": {},
    "run": "module.py",
    "port": 1,
    "max": 1000,
}
"""What checks that come after those of this form see in place of a required value that is wrong."""
