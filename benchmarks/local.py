"""Speed of the local target, each figure beside a reference that is taken in the same run.

    python benchmarks/local.py [--json FILE] [--only NAME ...] [--quick]

A machine that is shared gives other figures each time; what counts is the ratio to the reference.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "train-and-serve"
HEAD = f'version: "2"\nname: bench\npython: "{sys.version_info.major}.{sys.version_info.minor}"\n'


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measurement in `unit`, its reference, and the goal in words."""

    name: str
    value: float
    unit: str
    reference: float | None = None
    reference_name: str = ""
    goal: str = ""

    @property
    def line(self) -> str:
        against = f"{self.reference:10.2f} {self.reference_name}" if self.reference is not None else " " * 10
        return f"{self.name:44} {self.value:10.2f} {self.unit:8} {against:48} {self.goal}"


class Bench:
    """A home of its own for the commands that are measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("BODYWORK", "PYTHONDONT"))}
        self.env |= {"BODYWORK_HOME": str(folder / "state"), "BODYWORK_CACHE": str(folder / "cache")}

    def bodywork(self, *arguments: str) -> str:
        """Run a command that has to succeed; returns its stdout."""
        command = [sys.executable, "-m", "bodywork", *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(
                f"{' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def project(self, name: str, files: dict[str, str]) -> Path:
        """A Git repository with these files, committed."""
        path = self.folder / name
        path.mkdir()
        for file, text in files.items():
            (path / file).write_text(text)
        commit(path)
        return path

    def stop(self) -> None:
        self.bodywork("agent", "stop")


def commit(path: Path) -> None:
    """Make a folder a Git repository with one commit, or commit what has changed."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    if not (path / ".git").exists():
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=path, check=True)
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "bench"], cwd=path, check=True)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def median_ms(command: list[str], env: dict[str, str], times: int = 15) -> float:
    """Milliseconds that a command takes, the median of several runs after one to warm up."""

    def once() -> object:
        return subprocess.run(command, env=env, capture_output=True, check=True)

    once()
    return statistics.median(seconds(once) for _ in range(times)) * 1000


def interpreter_ms(bench: Bench) -> float:
    """What starting the same interpreter with `-c pass` takes."""
    return median_ms([sys.executable, "-c", "pass"], bench.env)


def stages(count: int, joined: str) -> dict[str, str]:
    names = [f"s{number}" for number in range(count)]
    listed = "".join(f"  {name}: {{run: one.py}}\n" for name in names)
    return {"bodywork.yaml": f"{HEAD}workflow: {joined.join(names)}\nstages:\n{listed}", "one.py": "pass\n"}


def chains(bench: Bench, quick: bool) -> Iterator[Figure]:
    """Time per stage; it may not grow with their number."""
    reference = interpreter_ms(bench)
    for count in (100,) if quick else (100, 1000):
        for name, joined in (("chain", " >> "), ("step", ", ")):
            project = bench.project(f"{name}-{count}", stages(count, joined))
            bench.bodywork("deploy", str(project), "--only", "s0")
            took = seconds(lambda project=project: bench.bodywork("deploy", str(project)))
            yield Figure(
                name=f"{name} of {count} stages, per stage",
                value=took * 1000 / count,
                unit="ms",
                reference=reference,
                reference_name="python -c pass",
                goal="reference + 30 ms",
            )


def metaflow(bench: Bench, quick: bool) -> Iterator[Figure]:
    """The same chain in Metaflow's newest release, installed in a folder of its own."""
    count = 10 if quick else 100
    folder = bench.folder / "metaflow"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "-q", "metaflow", "setuptools"], check=True, env=bench.env)
    lines = ["from metaflow import FlowSpec, step", "class Chain(FlowSpec):"]
    names = ["start", *[f"s{number}" for number in range(1, count - 1)], "end"]
    for name, following in zip(names, [*names[1:], None], strict=True):
        body = f"self.next(self.{following})" if following else "pass"
        lines += ["    @step", f"    def {name}(self):", f"        {body}"]
    lines += ["if __name__ == '__main__':", "    Chain()"]
    (folder / "chain.py").write_text("\n".join(lines) + "\n")
    env = bench.env | {"USERNAME": "bench", "METAFLOW_HOME": str(folder / "home")}

    def run() -> object:
        command = [folder / "bin/python", "chain.py", "--no-pylint", "run"]
        return subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)

    theirs = seconds(run) * 1000 / count
    project = bench.project("as-metaflow", stages(count, " >> "))
    bench.bodywork("deploy", str(project), "--only", "s0")
    ours = seconds(lambda: bench.bodywork("deploy", str(project))) * 1000 / count
    yield Figure(
        name=f"chain of {count} stages, per stage",
        value=ours,
        unit="ms",
        reference=theirs,
        reference_name="Metaflow",
        goal="10 times faster",
    )


