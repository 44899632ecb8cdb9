"""The documents of `bodywork artifacts` and `bodywork prune`, for docs/reference/json.md."""

from __future__ import annotations

from typing import Any

from bodywork.app.artifacts import Artifact
from bodywork.app.freed import Freed, Part
from bodywork.run.ledger import RunRecord

WORDS = {
    "artifacts": {
        "run": "The run that made it.",
        "stage": "The stage that made it.",
        "output": "The output's name.",
        "digest": "`file:` or `folder:`, and the SHA-256 of its content.",
        "made": "When its stage succeeded.",
        "size": "In bytes, of a folder as it is packed; `null` when not known.",
        "gone": "Whether its store has it no more.",
        "readers": "Stages that were started with it: `STAGE` of the same run, or `RUN/STAGE`.",
        "serves": "Services that read it now.",
    },
    "prune": {
        "runs": "Those that are forgotten, or would be.",
        "runs[].run": "The run's id.",
        "runs[].pipeline": "Its pipeline.",
        "freed": "What goes besides their records, by kind.",
        "freed[].what": "`artifacts`, `logs`, `environments` or `files of commits`.",
        "freed[].count": "How many.",
        "freed[].bytes": "What they take.",
        "bytes": "All of it.",
        "left": "What was left alone and why, in sentences.",
    },
}
TITLES = {"artifacts": "artifacts", "prune": "prune"}
NOTES = {
    "artifacts": "A list, newest first.",
    "prune": "An object; with `--dry-run`, of what would go.",
}


def samples(record: RunRecord, digest: str) -> dict[str, Any]:
    model = Artifact(
        run=record.run,
        stage="train",
        output="model",
        digest=digest,
        made=record.started + 8,
        size=21846,
        readers=("serve",),
        serves=("serve",),
    )
    parts = (Part(what="logs", count=1, size=4096), Part(what="artifacts", count=1, size=21846))
    freed = Freed(runs=(record,), parts=parts, left=())
    return {"artifacts": [model.document()], "prune": freed.document()}
