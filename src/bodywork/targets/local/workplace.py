"""What a stage of a run gets to work with on this machine: folders, command and variables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bodywork.artifacts.base import Store
from bodywork.run.plan import Plan
from bodywork.spec.model import Input, Kind, Stage
from bodywork.targets.local import variables
from bodywork.targets.local.places import Places
from bodywork.targets.local.trees import copy_tree

HOOK = Path(__file__).resolve().parents[2] / "stage" / "hook.py"
NOTEBOOK = HOOK.with_name("notebook.py")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the local target needs to know of its surroundings.

    `ours` is our own environment, `pass_env` the names of it that stages see on top of the usual
    ones, `parallel` how many batch stages may run at once.
    """

    places: Places
    ours: Mapping[str, str]
    pass_env: frozenset[str] = frozenset()
    parallel: int = max(16, 4 * (os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """The place of one stage; there is one for each stage of a run."""

    settings: Settings
    plan: Plan
    stage: Stage

    @property
    def folder(self) -> Path:
        """The folder with all that the stage works on: `project`, `inputs`, `outputs`."""
        places = self.settings.places
        if self.stage.kind is Kind.SERVICE:
            return places.service(self.plan.pipeline, self.stage.name, self.plan.run)
        return places.work(self.plan.run, self.stage.object_name)

    @property
    def project(self) -> Path:
        """The stage's own copy of the project's files."""
        return self.folder / "project"

    @property
    def outputs(self) -> Path:
        """Where it writes what it declares."""
        return self.folder / "outputs"

    @property
    def log(self) -> Path:
        """The file with all that a batch stage prints."""
        return self.settings.places.log(self.plan.run, self.stage.object_name)

    @property
    def notebook(self) -> Path | None:
        """Where the executed notebook is kept; None for a module."""
        if not self.stage.run.endswith(".ipynb"):
            return None
        return self.settings.places.notebook(self.plan.run, self.stage.object_name)

    def copy(self, tree: Path) -> None:
        """Make the stage's own copy out of the files of the commit."""
        copy_tree(tree / self.plan.source.folder, self.project)

    def bring(self, store: Store, inputs: Mapping[str, str]) -> None:
        """Copy the stage's inputs out of the store; what an earlier attempt had is gone."""
        shutil.rmtree(self.folder / "inputs", ignore_errors=True)
        for artifact in self.stage.inputs:
            store.get(inputs[artifact.name], self._input(artifact))

    def make_room(self) -> None:
        """Empty folders for what the stage will write; what an earlier attempt wrote is gone."""
        shutil.rmtree(self.outputs, ignore_errors=True)
        for output in self.stage.outputs:
            (self.outputs / output.file).parent.mkdir(parents=True, exist_ok=True)
        if self.notebook is not None:
            self.notebook.parent.mkdir(parents=True, exist_ok=True)

    def command(self, python: Path) -> tuple[str, ...]:
        """The stage's module in its environment, to be run in the module's own folder."""
        module = PurePosixPath(self.stage.run).name
        if self.notebook is not None:
            return (str(python), str(NOTEBOOK), module, "--save", str(self.notebook), *self.stage.args)
        return (str(python), module, *self.stage.args)

    def variables(self, python: Path, *, target: str, hosts: Path) -> dict[str, str]:
        """The stage's whole environment but for its secrets. `hosts` is the pipeline's hosts file."""
        given = variables.inherited(self.settings.ours, self.settings.pass_env)
        given |= variables.for_python(python, self.project)
        given = variables.with_first_on_path(given, python.parent)
        names = [name for other in self.plan.project.stages for name in other.host_names]
        given = variables.without_proxy(given, names)
        given |= {
            "BODYWORK_PIPELINE": self.plan.pipeline,
            "BODYWORK_RUN": self.plan.run,
            "BODYWORK_STAGE": self.stage.name,
            "BODYWORK_COMMIT": self.plan.source.commit,
            "BODYWORK_TARGET": target,
            "GIT_COMMIT_HASH": self.plan.source.commit,
            "BODYWORK_HOOK": str(HOOK),
            "BODYWORK_HOSTS_FILE": str(hosts),
            "EVENTLET_NO_GREENDNS": "yes",  # its own resolver knows no siblings
        }
        if self.plan.date is not None:
            given["BODYWORK_DATE"] = self.plan.date
        if self.stage.secrets:
            given["BODYWORK_SECRETS"] = ",".join(secret.variable for secret in self.stage.secrets)
        for output in self.stage.outputs:
            name = variables.artifact_variable("OUTPUT", output.name)
            given[name] = str(self.outputs / output.file)
        for artifact in self.stage.inputs:
            given[variables.artifact_variable("INPUT", artifact.name)] = str(self._input(artifact))
        return given | dict(self.stage.env)

    def _input(self, artifact: Input) -> Path:
        """Where the stage finds an input; it keeps the file name of the output, for its suffix."""
        name = artifact.output
        with suppress(KeyError):
            for declared in self.plan.project.stage(artifact.stage).outputs:
                if declared.name == artifact.output:
                    name = PurePosixPath(declared.file).name
        return self.folder / "inputs" / artifact.name / name
