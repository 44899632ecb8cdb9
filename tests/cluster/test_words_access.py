"""What a user reads when the cluster, or what it is asked as, is not as it should be: with its exit code."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.client.connection import Connection, Request
from bodywork.targets.kubernetes.client.kubeconfig import access
from bodywork.targets.kubernetes.kinds import NAMESPACE, SERVICE_ACCOUNT, STORAGE_CLASS
from bodywork.targets.kubernetes.manifests.controller import rules
from bodywork.targets.kubernetes.store.store import DEFAULT_CLASS, is_default
from ground import Ground
from tool import Answer, Tool

pytestmark = pytest.mark.cluster

YAML = "stages:\n  one: {run: one.py}\n"
MODULE = {"one.py": "print('hello')\n"}


def told(answer: Answer, code: int, *said: str) -> None:
    """Exit code, an error and a hint; nothing on stdout."""
    assert answer.code == code, answer
    for sentence in said:
        assert sentence in answer.err, answer.err
    for word in ("Traceback", "httpx2.", "object at 0x", "a bug in bodywork"):
        assert word not in answer.err, answer.err
    assert "\nhint: " in answer.err and "error: " in answer.err


@dataclass
class Kubeconfigs:
    """Kubeconfigs beside the one of the tests, with one thing changed."""

    ground: Ground

    def tool(self, change: Callable[[dict[str, Any]], None]) -> Tool:
        document = yaml.safe_load(Path(self.ground.environment["KUBECONFIG"]).read_text())
        named = {one["name"]: one["context"] for one in document["contexts"]}
        current = named[document["current-context"]]
        parts = {
            "document": document,
            "cluster": next(c["cluster"] for c in document["clusters"] if c["name"] == current["cluster"]),
            "user": next(u["user"] for u in document["users"] if u["name"] == current["user"]),
        }
        change(parts)
        path = self.ground.folder / f"kubeconfig-{uuid.uuid4().hex[:6]}"
        path.write_text(yaml.safe_dump(document))
        return self.ground.another_tool("home", kubeconfig=path)

    def with_token(self, token: str) -> Tool:
        def change(parts: dict[str, Any]) -> None:
            parts["user"].clear()
            parts["user"]["token"] = token

        return self.tool(change)


@pytest.fixture
def kubeconfigs(ground: Ground) -> Kubeconfigs:
    ground.commit(YAML, MODULE)
    return Kubeconfigs(ground)


@pytest.fixture
def here(ground: Ground) -> str:
    return str(ground.repository.path)


def test_a_cluster_that_does_not_answer(kubeconfigs: Kubeconfigs, here: str) -> None:
    def nowhere(parts: dict[str, Any]) -> None:
        parts["cluster"]["server"] = "https://127.0.0.1:1"

    tool = kubeconfigs.tool(nowhere)
    for command in (["deploy", here], ["status"], ["status", "-o", "json"]):
        began = time.monotonic()
        answer = tool(*command)
        assert time.monotonic() - began < 60
        told(answer, 4, "at 127.0.0.1:1 does not answer: connection refused", "cluster-info")
        assert answer.out == ""
    found = tool("doctor")
    assert found.code == 2 and "does not answer" in found.out


def test_credentials_that_the_cluster_does_not_take(kubeconfigs: Kubeconfigs, here: str) -> None:
    tool = kubeconfigs.with_token("eyJhbGciOiJSUzI1NiJ9.e30.expired")
    for command in (["plan", here], ["deploy", here], ["runs"], ["logs", "x"], ["secret", "list"]):
        answer = tool(*command)
        told(
            answer, 4, "does not accept the credentials of user", "its token may have expired: get a new one"
        )
        assert "e30.expired" not in answer.err
    assert "may have expired" in tool("doctor").out


def test_a_context_that_is_not_there(ground: Ground, kubeconfigs: Kubeconfigs, here: str) -> None:
    def named(parts: dict[str, Any]) -> None:
        document = parts["document"]
        document["contexts"][0]["name"] = document["current-context"] = "production"

    answer = kubeconfigs.tool(named)("deploy", here, "--target", "kubernetes:prodction")
    told(answer, 2, "there is no context `prodction`", 'did you mean "production"?')
    answer = ground.tool("status", "--target", "kubernets")
    told(answer, 2, "there is no target 'kubernets'", "targets are: local, kubernetes, kubernetes:CONTEXT")


def test_no_kubeconfig(ground: Ground, here: str) -> None:
    ground.commit(YAML, MODULE)
    tool = ground.another_tool("home", kubeconfig=ground.folder / "not-there")
    for command in (["deploy", here], ["status"]):
        told(tool(*command), 2, "there is no cluster to use: no kubeconfig", "set KUBECONFIG")


def test_options_that_do_not_go_together(ground: Ground, here: str) -> None:
    ground.commit(YAML, MODULE)
    began = time.monotonic()
    told(
        ground.tool("deploy", here, "--pass-env", "HOME"),
        2,
        "--pass-env HOME: stages in a cluster see nothing of this machine",
        "env: for plain values, secrets: for others",
    )
    assert time.monotonic() - began < 20
    told(ground.tool("deploy", here, "--detach", "--target", "local"), 2, "--detach")
    told(
        ground.tool("deploy", here, "--namespace", "Not_One"),
        2,
        '"Not_One" cannot be the name of a namespace',
    )
    told(ground.tool("deploy", here, "--image", "a b"), 2, '"a b" is not the name of an image')
    assert ground.ask(lambda api: api.get(NAMESPACE, ground.name)) is None


def test_git_that_cannot_be_reached(ground: Ground) -> None:
    for repository, why in (
        ("https://127.0.0.1:1/team/iris.git", "127.0.0.1"),
        ("git@127.0.0.1:team/iris.git", "127.0.0.1"),
    ):
        told(ground.tool("deploy", repository), 4, why)


@pytest.mark.network
def test_a_package_that_does_not_exist(ground: Ground, here: str) -> None:
    ground.commit("stages:\n  one: {run: one.py, requirements: [bodywork-no-such-package==1.0]}\n", MODULE)
    for command in ("plan", "deploy"):
        told(ground.tool(command, here), 2, "bodywork-no-such-package")
    assert ground.newest_run() == ""


def test_without_the_packages_for_clusters(tmp_path: Path, ground: Ground, here: str) -> None:
    """An installation without the extra: its Python sees all packages but those."""
    ground.commit(YAML, MODULE)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import sys\nfor name in ('httpx2', 'obstore'):\n    sys.modules[name] = None\n"
    )
    tool = ground.another_tool("home")
    tool.extra["PYTHONPATH"] = str(blocked)
    for command in (["deploy", here], ["status"], ["doctor"], ["secret", "list"]):
        told(
            tool(*command),
            2,
            "the target kubernetes needs a package that is not installed: httpx2",
            "install it: pip install 'bodywork[kubernetes]'",
        )
    assert tool("validate", here).code == 0


@dataclass
class Account:
    """A service account of a namespace that somebody else has made; `tool` asks as this account."""

    ground: Ground
    kubeconfigs: Kubeconfigs

    def make(self, allowed: list[dict[str, Any]]) -> Tool:
        name, group = {"name": "dev", "namespace": self.ground.name}, "rbac.authorization.k8s.io"
        role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": name, "rules": allowed}
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "dev"},
            "subjects": [{"kind": "ServiceAccount", **name}],
        }

        async def make(api: Api) -> None:
            await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.ground.name}})
            for one in ({"apiVersion": "v1", "kind": SERVICE_ACCOUNT.kind, "metadata": name}, role, binding):
                await api.apply(one)

        self.ground.ask(make)
        return self.kubeconfigs.with_token(self._token())

    def _token(self) -> str:
        spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

        async def ask() -> str:
            environment = self.ground.environment
            connection = Connection(access(environment, None), environment)
            try:
                path = f"{SERVICE_ACCOUNT.path(self.ground.name, 'dev')}/token"
                body = json.dumps(spec).encode()
                answer = await connection.send(Request(method="POST", path=path, params={}, content=body))
                return str(json.loads(answer.content)["status"]["token"])
            finally:
                await connection.close()

        return asyncio.run(ask())


@pytest.fixture
def account(ground: Ground, kubeconfigs: Kubeconfigs) -> Account:
    return Account(ground, kubeconfigs)


def test_an_account_that_may_do_nothing(ground: Ground, account: Account, here: str) -> None:
    tool = account.make([])
    who = f"`system:serviceaccount:{ground.name}:dev` may not"
    for command in (["deploy", here], ["plan", here], ["status", "--namespace", ground.name]):
        told(tool(*command), 2, who, f"in namespace {ground.name}", "bodywork doctor --target kubernetes")
    found = tool("doctor", "--namespace", ground.name)
    assert found.code == 2
    assert "create jobs" in found.out and "Role" in found.out
    listed = tool("doctor", "--namespace", ground.name, "-o", "json").json
    assert [one["state"] for one in listed if one["name"] == "rights"] == ["missing"]


def test_an_account_of_one_namespace(ground: Ground, account: Account, here: str) -> None:
    """What the controller's Role allows is all that a person needs who deploys into a namespace."""
    tool = account.make(rules())
    found = tool("doctor", "--namespace", ground.name)
    assert found.code == 0, found
    answer = tool("deploy", here, "--namespace", ground.name, timeout=240)
    assert answer.code == 0, answer
    assert "one | hello" in answer.out
    tool.good("status", ground.name, "--namespace", ground.name)
    assert "hello" in tool.good("logs", ground.name, "--namespace", ground.name).out
    told(tool("status"), 2, "may not list configmaps in the whole cluster", "--namespace")
    tool.good("delete", ground.name, "--namespace", ground.name, "--yes")


