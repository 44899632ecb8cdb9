"""What makes a service the one that already runs: its files, its packages and its settings.

Each is a digest of its own, so that a plan can say which of them has changed. Digests are SHA-256
over canonical JSON (sorted keys, no blanks); settings that say nothing are left out, so that one
that bodywork learns later changes no digest. What is not in them (schedule, store, other stages)
never makes a service new. Digests of inputs come on top and are compared on their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from bodywork.spec.model import Kind, Placement, Project, Stage

WORDS = {"files": "the commit's files", "packages": "its packages", "settings": "its settings"}
"""The parts, in the order in which a reason names them."""


def parts_of(stage: Stage, project: Project, files: str, environment: str) -> dict[str, str]:
    """Digests of what a stage is made of; `files` and `environment` are those of commit and lock."""
    return {
        "files": digest(files),
        "packages": digest([environment, stage.python, stage.image]),
        "settings": digest(_settings(stage, project)),
    }


def fingerprint(parts: Mapping[str, str]) -> str:
    """One digest for all parts."""
    return digest(dict(parts))


def difference(new: Mapping[str, str], old: Mapping[str, str]) -> str:
    """Which parts differ, in words: `its packages and its settings changed`."""
    changed = [words for part, words in WORDS.items() if new.get(part) != old.get(part)]
    if not changed or not old:
        return "its files, packages or settings changed"
    *first, last = changed
    return f"{', '.join(first)} and {last} changed" if first else f"{last} changed"


def digest(value: object) -> str:
    """SHA-256 of canonical JSON, in hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _settings(stage: Stage, project: Project) -> dict[str, object]:
    settings = {
        "run": stage.run,
        "args": stage.args,
        "env": dict(stage.env),
        "secrets": sorted((secret.variable, secret.secret) for secret in stage.secrets),
        "secrets_group": project.secrets_group,
        "log_level": project.log_level,
        "resources": _said(asdict(stage.resources)),
        "placement": _placement(stage.placement),
        "does": _said(asdict(stage.does)),
        "published": _published(stage, project),
        "kind": stage.kind,
        "host_names": sorted(stage.host_names),
        "inputs": sorted((i.name, i.stage, i.output) for i in stage.inputs),
        "outputs": sorted((o.name, o.file) for o in stage.outputs),
    }
    return _said(settings)


def _published(stage: Stage, project: Project) -> list[str | None]:
    """By what a service with a route is reached from outside of a cluster."""
    by = [project.cluster.gateway, project.cluster.ingress_class]
    return by if stage.kind is Kind.SERVICE and stage.service.route and any(by) else []


def _placement(placement: Placement) -> dict[str, object]:
    settings = {
        **vars(placement),
        "node_selector": dict(placement.node_selector),
        "annotations": dict(placement.annotations),
        "tolerations": [_said(asdict(toleration)) for toleration in placement.tolerations],
    }
    return _said(settings)


def _said(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value not in (None, [], (), {})}
