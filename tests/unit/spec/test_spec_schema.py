"""The JSON Schema that editors get."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bodywork.spec.schema import json_schema


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from schema["properties"].items()
    for definition in schema["$defs"].values():
        yield from definition["properties"].items()


def test_it_is_json_of_the_2020_12_dialect() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["version", "name", "stages"]


def test_every_key_is_described() -> None:
    for name, schema in properties(json_schema()):
        assert schema["description"].endswith("."), name


def test_unknown_keys_are_refused_everywhere() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert all(definition["additionalProperties"] is False for definition in schema["$defs"].values())


def test_nothing_asks_editors_for_null() -> None:
    assert '"null"' not in json.dumps(json_schema())


def test_references_lead_somewhere_and_patterns_are_patterns() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    for name in re.findall(r'"#/\$defs/(\w+)"', text):
        assert name in schema["$defs"]
    for _, item in properties(schema):
        for example in item.get("examples", ()):
            if "pattern" in item:
                assert re.search(item["pattern"], example)


def test_a_stage_has_the_keys_of_the_reference() -> None:
    stage = json_schema()["$defs"]["StageForm"]["properties"]
    assert list(stage) == [
        *("run", "args", "python", "image", "requirements", "env", "secrets", "resources"),
        *("kubernetes", "outputs", "inputs", "after", "batch", "service"),
    ]
    assert json_schema()["$defs"]["ServiceForm"]["properties"]["startup_timeout"]["default"] == "2m"
