"""Who sees what: stages, init containers, the controller, and what `delete` takes away."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import (
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    EVENT,
    JOB,
    LEASE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)
from bodywork.targets.kubernetes.manifests.controller import RULES
from ground import Ground
from tool import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SHOWN = (
    POD,
    JOB,
    CRON_JOB,
    DEPLOYMENT,
    REPLICA_SET,
    SERVICE,
    CONFIG_MAP,
    EVENT,
    LEASE,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
)
"""Kinds that people may see who may not see Secrets."""

A, B = "s3cr3t/of+A & more", "another=one?of B"
PROJECT = """
workflow: a >> b >> serve
stages:
  a: {run: a.py, secrets: {KEY_A: cloud-a}, outputs: {model: model.txt}}
  b: {run: b.py, secrets: {KEY_B: cloud-b}, inputs: {model: a.model}, outputs: {other: other.txt}}
  serve: {run: serve.py, inputs: {model: a.model}, service: {port: 5000}}
"""
LOOK = """
import json, os, pathlib, ssl, urllib.error, urllib.request

def asked(url, method="GET", data=None, **more):
    try:
        request = urllib.request.Request(url, data, method=method, headers=more.pop("headers", {}))
        with urllib.request.urlopen(request, timeout=10, **more) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code

api = "https://%s:%s" % (os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
anyone = ssl._create_unverified_context()
first = pathlib.Path("/proc/1/environ").read_bytes().split(b"\\0")
launch = json.loads(next(e for e in first if e.startswith(b"BODYWORK_LAUNCH=")).partition(b"=")[2])
signed = [(one["name"], one.get("to") or one.get("origin")) for one in launch["inputs"] + launch["outputs"]]
urls = {name: where["url"] for name, where in signed if where}
places = ["/var/run/secrets", "/credential", os.environ["HOME"]]
print("SEEN " + json.dumps({
    "names": sorted(os.environ) + sorted(e.partition(b"=")[0].decode() for e in first if e),
    "user": os.getuid(),
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "files": sorted(str(p) for place in places for p in pathlib.Path(place).glob("*")),
    "mounts": [line.split()[1] for line in open("/proc/mounts")],
    "api": asked(api + "/api/v1/namespaces/default/secrets", context=anyone),
}), flush=True)
"""
STEAL = """
own = urls["other"]
theirs = own.replace("/b/", "/a/").replace("/other", "/model")
assert theirs != own
print("THEFT " + json.dumps({
    "read own output": asked(own),
    "write theirs": asked(theirs, "PUT", b"x"),
    "read theirs by a changed address": asked(theirs),
    "write the input": asked(urls["model"], "PUT", b"x"),
    "delete the input": asked(urls["model"], "DELETE"),
    "list": asked(urls["model"].partition("?")[0].rsplit("/", 5)[0] + "/?list-type=2"),
}), flush=True)
"""
WRITE = 'open(os.environ["BODYWORK_OUTPUT_%s"], "w").write("it")\n'
SHOW = """
import base64, urllib.parse
value = os.environ["%s"]
for text in (value, base64.b64encode(value.encode()).decode(), urllib.parse.quote(value, safe="")):
    print("shown:", text, flush=True)
"""
SERVE = (
    LOOK
    + """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("", 5000), Handler).serve_forever()