def train_and_serve(bench: Bench, quick: bool) -> Iterator[Figure]:
    """First deploy with cold and warm caches, against doing the same by hand."""
    project = bench.folder / "train-and-serve"
    shutil.copytree(EXAMPLE, project)
    commit(project)
    cold_env = bench.env | {"UV_CACHE_DIR": str(bench.folder / "uv-cache")}
    before, bench.env = bench.env, cold_env
    by_hand, modules = hand_made(bench, project)
    cold = seconds(lambda: bench.bodywork("deploy", str(project)))
    yield Figure(
        name="train-and-serve, cold caches",
        value=cold,
        unit="s",
        reference=by_hand,
        reference_name="venv + pip install + modules by hand",
        goal="not slower",
    )
    commit(project)
    warm = seconds(lambda: bench.bodywork("deploy", str(project)))
    yield Figure(
        name="train-and-serve, warm caches",
        value=warm,
        unit="s",
        reference=modules,
        reference_name="the modules' own time",
        goal="reference + 1 s",
    )
    bench.bodywork("delete", "train-and-serve", "--yes")
    bench.env = before


def hand_made(bench: Bench, project: Path) -> tuple[float, float]:
    """Seconds for venv, pip install and the modules one after the other; and for the modules alone."""
    from bodywork.spec.read import read

    folder = bench.folder / "by-hand"
    spec, _ = read((project / "bodywork.yaml").read_bytes(), file="bodywork.yaml", files=None)
    files = {stage.requirements.file for stage in spec.stages if stage.requirements.file}
    # A copy whose service listens at a port that nothing else has.
    project = shutil.copytree(project, bench.folder / "by-hand-project")
    port = free_port()
    for module in project.rglob("*.py"):
        module.write_text(module.read_text().replace("port=5000", f"port={port}"))

    def install() -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for file in files:
            pip = [folder / "bin/pip", "install", "-q", "--no-cache-dir", "-r", project / file]
            subprocess.run(pip, check=True, env=bench.env)

    def modules() -> None:
        artifacts: dict[str, str] = {}
        for stage in spec.stages:
            env = bench.env | {"BODYWORK_RUN": "by-hand", "PYTHONPATH": str(project)}
            for output in stage.outputs:
                path = str(folder / f"{stage.name}-{output.file}")
                artifacts[f"{stage.name}.{output.name}"] = path
                env[f"BODYWORK_OUTPUT_{output.name.upper()}"] = path
            for one in stage.inputs:
                env[f"BODYWORK_INPUT_{one.name.upper()}"] = artifacts[f"{one.stage}.{one.output}"]
            command = [folder / "bin/python", Path(stage.run).name, *stage.args]
            where = (project / stage.run).parent
            with until_ready(command, where, env, str(stage.kind), port):
                pass

    installed = seconds(install)
    first = seconds(modules)
    return installed + first, seconds(modules)


def free_port() -> int:
    """A port that is free on loopback now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def until_ready(
    command: list[object], folder: Path, env: dict[str, str], kind: str, port: int
) -> Iterator[None]:
    """Run a module to its end, or, for a service, until it answers."""
    words = [str(word) for word in command]
    child = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while kind == "service" and child.poll() is None:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        else:
            if child.wait() != 0:
                raise SystemExit(f"{command} exited with {child.returncode}")
        yield
    finally:
        child.terminate()
        child.wait()


def command_line(bench: Bench, quick: bool) -> Iterator[Figure]:
    """How long the commands take that people type most."""
    program = shutil.which("bodywork", path=str(Path(sys.executable).parent)) or "bodywork"
    reference = interpreter_ms(bench)
    for words, goal in ((["--help"], "100 ms"), (["status"], ""), (["--version"], "")):
        yield Figure(
            name=f"bodywork {' '.join(words)}",
            value=median_ms([program, *words], bench.env),
            unit="ms",
            reference=reference,
            reference_name="python -c pass",
            goal=goal,
        )


SERVER = """
import asyncio, os
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 5000)
    async with server:
        await server.serve_forever()
