"""JSON Schema of the native form, for editors and for the reference docs."""

from __future__ import annotations

from typing import Any

from bodywork.spec.names import LONGEST, STAGE
from bodywork.spec.v2 import ProjectForm

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a `version: "2"` file; every key has its description."""
    schema: dict[str, Any] = _tidy(ProjectForm.model_json_schema())
    stages = schema["properties"]["stages"]
    stages["propertyNames"] = {"pattern": f"^{STAGE.pattern}$", "maxLength": LONGEST}
    stages["minProperties"] = 1
    return {"$schema": DIALECT, "title": "bodywork.yaml", **schema}


def _tidy(value: Any, *, names: bool = False) -> Any:
    """Without titles, and without the nulls that stand for "not given".

    `names`: the keys of `value` are those of a user's file, not of the schema.
    """
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: _tidy(below, names=key in ("properties", "$defs") and not names)
        for key, below in value.items()
        if names or not (key == "title" or (key == "default" and below is None))
    }
    branches = kept.get("anyOf")
    if not names and isinstance(branches, list) and {"type": "null"} in branches:
        rest = [branch for branch in branches if branch != {"type": "null"}]
        del kept["anyOf"]
        kept = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **kept}
    return kept