"""
)


def commit(ground: Ground) -> None:
    a = LOOK + SHOW % "KEY_A" + WRITE % "MODEL"
    b = LOOK + SHOW % "KEY_B" + STEAL + WRITE % "OTHER"
    ground.commit(PROJECT, {"a.py": a, "b.py": b, "serve.py": SERVE})
    for name, key, value in (("cloud-a", "KEY_A", A), ("cloud-b", "KEY_B", B)):
        words = ["secret", "set", name, key, "--namespace", ground.name]
        assert ground.tool.told(*words, text=value).code == 0


def seen(output: str, stage: str, word: str = "SEEN") -> Any:
    lines = (line.partition(f"{stage} | {word} ") for line in output.splitlines())
    return json.loads(next(rest for _, found, rest in lines if found))


def texts(ground: Ground, kinds: tuple[Kind, ...] = SHOWN) -> str:
    """All objects of the namespace, with what is packed in them."""

    async def listed(api: Api) -> list[list[Object]]:
        return await asyncio.gather(*(api.list(kind, ground.name) for kind in kinds))

    return json.dumps(ground.ask(listed)) + "".join(map(repr, ground.events()))


def forms(value: str) -> list[str]:
    encoded = base64.b64encode(value.encode()).decode()
    return [value, encoded, encoded.rstrip("="), quote(value, safe=""), quote_plus(value)]


def test_what_a_run_shows_to_its_stages_and_to_others(ground: Ground) -> None:
    commit(ground)
    answer = ground.deploy(timeout=400)
    assert answer.code == 0, answer
    namespace = ground.ask(lambda api: api.get(NAMESPACE, ground.name))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    check_environment(answer.out, "a", {"KEY_A"}, {"KEY_B"})
    check_environment(answer.out, "b", {"KEY_B"}, {"KEY_A"})

    def served() -> str | None:
        logs = ground.tool.good("logs", ground.name).out
        return logs if "serve | SEEN" in logs else None

    serve = wait_for(served, seconds=60, every=1)
    check_environment(serve, "serve", set(), {"KEY_A", "KEY_B"})
    theft = seen(answer.out, "b", "THEFT")
    assert set(theft.values()) <= {400, 401, 403}, theft
    check_pods(ground.ask(lambda api: api.list(POD, ground.name)))
    check_masked(ground, answer.out + answer.err)


def check_environment(output: str, stage: str, own: set[str], others: set[str]) -> None:
    found = seen(output, stage)
    names = set(found["names"])
    assert own <= names and not others & names
    assert not [name for name in names if name.startswith(("AWS", "GIT_SSH", "SSH_", "S3_"))]
    assert found["token"] is False and found["user"] != 0
    assert found["api"] in (401, 403)
    assert not any("secrets" in file or "credential" in file for file in found["files"] + found["mounts"])


def check_pods(pods: list[Object]) -> None:
    """What each pod is given, as Kubernetes has it."""
    stages = [pod for pod in pods if labels.STAGE in pod["metadata"]["labels"]]
    assert {pod["metadata"]["labels"][labels.STAGE] for pod in stages} == {"a", "b", "serve"}
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    for pod in stages:
        stage = pod["metadata"]["labels"][labels.STAGE]
        container = pod["spec"]["containers"][0]
        assert len(pod["spec"]["containers"]) == 1 and not container.get("envFrom")
        named = [e["valueFrom"]["secretKeyRef"]["name"] for e in container["env"] if "valueFrom" in e]
        assert named == {"a": ["cloud-a"], "b": ["cloud-b"], "serve": []}[stage]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} <= {
            "/bodywork",
            "/work",
            "/cache",
            "/tmp",
            "/dev/shm",
        }
        assert "fetch" not in [one["name"] for one in pod["spec"].get("initContainers") or ()]


def check_masked(ground: Ground, printed: str) -> None:
    logs = ground.tool.good("logs", ground.name).out
    assert "shown: ***" in printed and "shown: ***" in logs
    everything = texts(ground)
    status = json.dumps(ground.status())
    files = b"".join(p.read_bytes() for p in ground.tool.home.rglob("*") if p.is_file()).decode("latin-1")
    for value in (A, B):
        for form in forms(value):
            for place in (printed, logs, everything, status, files):
                assert form not in place, form


def test_secrets_stay_hidden_when_pods_are_gone(ground: Ground) -> None:
    """The end of a stage's output is in the record, for when its pods are not there any more."""
    yaml = "stages:\n  a: {run: a.py, secrets: {KEY_A: cloud-a}}\n"
    ground.commit(yaml, {"a.py": "import os\n" + SHOW % "KEY_A" + "raise SystemExit(os.environ['KEY_A'])\n"})
    words = ["secret", "set", "cloud-a", "KEY_A", "--namespace", ground.name]
    assert ground.tool.told(*words, text=A).code == 0
    answer = ground.deploy()
    assert answer.code == 1
    for job in ground.all(JOB):
        ground.ask(lambda api, name=job["metadata"]["name"]: api.delete(JOB, name, ground.name))
    ground.gone(lambda: ground.pods("a"))
    check_masked(ground, answer.out + answer.err)


@pytest.fixture
def neighbour(ground: Ground) -> Iterator[str]:
    """Another namespace, with somebody else's Secret."""
    name = f"{ground.name}-else"

    async def make(api: Api) -> None:
        await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await api.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": name}}
        )

    ground.ask(make)
    yield name
    ground.ask(lambda api: api.delete(NAMESPACE, name))


def test_the_controllers_account_is_of_its_namespace_alone(ground: Ground, neighbour: str) -> None:
    ground.commit("stages:\n  a: {run: a.py}\n", {"a.py": "print('hello')\n"})
    answer = ground.deploy("--detach")
    assert answer.code == 0, answer
    check_rights(ground, neighbour)
    wait_for(lambda: ground.status()["state"] == "succeeded", seconds=180, every=1)
    pods = ground.ask(lambda api: api.list(POD, ground.name, labels={labels.KIND: "controller"}))
    assert [pod["spec"]["serviceAccountName"] for pod in pods] == ["bodywork-controller"]
    for pod in ground.pods("a"):
        assert pod["spec"].get("serviceAccountName", "default") == "default"