asyncio.run(main())
"""

SLEEPER = "import http.server\nhttp.server.HTTPServer(('', 5000), http.server.SimpleHTTPRequestHandler)" + (
    ".serve_forever()\n"
)


def proxy(bench: Bench, quick: bool) -> Iterator[Figure]:
    """Requests over kept-alive connections through the proxy, against the replica itself."""
    files = {
        "bodywork.yaml": f"{HEAD}stages:\n  serve: {{run: serve.py, service: {{port: 5000}}}}\n",
        "serve.py": SERVER,
    }
    project = bench.project("proxied", files)
    done = json.loads(bench.bodywork("deploy", str(project), "--output", "json"))
    address = done["services"][0]["url"].removeprefix("http://")
    direct = replica_address(bench)
    through_rate, through_p99 = load(address)
    direct_rate, direct_p99 = load(direct)
    yield Figure(
        name="proxy, requests per second",
        value=through_rate,
        unit="1/s",
        reference=direct_rate,
        reference_name="direct connection",
    )
    yield Figure(
        name="proxy, 99th percentile",
        value=through_p99 * 1000,
        unit="ms",
        reference=direct_p99 * 1000,
        reference_name="direct connection",
    )
    bench.bodywork("delete", "bench", "--yes")


def replica_address(bench: Bench) -> str:
    """Where the one replica listens, as the agent says."""
    services = json.loads(bench.bodywork("agent", "status", "--output", "json"))["services"]
    return str(services[0]["replicas"][0]["address"])


def load(address: str, connections: int = 8, each: int = 1000) -> tuple[float, float]:
    """Requests per second and the 99th percentile in seconds, over kept-alive connections."""
    import asyncio

    host, _, port = address.rpartition(":")
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(each):
            begin = time.perf_counter()
            writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            await reader.readuntil(b"ok")
            times.append(time.perf_counter() - begin)
        writer.close()
        await writer.wait_closed()

    async def everybody() -> None:
        await asyncio.gather(*(client() for _ in range(connections)))

    took = seconds(lambda: asyncio.run(everybody()))
    times.sort()
    return len(times) / took, times[int(len(times) * 0.99)]


def agent_memory(bench: Bench, quick: bool) -> Iterator[Figure]:
    """Resident memory of the agent with 20 services."""
    import psutil

    listed = "".join(f"  s{n}: {{run: serve.py, service: {{port: {6000 + n}}}}}\n" for n in range(20))
    names = ", ".join(f"s{n}" for n in range(20))
    files = {"bodywork.yaml": f"{HEAD}workflow: {names}\nstages:\n{listed}"}
    files["serve.py"] = "import os\nimport http.server as h\n" + (
        "h.HTTPServer(('', int(os.environ['PORT'])), h.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    bench.bodywork("deploy", str(bench.project("twenty", files)))
    status = json.loads(bench.bodywork("agent", "status", "--output", "json"))
    plain = subprocess.Popen([sys.executable, "-c", "import asyncio, time; time.sleep(30)"])
    time.sleep(0.5)
    yield Figure(
        name="memory of the agent with 20 services",
        value=psutil.Process(status["pid"]).memory_info().rss / 2**20,
        unit="MiB",
        reference=psutil.Process(plain.pid).memory_info().rss / 2**20,
        reference_name="python with asyncio imported",
    )
    plain.terminate()
    plain.wait()
    bench.bodywork("delete", "bench", "--yes")


PARTS: dict[str, Callable[[Bench, bool], Iterator[Figure]]] = {
    "command-line": command_line,
    "chains": chains,
    "proxy": proxy,
    "agent-memory": agent_memory,
    "train-and-serve": train_and_serve,
    "metaflow": metaflow,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer stages")
    options = parser.parse_args()
    figures = []
    for name in options.only:
        folder = Path(tempfile.mkdtemp(prefix="bodywork-bench-"))
        bench = Bench(folder)
        try:
            for figure in PARTS[name](bench, options.quick):
                figures.append(figure)
                print(figure.line, flush=True)
        finally:
            bench.stop()
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