def test_a_namespace_that_may_not_be_made(ground: Ground, account: Account, here: str) -> None:
    tool = account.make(rules())
    answer = tool("deploy", here, "--namespace", f"{ground.name}-other")
    told(answer, 2, f"{ground.name}-other", "may not")


@pytest.mark.alone
def test_a_cluster_without_a_default_storage_class(ground: Ground, here: str) -> None:
    """`plan` says so, and `deploy` does not begin; both are about artifacts alone."""
    maker = "import os\nopen(os.environ['BODYWORK_OUTPUT_MODEL'], 'w').write('it')\n"
    ground.commit("stages:\n  one: {run: one.py, outputs: {model: m.txt}}\n", {"one.py": maker})
    classes = ground.ask(lambda api: api.list(STORAGE_CLASS))
    names = [one["metadata"]["name"] for one in classes if is_default(one)]
    if not names:
        pytest.skip("this cluster has no default storage class anyway")

    def mark(value: str) -> None:
        for name in names:
            change = {"metadata": {"annotations": dict.fromkeys(DEFAULT_CLASS, value)}}
            ground.ask(lambda api, name=name, change=change: api.patch(STORAGE_CLASS, name, None, change))

    mark("false")
    try:
        why = "the cluster has no default storage class, on which bodywork could start a store"
        planned, deployed = ground.tool("plan", here), ground.tool("deploy", here)
        doctor = ground.tool("doctor")
    finally:
        mark("true")
    assert planned.code == 0 and why in planned.err and "store: s3://" in planned.err
    assert deployed.code == 2 and why in deployed.err
    assert "no default storage class" in doctor.out
    assert ground.newest_run() == ""
