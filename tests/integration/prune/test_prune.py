"""Freeing space: exactly what nothing reaches goes, beside deploys, and whenever it is killed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import s3
from bodywork.app.freed import Freed, Wish
from bodywork.app.parts import Parts
from bodywork.app.prune import prune
from bodywork.app.where import Where
from bodywork.artifacts.base import Store
from bodywork.errors import BusyError, NotFoundError
from bodywork.run.events import RunEnded, RunStarted, StageEnded
from bodywork.run.ledger import Release
from bodywork.run.plan import Plan
from bodywork.run.retention import Policy
from bodywork.run.states import RunState, StageState
from workflows import batch, plan, project, run_record, service

DAY = 86400.0
needs_s3 = pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")
STAGES = (batch("train", outputs="model table"), service("serve", ["train"], inputs="train.model"))


@dataclass
class Ground:
    """A home with runs that were never carried out, but have left what runs leave."""

    home: Path
    store_address: str | None = None
    variables: tuple[tuple[str, str], ...] = ()

    @cached_property
    def parts(self) -> Parts:
        return Parts(
            {"HOME": str(self.home), "BODYWORK_HOME": str(self.home / "state"), **dict(self.variables)}
        )

    def plan(self, run: str, pipeline: str, **more: object) -> Plan:
        named = project(*STAGES, store=self.store_address)
        named = type(named)(**{**vars(named), "name": pipeline})
        return plan(*STAGES, run=run, target="local", project=named, **more)

    def put(self, made: Plan, content: str) -> str:
        path = self.home / f"put-{threading.get_ident()}"
        path.write_text(content)
        return self.parts.stores.of_run(made).put(path)

    def begin(self, run: str, *, pipeline: str = "iris", at: float) -> Plan:
        made = self.plan(run, pipeline)
        record = run_record(run, pipeline=pipeline, started=at)
        self.parts.history.begin(record, made)
        self.parts.history.record(run, RunStarted(at=at, run=run))
        logs = self.parts.places.run(run) / "logs"
        logs.mkdir(parents=True)
        (logs / "train.log").write_text(run)
        return made

    def end(
        self, run: str, outputs: dict[str, str], *, pipeline: str = "iris", at: float, release: bool
    ) -> None:
        ended = StageEnded(at=at, stage="train", state=StageState.SUCCEEDED, outputs=outputs)
        self.parts.history.record(run, ended)
        made = Release(
            pipeline=pipeline,
            target="local",
            run=run,
            commit="c" * 40,
            at=at,
            services={"serve": {"model": outputs["model"]}},
        )
        self.parts.history.record(
            run, RunEnded(at=at, state=RunState.SUCCEEDED), release=made if release else None
        )

    def run(self, number: int, *contents: str, pipeline: str = "iris", release: bool = False) -> str:
        """A run that ended `number` days ago, and has made a model and a table."""
        at = time.time() - number * DAY
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}-{pipeline[:1]}{number:03}"
        made = self.begin(name, pipeline=pipeline, at=at)
        outputs = {key: self.put(made, text) for key, text in zip(("model", "table"), contents, strict=True)}
        self.end(name, outputs, pipeline=pipeline, at=at, release=release)
        return name

    def prune(self, *, pipeline: str | None = None, dry_run: bool = False, **policy: object) -> Freed:
        wish = Wish(pipeline=pipeline, policy=Policy(**policy), dry_run=dry_run)  # type: ignore[arg-type]
        return prune(self.parts, Where(), wish)

    @property
    def store(self) -> Store:
        return self.parts.stores.open(self.store_address)

    def kept(self) -> set[str]:
        return {one.digest for one in self.store.kept()}

    def runs(self) -> set[str]:
        return {record.run for record in self.parts.history.runs()}

    def folders(self) -> set[str]:
        return {path.name for path in self.parts.places.runs.iterdir()}

    def check(self) -> None:
        """The store holds exactly what the kept runs and the releases reach, and there are their logs."""
        assert self.kept() == self.parts.holdings.reached()
        assert self.folders() == self.runs()


def digest_of(content: str) -> str:
    return f"file:{hashlib.sha256(content.encode()).hexdigest()}"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[s3.Server]:
    (tmp_path / "s3").mkdir()
    with s3.server(tmp_path / "s3", "models") as running:
        yield running


def test_of_1000_runs_the_store_holds_what_the_kept_runs_and_the_releases_reach(ground: Ground) -> None:
    chance = random.Random(7)
    for number in range(999, -1, -1):
        released = number % 50 == 0
        ground.run(number, f"model {chance.randrange(300)}", f"table {number}", release=released)
    ground.check()
    told = ground.prune(dry_run=True, keep=30, releases=5)
    assert len(ground.runs()) == 1000
    freed = ground.prune(keep=30, releases=5)
    ground.check()
    assert (freed.runs, [part.count for part in freed.parts]) == (told.runs, [p.count for p in told.parts])
    assert freed.size == told.size > 0
    assert len(ground.runs()) == 1000 - len(freed.runs)
    assert 34 <= len(ground.runs()) <= 40  # the newest, and the releases with those whose models they have
    releases = ground.parts.history.releases("iris", "local")
    assert len(releases) >= 5
    assert all(ground.store.size(one.services["serve"]["model"]) for one in releases)
    assert ground.prune(keep=30, releases=5).size == 0


def test_age_counts_and_other_pipelines_are_left_alone(ground: Ground) -> None:
    for number in range(10):
        ground.run(number, "model", f"table {number}")
        ground.run(number, "model", f"other {number}", pipeline="other")
    freed = ground.prune(pipeline="iris", keep=1, older_than=4.5 * DAY)
    assert {one.pipeline for one in freed.runs} == {"iris"} and len(freed.runs) == 5
    ground.check()
    with pytest.raises(NotFoundError, match="there is no pipeline irsi"):
        ground.prune(pipeline="irsi")


def test_a_run_in_progress_is_left_alone_with_all_that_it_has_put(ground: Ground) -> None:
    for number in range(5, 0, -1):
        ground.run(number, f"model {number}", "table")
    lock = ground.parts.home.pipeline_lock("local", "iris")
    holding = "import fcntl, json, os, sys\nf = open(sys.argv[1], 'a+')\nfcntl.flock(f, fcntl.LOCK_EX)\n"
    holding += "f.truncate(0)\nf.write(json.dumps({'run': 'x', 'pid': os.getpid()}))\nf.flush()\n"
    lock.parent.mkdir(parents=True)
    child = subprocess.Popen(
        [sys.executable, "-c", holding + "print('held', flush=True)\ninput()", str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout and child.stdout.readline() == "held\n"
        going = ground.begin("20260101-000000-now0", at=time.time())
        fresh = ground.put(going, "not written down yet")
        freed = ground.prune(keep=1)
        assert freed.runs == () and "run x" in freed.left[0]
        assert ground.store.size(fresh)
        child.kill()
    ground.end("20260101-000000-now0", {"model": fresh, "table": fresh}, at=time.time(), release=False)
    assert len(ground.prune(keep=1).runs) == 5
    ground.check()


def test_what_a_killed_run_has_put_without_a_word_goes(ground: Ground) -> None:
    going = ground.begin("20260101-000000-dead", at=time.time())
    lost = ground.put(going, "put, and then the power went")
    ground.prune()
    assert ground.store.size(lost) is None and ground.runs() == {"20260101-000000-dead"}


def test_two_prunes_do_not_work_at_once(ground: Ground) -> None:
    import asyncio

    from bodywork.app.here.prune import PruneHere

    ground.run(0, "model", "table")

    async def both() -> None:
        async with PruneHere(ground.parts)._alone():
            await PruneHere(ground.parts).prune(Wish())

    with pytest.raises(BusyError, match="another prune is at work"):
        asyncio.run(both())


def race(ground: Ground, puts: int) -> list[str]:
    """Runs make again and again what was made before and is swept all the time: what of it vanished."""
    lost, over = list[str](), threading.Event()

    def work(worker: int) -> None:
        chance = random.Random(worker)
        for number in range(puts):
            run = f"20260101-000000-{worker}{number:03}"
            made = ground.begin(run, pipeline="racing", at=time.time())
            digest = ground.put(made, f"content {chance.randrange(3)}")
            time.sleep(chance.random() / 500)
            if ground.store.size(digest) is None:
                lost.append(digest)
            ground.parts.holdings.forget([run])

    def sweep() -> None:
        while not over.is_set():
            list(ground.parts.stores.sweep(ground.store, list(ground.store.kept())))

    sweeping = threading.Thread(target=sweep)
    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for one in (sweeping, *workers):
        one.start()
    for one in workers:
        one.join()
    over.set()
    sweeping.join()
    return lost


def test_a_digest_that_a_run_relies_on_never_vanishes(ground: Ground) -> None:
    assert not race(ground, puts=100)


@needs_s3
def test_nor_in_a_bucket(tmp_path: Path, server: s3.Server) -> None:
    ground = Ground(tmp_path, f"s3://models?endpoint={server.endpoint}", tuple(s3.VARIABLES.items()))
    assert not race(ground, puts=40)


PRUNE = """
import sys
from bodywork.app.freed import Wish
from bodywork.app.parts import Parts
from bodywork.app.prune import prune
from bodywork.app.where import Where
from bodywork.run.retention import Policy
print("go", flush=True)
prune(Parts(Parts.ours_now()), Where(), Wish(policy=Policy(keep=1, releases=1)))
"""


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_prune_that_is_killed_leaves_only_work_for_the_next(ground: Ground, after: float) -> None:
    for number in range(60, 0, -1):
        ground.run(number, f"model {number}", f"table {number}", release=number % 20 == 0)
    env = {**os.environ, "BODYWORK_HOME": str(ground.home / "state"), "HOME": str(ground.home)}
    child = subprocess.Popen([sys.executable, "-c", PRUNE], env=env, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout and child.stdout.readline() == "go\n"
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
    reached = ground.parts.holdings.reached()
    assert reached <= ground.kept()
    ground.prune(keep=1, releases=1)
    ground.check()


names = st.sampled_from(["a", "b", "c", "d"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(names, names, st.booleans(), st.sampled_from(["iris", "other"])), max_size=8),
    keep=st.integers(1, 4),
    releases=st.integers(0, 2),
    only=st.sampled_from([None, "iris"]),
)
def test_whatever_ran_and_whatever_is_kept_the_store_holds_just_that(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[str, str, bool, str]],
    keep: int,
    releases: int,
    only: str | None,
) -> None:
    ground = Ground(tmp_path_factory.mktemp("home"))
    for number, (model, table, released, pipeline) in enumerate(runs):
        ground.run(number, model, table, pipeline=pipeline, release=released)
    if not runs or (only and not any(run[3] == only for run in runs)):
        return
    ground.prune(pipeline=only, keep=keep, releases=releases)
    ground.check()
    ground.parts.history.close()
    ground.parts.holdings.close()


@needs_s3
def test_a_bucket_is_swept_of_what_this_machine_has_put_there_and_of_nothing_else(
    tmp_path: Path, server: s3.Server
) -> None:
    store = f"s3://models/iris?endpoint={server.endpoint}"
    grounds = []
    for name in ("mine", "yours"):
        (tmp_path / name).mkdir()
        grounds.append(Ground(tmp_path / name, store, tuple(s3.VARIABLES.items())))
        for number in range(6, 0, -1):
            grounds[-1].run(number, "model", f"table {number}")
    mine, yours = grounds
    before = yours.kept()
    (tmp_path / "s3/buckets/models/iris/something").write_text("else")
    freed = mine.prune(keep=2)
    assert [(part.what, part.count) for part in freed.parts] == [("logs", 4), ("artifacts", 4)]
    mine.check()
    assert yours.kept() == before
    assert (tmp_path / "s3/buckets/models/iris/something").exists()
    server.stop()
    away = mine.prune(keep=1)
    assert len(away.runs) == 1 and "stay: the store" in away.left[0]
    server.start()
    assert [(part.what, part.count) for part in mine.prune(keep=1).parts if part.count] == [("artifacts", 1)]
    mine.check()
