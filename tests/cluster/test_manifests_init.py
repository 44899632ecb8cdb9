"""The containers that come before a stage's own, in bodywork's image on a real cluster."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bodywork.run.plan import Plan
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.manifests.containers import InitContainer, fetched
from bodywork.targets.kubernetes.manifests.job import job
from bodywork.targets.kubernetes.manifests.source import gather, source_secret
from bodywork.targets.kubernetes.settings import Settings
from planned import launch_of, lock_of, plan_of

from .test_manifests import enforced, said

pytestmark = pytest.mark.cluster

OURS = os.environ.get("BODYWORK_IMAGE", "")
OTHER = os.environ.get("BODYWORK_TEST_IMAGE", "localhost/debian-python:3.11")
HOST = os.environ.get("BODYWORK_TEST_HOST", "10.250.0.1")
"""An address of this machine that pods reach."""


@pytest.fixture
async def restricted(api: Api, namespace: str) -> str:
    if "{python}" not in OURS:
        pytest.skip("no image: set BODYWORK_IMAGE, with {python} for the version of Python")
    return await enforced(api, namespace)


@dataclass(frozen=True, kw_only=True)
class Served:
    """A repository that pods can fetch from."""

    url: str
    commit: str


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A repository with a file that is too big for a Secret, behind `git daemon`."""
    with socket.socket() as free:
        try:
            free.bind((HOST, 0))
        except OSError:
            pytest.skip(
                f"{HOST} is no address of this machine: set BODYWORK_TEST_HOST to one that pods reach"
            )
        port = free.getsockname()[1]
    commit = committed(tmp_path / "served" / "big")
    command = ["git", "daemon", f"--listen={HOST}", f"--port={port}", "--export-all"]
    process = subprocess.Popen([*command, f"--base-path={tmp_path / 'served'}"], start_new_session=True)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.05)
        yield Served(url=f"git://{HOST}:{port}/big", commit=commit)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)


def committed(folder: Path) -> str:
    folder.mkdir(parents=True)
    (folder / "data.bin").write_bytes(os.urandom(1_500_000))
    (folder / "stage.py").write_text("import os; print(os.path.getsize('data.bin'), os.listdir('/work'))")

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "-b", "main")
    git("add", "--all")
    git("commit", "--quiet", "-m", "first")
    return git("rev-parse", "HEAD")


async def run(
    api: Api, plan: Plan, settings: Settings, project: Path, init: tuple[InitContainer, ...]
) -> str:
    """What the stage `one` of a plan prints."""
    source = gather(project, [lock_of("")])
    assert source.whole is not bool(init)
    await api.apply(source_secret(plan, source, settings))
    launch = launch_of(plan, "one", settings, lock=lock_of(""), whole=source.whole)
    planned = plan.stage("one")
    made = job(plan, planned, settings, attempt=1, launch=launch, source=source.name, variables={}, init=init)
    await api.apply(made)
    return await said(api, settings.namespace, made["metadata"]["name"])


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
async def test_a_project_that_is_too_big_is_fetched(
    api: Api, restricted: str, served: Served, tmp_path: Path
) -> None:
    plan = plan_of('version: "2"\nname: big\npython: "3.11"\nstages: {one: {run: stage.py}}\n')
    plan = replace(plan, source=replace(plan.source, repository=served.url, commit=served.commit))
    settings = Settings.of(plan.project, {"BODYWORK_IMAGE": OURS}, namespace=restricted)
    printed = await run(api, plan, settings, tmp_path / "served" / "big", (fetched(plan, settings),))
    assert "1500000" in printed
    assert ".fetch" not in printed


async def test_a_stage_in_an_image_of_its_own_finds_uv(api: Api, restricted: str, tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text("import subprocess; subprocess.run(['/work/bin/uv', '--version'])")
    text = f'version: "2"\nname: own\npython: "3.11"\nstages: {{one: {{run: stage.py, image: {OTHER}}}}}\n'
    plan = plan_of(text)
    settings = Settings.of(plan.project, {"BODYWORK_IMAGE": OURS}, namespace=restricted)
    assert "uv 0." in await run(api, plan, settings, tmp_path, ())
