"""Speed of the Kubernetes target, each figure beside a reference that is taken in the same run.

    python benchmarks/kubernetes.py [--json FILE] [--only NAME ...] [--times N] [--stages N]

Needs KUBECONFIG, and BODYWORK_IMAGE if the published images are not to be used, and a cluster that has
nothing else to do. A figure counts by its ratio to the reference. The load of this machine, on which a
test cluster runs as well, is printed with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bare import CLOCK, bare_jobs, module_time, own_namespace, watched
from local import EXAMPLE, Bench, Figure, commit, hand_made

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    STORAGE_CLASS,
    Object,
)
from bodywork.targets.kubernetes.settings import IMAGE

PYTHON = "3.11"
DEFAULT = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A cluster, commands with a home of their own, and what was asked for on the command line."""

    api: Api
    bench: Bench
    times: int
    stages: int

    @property
    def image(self) -> str:
        return os.environ.get("BODYWORK_IMAGE", IMAGE).replace("{python}", PYTHON)

    async def deploy(self, project: Path, namespace: str) -> tuple[float, float]:
        """Seconds that it took, and the largest resident memory of the command in MiB."""
        words = ("deploy", str(project), "--target", "kubernetes", "--namespace", namespace)
        with tempfile.TemporaryFile() as said:
            begin = time.time()
            command = (sys.executable, "-m", "bodywork", *words)
            child = await asyncio.create_subprocess_exec(
                *command, env=self.bench.env, stdout=said, stderr=said
            )
            watching = asyncio.create_task(largest_memory(child.pid))
            code = await child.wait()
            took = time.time() - begin
            watching.cancel()
            if code != 0:
                said.seek(0)
                raise SystemExit(f"{' '.join(words)} exited with {code}:\n{said.read().decode()}")
        return took, PEAKS.pop(child.pid, 0) / 1024


PEAKS: dict[int, int] = {}


async def largest_memory(pid: int) -> None:
    """Note the kernel's high-water mark of a process (VmHWM, proc(5)) as long as it runs."""
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        PEAKS[pid] = int(marks[0]) if marks else PEAKS.get(pid, 0)
        await asyncio.sleep(0.1)


def head(name: str, more: str = "") -> str:
    return f'version: "2"\nname: {name}\npython: "{PYTHON}"\n{more}'


def trivial(name: str, steps: list[list[str]]) -> dict[str, str]:
    """A project of stages without packages that do nothing."""
    workflow = " >> ".join(", ".join(step) for step in steps)
    listed = "".join(f"  {stage}: {{run: one.py}}\n" for step in steps for stage in step)
    return {"bodywork.yaml": f"{head(name)}workflow: {workflow}\nstages:\n{listed}", "one.py": "pass\n"}


async def bare(ground: Ground) -> AsyncIterator[Figure]:
    """The reference: a Job that runs `true`."""
    async with own_namespace(ground.api, "bench-bare"):
        found = [await bare_jobs(ground.api, "bench-bare", ground.image) for _ in range(ground.times)]
    yield Figure(
        name="bare Job, create to Complete", value=statistics.median(one.took for one in found), unit="s"
    )
    yield Figure(
        name="bare Job, pod made to exit seen",
        value=statistics.median(one.pod_to_exit[0] for one in found),
        unit="s",
    )


async def chain(ground: Ground) -> AsyncIterator[Figure]:
    """Ten stages one after the other; from the command's first Job to its end, and as a whole."""
    count = 10
    names = [f"s{number}" for number in range(count)]
    project = ground.bench.project("chain", trivial("bench-chain", [[name] for name in names]))
    async with own_namespace(ground.api, "bench-chain"), watched(ground.api, "bench-chain") as seen:
        await ground.deploy(project, "bench-chain")  # environments, images: all is there
        references, stages, commands = [], [], []
        for _ in range(ground.times):
            references.append((await bare_jobs(ground.api, "bench-chain", ground.image)).took)
            seen.jobs.clear()
            took, _ = await ground.deploy(project, "bench-chain")
            commands.append(took)
            courses = [one for one in seen.jobs.values() if one.pod.startswith("s") and one.pod_made]
            begin, end = min(one.pod_made for one in courses), max(one.exited for one in courses)
            stages.append((end - begin) / count)
    reference = statistics.median(references)
    for name, value in (
        ("chain of 10 stages, per stage", statistics.median(stages)),
        ("chain of 10 stages, whole command, per stage", statistics.median(commands) / count),
    ):
        yield ratio(name, value, reference, "bare Job, create to Complete", 0.45)


