"""docs/reference/bodywork-yaml.md, from the JSON Schema of the native form and the forms of 2021-22."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from bodywork.spec.schema import json_schema
from bodywork.spec.v1 import OldBatch, OldHead, OldProject, OldService, OldStage
from pages.markdown import GENERATED, code, table

INTRODUCTION = """
# bodywork.yaml

One file, in the root of the repository or in a folder of it: `bodywork deploy FOLDER`, or
`bodywork deploy URL --file FOLDER/bodywork.yaml`. All paths in it are relative to its own folder.
`bodywork validate` shows every error at once, with line and column; `bodywork schema` prints the JSON Schema
of this page for editors. A stage's module runs in the module's own folder, with the project's folder first
on `PYTHONPATH`.

```yaml
version: "2"
name: flowers
python: "3.12"
workflow: train >> serve

stages:
  train:
    run: train.py
    requirements: [scikit-learn==1.7.2]
    outputs: {model: model.joblib}
    batch: {timeout: 10m, retries: 1}

  serve:
    run: serve.py
    requirements: requirements.txt
    inputs: {model: train.model}
    service: {port: 5000, replicas: 2, health: /health}
```

Unknown keys, duplicate keys and values of another type are errors. Versions need quotes: YAML reads `3.10`
as the number 3.1. `image`, `route`, `autoscale`, `resources` and `kubernetes` are
checked, and have no effect on the target `local`.
"""

SECTIONS = {
    "StageForm": "A stage: `stages.NAME`",
    "BatchForm": "`stages.NAME.batch`",
    "ServiceForm": "`stages.NAME.service`",
    "ResourcesForm": "`stages.NAME.resources`",
    "AutoscaleForm": "`stages.NAME.service.autoscale`",
    "ScheduleForm": "`schedule`",
    "WebhookForm": "`notify`",
    "KubernetesForm": "`kubernetes`",
    "PlacementForm": "`stages.NAME.kubernetes`",
    "TolerationForm": "`kubernetes.tolerations`",
    "CacheForm": "`kubernetes.cache`",
}

OLD = """
## Versions "1.0" and "1.1"

Projects of 2021-22 run unchanged. What their tool took is taken: text for numbers, one value for a list
of one; unknown keys are warnings. `bodywork init` writes the native form only.
"""

OLD_KEYS: dict[str, str] = {
    "project, pipeline": "The head of the file, under either name.",
    "project.name": "`name`. Capitals, `_` and dots are allowed.",
    "project.docker_image": "`bodywork-core:3.*` and `latest` mean Python 3.9, `2.*` Python 3.8, both with "
    "the setuptools of their time. Any other image counts on Kubernetes only; here it means Python 3.9, and "
    "`python:3.10-slim` Python 3.10.",
    "project.DAG": "`workflow`. Stages that it does not name are not run.",
    "project.workflow": "The same, under its other name.",
    "project.usage_stats": "Read and ignored.",
    "project.run_on_failure": "`on_failure`. The stage also gets `EXCEPTION_MESSAGE`.",
    "project.secrets_group": "Secrets are looked for in the folder of this name.",
    "stages.NAME.executable_module_path": "`run`.",
    "stages.NAME.executable_module": "The same, under its older name.",
    "stages.NAME.args": "`args`.",
    "stages.NAME.requirements": "`requirements`, as a list.",
    "stages.NAME.cpu_request": "`resources.cpu`.",
    "stages.NAME.memory_request_mb": "`resources.memory`, in units of 10^6 bytes.",
    "stages.NAME.gpu_request": "`resources.gpu`.",
    "stages.NAME.batch.max_completion_time_seconds": "`batch.timeout`.",
    "stages.NAME.batch.retries": "`batch.retries`.",
    "stages.NAME.service.port": "`service.port`.",
    "stages.NAME.service.max_startup_time_seconds": "`service.startup_timeout`.",
    "stages.NAME.service.replicas": "`service.replicas`.",
    "stages.NAME.service.ingress": "`service.route` at `/PIPELINE/STAGE`; which the module does not see.",
    "stages.NAME.secrets": "`secrets`.",
    "stages.NAME.env": "`env`.",
    "logging.log_level": "Read and kept; it is part of what makes a service new.",
}


def page() -> str:
    schema = json_schema()
    parts = [GENERATED, INTRODUCTION, "\n## The file\n\n", keys(schema)]
    for name, title in SECTIONS.items():
        form = schema["$defs"][name]
        parts.append(f"\n## {title}\n\n{form['description']}\n\n{keys(form)}")
    unknown = set(schema["$defs"]) - set(SECTIONS)
    assert not unknown, f"say where {unknown} belongs in SECTIONS"
    parts.append(f"{OLD}\n{table(['key', 'meaning'], old_rows())}")
    return "".join(parts)


def keys(form: dict[str, Any]) -> str:
    required = form.get("required", [])
    rows = []
    for name, value in form["properties"].items():
        default = "required" if name in required else shown_default(value)
        rows.append([code(name), kind(value), default, value.get("description", "")])
    return table(["key", "value", "default", "meaning"], rows)


def shown_default(value: dict[str, Any]) -> str:
    return code(value["default"]) if "default" in value else ""


def kind(value: dict[str, Any]) -> str:
    """What may be written, in words."""
    if "$ref" in value:
        return f"[mapping](#{anchor(SECTIONS[value['$ref'].rpartition('/')[2]])})"
    if "anyOf" in value or "oneOf" in value:
        return " or ".join(kind(one) for one in value.get("anyOf") or value["oneOf"])
    if "enum" in value:
        return " or ".join(code(word) for word in value["enum"])
    if "const" in value:
        return code(f'"{value["const"]}"')
    if value.get("type") == "array":
        return f"list of {kind(value['items'])}"
    if value.get("type") == "object":
        return f"mapping of names to {kind(value['additionalProperties'])}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    text = " or ".join(words[one] for one in types)
    if "minimum" in value and "maximum" in value:
        text += f", {value['minimum']} to {value['maximum']}"
    if examples := value.get("examples"):
        text += ", like " + ", ".join(map(code, examples))
    return text


def anchor(title: str) -> str:
    """The link target that a heading gets, as code hosts make it."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def old_rows() -> Iterator[list[str]]:
    """A row for each key of the old forms; a key without words here is an error."""
    forms: dict[str, type[BaseModel]] = {
        "project.": OldHead,
        "stages.NAME.": OldStage,
        "stages.NAME.batch.": OldBatch,
        "stages.NAME.service.": OldService,
    }
    found = {prefix + name for prefix, form in forms.items() for name in form.model_fields}
    found -= {"stages.NAME.batch", "stages.NAME.service"}
    listed = {key for key in OLD_KEYS if key not in ("project, pipeline", "logging.log_level")}
    assert found == listed, f"OLD_KEYS differs from the code: {found ^ listed}"
    assert set(OldProject.model_fields) == {"version", "project", "pipeline", "stages", "logging"}
    for name, words in OLD_KEYS.items():
        yield [", ".join(code(one) for one in name.split(", ")), words]
