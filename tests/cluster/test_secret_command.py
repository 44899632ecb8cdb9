"""`bodywork secret --target kubernetes`: what it takes, refuses and leaves in the namespace."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bodywork.targets.kubernetes.kinds import NAMESPACE, SECRET
from ground import Ground

pytestmark = pytest.mark.cluster

VALUE = "s3cr3t/tok+n for you"


def secret(ground: Ground, name: str) -> dict[str, str]:
    found = ground.ask(lambda api: api.get(SECRET, name, ground.name))
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def test_keys_groups_and_files(ground: Ground, tmp_path: Path) -> None:
    tool, there = ground.tool, ["--namespace", ground.name]
    first = tool.told("secret", "set", "db", "PASSWORD", *there, text=f"{VALUE}\n")
    assert (first.code, first.out) == (0, "set db/PASSWORD\n")
    assert f"namespace {ground.name} was made" in first.err
    made = ground.ask(lambda api: api.get(NAMESPACE, ground.name))
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    file = tmp_path / "more.env"
    file.write_text("USER=me\nPASSWORD=new\n")
    done = tool.good("secret", "set", "db", "--from-env-file", str(file), *there)
    assert done.out == "set db/USER\nchanged db/PASSWORD\n"
    tool.told("secret", "set", "db", "PASSWORD", "--group", "dev", *there, text="other")
    assert secret(ground, "db") == {"PASSWORD": "new", "USER": "me"}
    assert secret(ground, "dev-db") == {"PASSWORD": "other"}
    listed = tool.good("secret", "list", *there, "-o", "json").json
    assert [(one["namespace"], one["name"], one["group"], len(one["keys"])) for one in listed] == [
        (ground.name, "db", None, 2),
        (ground.name, "db", "dev", 1),
    ]
    tool.good("secret", "delete", "db", "USER", "--yes", *there)
    assert secret(ground, "db") == {"PASSWORD": "new"}
    tool.good("secret", "delete", "db", "--yes", *there)
    assert ground.ask(lambda api: api.get(SECRET, "db", ground.name)) is None
    assert "there is no secret db in namespace" in tool("secret", "delete", "db", "--yes", *there).err


def test_what_it_refuses(ground: Ground) -> None:
    tool, there = ground.tool, ["--namespace", ground.name]
    assert tool.told("secret", "set", "mine", "KEY", *there, text=VALUE).code == 0
    metadata = {"name": "theirs", "namespace": ground.name}
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"KEY": "untouched"}}
    ground.ask(lambda api: api.create(other))
    for words in (["set", "theirs", "KEY"], ["delete", "theirs", "--yes"]):
        answer = tool.told("secret", *words, *there, text=VALUE)
        assert answer.code == 2 and "Secret theirs in namespace" in answer.err
        assert "was not made by `bodywork secret set`" in answer.err
    assert secret(ground, "theirs") == {"KEY": "untouched"}
    answer = tool.told("secret", "set", "mine", f"KEY={VALUE}", *there, text="")
    assert answer.code == 2 and VALUE not in answer.err
    answer = tool.told("secret", "set", "Mine_2", "KEY", *there, text=VALUE)
    assert answer.code == 2 and "cannot be the name of a Secret in a cluster" in answer.err
    answer = tool.told("secret", "set", "mine", "KEY", text=VALUE)
    assert answer.code == 2 and "name it" in answer.err and "--namespace NAME" in answer.err