async def step(ground: Ground) -> AsyncIterator[Figure]:
    """Twenty stages at once, the whole command."""
    count = 20
    project = ground.bench.project("step", trivial("bench-step", [[f"s{n}" for n in range(count)]]))
    references, commands = [], []
    async with own_namespace(ground.api, "bench-step"):
        await ground.deploy(project, "bench-step")
        for _ in range(max(1, ground.times // 2)):
            references.append((await bare_jobs(ground.api, "bench-step", ground.image, count)).took)
            commands.append((await ground.deploy(project, "bench-step"))[0])
    reference = statistics.median(references)
    yield ratio(
        "step of 20 stages, whole command",
        statistics.median(commands),
        reference,
        "20 bare Jobs at once",
        1.5,
    )


async def cached(ground: Ground) -> AsyncIterator[Figure]:
    """A stage whose packages another one has brought: from its pod to its module's first line."""
    if not any(
        DEFAULT in (one["metadata"].get("annotations") or {}) for one in await ground.api.list(STORAGE_CLASS)
    ):
        print("cached: not measured, since the cluster has no default storage class", flush=True)
        return
    names = [f"s{number}" for number in range(ground.times + 1)]
    listed = "".join(f"  {name}: {{run: clock.py, requirements: [scikit-learn==1.7.2]}}\n" for name in names)
    text = head("bench-cached", "kubernetes: {cache: {claim: packages}}\n")
    text += f"workflow: {' >> '.join(names)}\nstages:\n{listed}"
    files = {"bodywork.yaml": text, "clock.py": f"{CLOCK[-1]}\n"}
    project, space = ground.bench.project("cached", files), "bench-cached"
    async with own_namespace(ground.api, space), watched(ground.api, space) as seen:
        await ground.api.apply(claim(space))
        references = [
            (await bare_jobs(ground.api, space, ground.image, command=CLOCK)).pod_to_module[0]
            for _ in range(ground.times)
        ]
        seen.jobs.clear()
        await ground.deploy(project, space)
        courses = [one for one in seen.jobs.values() if one.pod.startswith("s") and one.pod_made]
        courses.sort(key=lambda one: one.pod_made)
        said = [(await module_time(ground.api, space, one.pod) or 0.0) - one.pod_made for one in courses]
    reference = statistics.median(references)
    yield Figure(
        name="first stage with scikit-learn, pod to module",
        value=said[0],
        unit="s",
        reference=reference,
        reference_name="bare pod",
    )
    yield Figure(
        name="stage with scikit-learn in the cache, pod to module",
        value=statistics.median(said[1:]),
        unit="s",
        reference=reference,
        reference_name="bare pod",
        goal="reference + 0.5 s",
    )


def claim(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "packages", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    }


async def train_and_serve(ground: Ground) -> AsyncIterator[Figure]:
    """First time, again with another commit, and again with nothing changed."""
    project, space = ground.bench.folder / "train-and-serve", "bench-train-and-serve"
    shutil.copytree(EXAMPLE, project)
    commit(project)
    _, modules = await asyncio.to_thread(hand_made, ground.bench, project)
    async with own_namespace(ground.api, space):
        for name in ("first time", "again with changed code", "again with nothing changed"):
            took, _ = await ground.deploy(project, space)
            yield Figure(
                name=f"train-and-serve, {name}",
                value=took,
                unit="s",
                reference=modules,
                reference_name="the modules' own time, on this machine",
            )
            if name == "first time":
                with (project / "pipeline" / "prepare.py").open("a") as module:
                    module.write("# changed\n")
                commit(project)


async def thousand(ground: Ground) -> AsyncIterator[Figure]:
    """Memory of the command that controls a long workflow, and the largest object that it has made."""
    count, wide, space = ground.stages, 20, "bench-thousand"
    names = [f"s{number}" for number in range(count)]
    steps = [names[first : first + wide] for first in range(0, count, wide)]
    project = ground.bench.project("thousand", trivial("bench-thousand", steps))
    async with own_namespace(ground.api, space):
        took, memory = await ground.deploy(project, space)
        name, size = await largest(ground.api, space)
    yield Figure(name=f"{count} stages in steps of {wide}, per stage", value=took / count, unit="s")
    yield Figure(name=f"memory of the command with {count} stages", value=memory, unit="MiB", goal="200 MiB")
    yield Figure(name=f"largest object, {name}", value=size / 1000, unit="kB", goal="100 kB")


async def largest(api: Api, namespace: str) -> tuple[str, int]:
    """The largest object of a namespace but the files of the run, as the API server gives it."""
    found = [("none", 0)]
    for kind in (CONFIG_MAP, SECRET, JOB, POD, DEPLOYMENT, SERVICE, PERSISTENT_VOLUME_CLAIM):
        for one in await api.list(kind, namespace):
            if one["metadata"].get("labels", {}).get(f"{labels.PREFIX}content") != "source":
                size = len(json.dumps(one, separators=(",", ":")))
                found.append((f"{kind.kind} {one['metadata']['name']}", size))
    return max(found, key=lambda one: one[1])


def ratio(name: str, value: float, reference: float, reference_name: str, most: float) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit="s",
        reference=reference,
        reference_name=reference_name,
        goal=f"{value / reference:.2f} of it; at most {most:.2f}",
    )


PARTS: dict[str, Callable[[Ground], AsyncIterator[Figure]]] = {
    "bare": bare,
    "chain": chain,
    "step": step,
    "cached": cached,
    "train-and-serve": train_and_serve,
    "thousand": thousand,
}


async def measure(options: argparse.Namespace) -> list[Figure]:
    figures = []
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api.open(os.environ))
        for name in options.only:
            folder = Path(tempfile.mkdtemp(prefix="bodywork-bench-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            ground = Ground(api=api, bench=cluster_bench(folder), times=options.times, stages=options.stages)
            async for figure in PARTS[name](ground):
                figures.append(figure)
                print(f"{figure.line}   load {os.getloadavg()[0]:.1f}", flush=True)
    return figures


def cluster_bench(folder: Path) -> Bench:
    """Commands that have nothing of ours but the cluster and its images."""
    bench = Bench(folder)
    bench.env |= {name: value for name, value in os.environ.items() if name.startswith("BODYWORK_")}
    bench.env |= {"BODYWORK_HOME": str(folder / "state"), "BODYWORK_CACHE": str(folder / "cache")}
    return bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--times", type=int, default=5, help="how often to measure; the median counts")
    parser.add_argument("--stages", type=int, default=1000, help="how many stages a long workflow has")
    options = parser.parse_args()
    figures = asyncio.run(measure(options))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