def check_rights(ground: Ground, neighbour: str) -> None:
    document = yaml.safe_load(Path(ground.environment["KUBECONFIG"]).read_text())
    for user in document["users"]:
        user["user"]["as"] = f"system:serviceaccount:{ground.name}:bodywork-controller"
    path = ground.folder / "as-controller"
    path.write_text(yaml.safe_dump(document))

    async def ask() -> None:
        async with Api.open({**ground.environment, "KUBECONFIG": str(path)}) as api:
            for kind, below, verbs in RULES:
                for verb in verbs:
                    assert await api.allowed(verb, kind, ground.name, subresource=below), (verb, kind)
            for kind in {kind for kind, _, _ in RULES} | {ROLE, ROLE_BINDING, SERVICE_ACCOUNT}:
                for verb in ("get", "list", "watch", "create", "patch", "update", "delete"):
                    for elsewhere in (neighbour, "kube-system", "default", None):
                        assert not await api.allowed(verb, kind, elsewhere), (verb, kind, elsewhere)
            for verb, kind, below in (
                ("create", POD, "exec"),
                ("create", POD, ""),
                ("create", SERVICE_ACCOUNT, "token"),
                ("create", ROLE, ""),
                ("patch", ROLE_BINDING, ""),
                ("delete", PERSISTENT_VOLUME_CLAIM, ""),
                ("deletecollection", SECRET, ""),
            ):
                assert not await api.allowed(verb, kind, ground.name, subresource=below), (verb, kind)
            for kind in (NODE, NAMESPACE):
                assert not await api.allowed("list", kind)

    asyncio.run(ask())


def theirs(ground: Ground) -> list[Object]:
    """What other people have in the namespace, with names and labels much like those of bodywork."""
    alike = {labels.PIPELINE: ground.name, labels.PART_OF: ground.name, labels.MANAGED_BY: "Helm"}
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}

    def metadata(name: str, marks: dict[str, str] | None = None) -> Object:
        return {"name": name, "namespace": ground.name, "labels": {"app": "web", **(marks or {})}}

    deployment = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": pod}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    found: list[Object] = []
    for name, marks in (
        ("web", None),
        ("serve-old", alike),
        ("bodywork-web", alike),
        (f"{ground.name}-x", None),
    ):
        facts = metadata(name, marks)
        found += [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": facts, "spec": deployment},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {**facts, "name": f"source-{name}"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**facts, "name": f"run-{name}"}},
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": facts, "spec": claim},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": facts,
                "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
            },
        ]
    return found


def test_delete_takes_what_bodywork_made_and_nothing_else(ground: Ground) -> None:
    kinds = tuple(kind for kind in (*SHOWN, SECRET) if kind not in (EVENT, POD))

    async def all_of(api: Api) -> dict[tuple[str, str], str]:
        found = [
            one for kind in kinds if kind not in (EVENT, POD) for one in await api.list(kind, ground.name)
        ]
        return {(one["kind"], one["metadata"]["name"]): one["metadata"]["uid"] for one in found}

    async def make(api: Api) -> None:
        await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ground.name}})
        for one in theirs(ground):
            await api.create(one)

    ground.ask(make)
    words = ["secret", "set", "kept", "KEY", "--namespace", ground.name]
    assert ground.tool.told(*words, text="abcdefgh").code == 0
    wait_for(lambda: ("ServiceAccount", "default") in ground.ask(all_of), seconds=20)
    wait_for(lambda: ("ConfigMap", "kube-root-ca.crt") in ground.ask(all_of), seconds=20)
    wait_for(lambda: len([k for k, _ in ground.ask(all_of) if k == "ReplicaSet"]) >= 4, seconds=30)
    before = ground.ask(all_of)
    stages = "  a: {run: a.py, outputs: {m: m.txt}}\n"
    stages += "  serve: {run: s.py, inputs: {m: a.m}, service: {port: 5000}}\n"
    server = SERVE.replace(LOOK, "")
    files = {"a.py": "import os\n" + WRITE % "M", "s.py": server}
    ground.commit("workflow: a >> serve\nstages:\n" + stages, files)
    assert ground.deploy(timeout=400).code == 0
    assert ground.deploy("--detach").code == 0
    assert len(ground.ask(all_of)) > len(before) + 8
    wait_for(lambda: ground.status()["state"] == "succeeded", seconds=240, every=1)
    ground.tool.good("delete", ground.name, "--yes")
    wait_for(lambda: ground.ask(all_of).keys() <= before.keys() or None, seconds=60)
    assert ground.ask(all_of) == before
    assert ground.ask(lambda api: api.get(NAMESPACE, ground.name)) is not None
