"""Where the local target keeps the files of runs and services, below $BODYWORK_HOME."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Folders and files by what they hold. Batch stages are known by their object names."""

    home: Path

    def run(self, run: str) -> Path:
        return self.home / "runs" / run

    def log(self, run: str, stage: str) -> Path:
        """All output of a batch stage in a run, of every attempt."""
        return self.run(run) / "logs" / f"{stage}.log"

    def notebook(self, run: str, stage: str) -> Path:
        """The executed notebook of a stage."""
        return self.run(run) / "notebooks" / f"{stage}.ipynb"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def services(self) -> Path:
        """Folders of pipelines, with folders of stages, with folders of releases by their runs."""
        return self.home / "services"

    def work(self, run: str, stage: str | None = None) -> Path:
        """A batch stage's working copy, inputs and outputs, there only while the run lasts."""
        folder = self.run(run) / "work"
        return folder / stage if stage else folder

    def unsent(self, run: str, stage: str) -> Path:
        """What a batch stage has made and its store has not taken; stays when the run has ended."""
        return self.run(run) / "unsent" / stage

    def service(self, pipeline: str, stage: str | None = None, release: str | None = None) -> Path:
        """What one release of a service needs to run, and its log files."""
        folder = self.home / "services" / pipeline
        if stage is not None:
            folder /= stage
        return folder / release if stage is not None and release is not None else folder
