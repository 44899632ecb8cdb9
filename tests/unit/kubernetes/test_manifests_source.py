"""The Secret with the files of a run, and the objects that hold no stage."""

from __future__ import annotations

import base64
import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from bodywork.environment import Lock
from bodywork.errors import UsageError
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.manifests.controller import controller
from bodywork.targets.kubernetes.manifests.namespace import namespace
from bodywork.targets.kubernetes.manifests.source import Source, archive, gather, source_secret
from planned import RUN, lock_of, plan_of, settings_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline" / "train.py").write_text("print('trained')\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o700)
    (folder / "latest").symlink_to("pipeline/train.py")
    return folder


def random(path: Path, size: int) -> None:
    path.write_bytes(os.urandom(size))


def contents(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: entry for entry in tar}


def test_the_secret_has_the_project_its_locks_and_the_runtime(project: Path) -> None:
    lock = lock_of("joblib==1.5.2\n")
    plan = plan_of()
    secret = source_secret(plan, gather(project, [lock]), settings_of(plan))
    files = {name: base64.b64decode(data) for name, data in secret["data"].items()}
    assert {"launch.py", "hook.py", "network.py", "project.tar.gz"} <= files.keys()
    assert gzip.decompress(files[f"lock-{lock.digest[:16]}.gz"]) == b"joblib==1.5.2\n"
    assert secret["immutable"] is True
    assert secret["metadata"]["labels"]["bodywork/pipeline"] == "iris"


def test_the_archive_keeps_what_git_keeps(project: Path) -> None:
    data = archive(project)
    assert data is not None
    found = contents(data)
    assert set(found) == {"latest", "pipeline", "pipeline/train.py", "run.sh"}
    assert (found["run.sh"].mode, found["pipeline/train.py"].mode) == (0o755, 0o644)
    assert found["latest"].linkname == "pipeline/train.py"
    assert {(entry.mtime, entry.uid, entry.uname) for entry in found.values()} == {(0, 0, "")}


def test_the_same_files_are_the_same_secret(project: Path) -> None:
    first = gather(project, [lock_of()]).name
    os.utime(project / "run.sh", (1, 1))
    assert gather(project, [lock_of()]).name == first
    assert len(first) == len("source-") + 16
    (project / "run.sh").write_text("#!/bin/bash\n")
    assert gather(project, [lock_of()]).name != first


def test_a_project_of_900_kb_fits_and_a_bigger_one_is_left_out(project: Path) -> None:
    random(project / "data.bin", 890_000)
    whole = gather(project, [lock_of()])
    assert whole.whole
    assert sum(map(len, whole.files.values())) <= 2**20
    random(project / "more.bin", 20_000)
    assert not gather(project, [lock_of()]).whole


def test_a_huge_project_is_not_packed_to_its_end(project: Path) -> None:
    random(project / "a.bin", 2_000_000)
    os.truncate(project / "a.bin", 2**40)  # would take hours
    assert archive(project, most=900_000) is None


def test_locks_that_do_not_fit_are_told(project: Path) -> None:
    locks = [lock_of(base64.b64encode(os.urandom(300_000)).decode(), digest=f"{n:064}") for n in range(5)]
    locks = [Lock(**{**vars(lock), "digest": f"{n}" * 64}) for n, lock in enumerate(locks)]
    with pytest.raises(
        UsageError, match=r"the locks of these stages have [\d,]+ bytes, and a Secret takes 1,048"
    ):
        gather(project, locks)


def test_packages_that_are_made_of_the_project_come_with_it(project: Path, tmp_path: Path) -> None:
    digest = "c0" * 32
    kept = tmp_path / "wheels" / digest
    kept.mkdir(parents=True)
    (kept / "own-1-py3-none-any.whl").write_bytes(b"wheel")
    lock = lock_of(
        f"own @ file://${{BODYWORK_WHEELS}}/{digest}/own-1-py3-none-any.whl --hash=sha256:{digest}\n"
    )
    source = gather(project, [lock], wheels=tmp_path / "wheels")
    assert f".bodywork/wheels/{digest}/own-1-py3-none-any.whl" in contents(source.files["project.tar.gz"])
    random(project / "data.bin", 1_000_000)
    with pytest.raises(UsageError, match="a project with packages of its own may have 900,000 bytes"):
        gather(project, [lock], wheels=tmp_path / "wheels")


def test_a_namespace_enforces_restricted_pods() -> None:
    plan = plan_of()
    made = namespace(plan.project, settings_of(plan))
    assert made["metadata"]["name"] == "iris"
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels.is_ours(made, "iris")
    assert not labels.is_ours(made, "other")


def test_folders_of_nodes_are_said_in_the_namespace() -> None:
    plan = plan_of('version: "2"\nname: x\nkubernetes: {cache: {path: /c}}\nstages: {a: {run: a.py}}\n')
    made = namespace(plan.project, settings_of(plan))
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


@pytest.mark.parametrize(
    ("text", "named", "found"),
    [("", None, "x"), ("kubernetes: {namespace: team}", None, "team"), ("", "mine", "mine")],
)
def test_the_namespace_is_what_is_said_nearest(text: str, named: str | None, found: str) -> None:
    plan = plan_of(f'version: "2"\nname: x\n{text}\nstages: {{a: {{run: a.py}}}}\n')
    assert settings_of(plan, namespace=named).namespace == found


def test_a_wrong_namespace_is_told() -> None:
    with pytest.raises(UsageError, match='"Team_A" cannot be the name of a namespace'):
        settings_of(plan_of(), namespace="Team_A")


def test_the_controller_may_do_its_work_in_its_namespace_and_nothing_else() -> None:
    plan = plan_of()
    account, role, binding, job = controller(plan, settings_of(plan), variables={"BODYWORK_STORE": "s3://x"})
    assert role["kind"] == "Role"
    assert {obj["metadata"]["namespace"] for obj in (account, role, binding, job)} == {"iris"}
    verbs = {kind: set(rule["verbs"]) for rule in role["rules"] for kind in rule["resources"]}
    assert "*" not in set().union(*verbs.values()) | verbs.keys()
    assert not {"pods/exec", "roles", "serviceaccounts", "namespaces", "nodes"} & verbs.keys()
    assert verbs["pods"] == {"get", "list", "watch", "delete"}
    assert account["automountServiceAccountToken"] is False
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"] == binding["subjects"][0]["name"]
    assert pod["restartPolicy"] == "OnFailure"
    (container,) = pod["containers"]
    assert container["command"][:2] == ["bodywork", "controller"]
    assert container["command"][2:] == ["--pipeline", "iris", "--run", RUN, "--namespace", "iris"]
    assert {"name": "BODYWORK_STORE", "value": "s3://x"} in container["env"]


def test_a_controller_is_replaced_as_soon_as_its_node_is_given_up() -> None:
    plan = plan_of()
    *_, job = controller(plan, settings_of(plan), variables={})
    assert job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    assert "podFailurePolicy" not in job["spec"]  # with it, no pod would come before the first is seen to end
    tolerated = {
        one["key"]: one["tolerationSeconds"] for one in job["spec"]["template"]["spec"]["tolerations"]
    }
    assert tolerated == {"node.kubernetes.io/not-ready": 30, "node.kubernetes.io/unreachable": 30}


def test_a_source_names_no_content() -> None:
    assert "secret text" not in repr(Source(files={"a": b"secret text"}))
