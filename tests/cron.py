"""What the CronJob controller of a cluster does, done by the test: then it is known when."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo


def job_of(owner: dict[str, Any], due: datetime) -> dict[str, Any]:
    """The Job of a time (k8s.io/kubernetes, pkg/controller/cronjob/utils.go)."""
    template, metadata = owner["spec"]["jobTemplate"], owner["metadata"]
    at = due.astimezone(ZoneInfo(owner["spec"]["timeZone"])).isoformat()
    reference = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{metadata['name']}-{int(due.timestamp()) // 60}",
            "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": at},
            "ownerReferences": [
                {**reference, "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}
            ],
        },
        "spec": template["spec"],
    }
