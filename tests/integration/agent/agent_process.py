"""The agent of $BODYWORK_HOME with a store of JSON files; the tests start it as a process of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from pathlib import Path

from bodywork.targets.local.agent import serve
from bodywork.targets.local.pace import Pace


class Files:
    """A store: one file for each service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def services(self) -> list[tuple[str, str, str]]:
        kept = [json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json"))]
        return [(pipeline, stage, document) for pipeline, stage, document in kept]

    def put_service(self, pipeline: str, stage: str, document: str) -> None:
        path = self._folder / f"{pipeline}--{stage}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps([pipeline, stage, document]))
        fresh.replace(path)

    def drop_service(self, pipeline: str, stage: str) -> None:
        (self._folder / f"{pipeline}--{stage}.json").unlink(missing_ok=True)


if __name__ == "__main__":
    home = Path(os.environ["BODYWORK_HOME"])
    pace = Pace()
    if (home / "pace.json").exists():
        pace = dataclasses.replace(pace, **json.loads((home / "pace.json").read_text()))
    asyncio.run(serve(home, Files(home / "store"), pace=pace))
