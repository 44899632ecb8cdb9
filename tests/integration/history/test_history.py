"""The history on a real disk: what is kept, what is refused, and how trouble is told."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest

from bodywork.errors import MachineError, NotFoundError, UsageError
from bodywork.history import History
from bodywork.run.events import Event, RunEnded, RunStarted, StageEnded, StageOutput, StageStarted
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.states import RunState, StageState
from workflows import batch, plan, run, service

PLAN = plan(batch("train", outputs="model"), service("serve", ["train"], inputs="train.model"))


def a_run(name: str, **more: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run": name,
        "pipeline": "iris",
        "target": "local",
        "repository": "https://git.example/iris",
        "ref": "main",
        "commit": "c" * 40,
        "state": RunState.RUNNING,
        "started": 1000.0,
        "ended": None,
        "kind": "deploy",
        "reason": "",
    }
    return RunRecord(**{**values, **more})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with History(path) as opened:
        yield opened


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder with a history in it that we may read and not write, also when we are root."""
    with TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        History(folder / "there.db").close()
        (folder / "there.db").chmod(0o444)
        (folder / "there.db.lock").chmod(0o666)
        folder.chmod(0o555)
        me = os.geteuid()
        if me == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(me)
        folder.chmod(0o700)


def test_a_run_and_its_plan_come_back_in_another_process(history: History, path: Path) -> None:
    history.begin(a_run("r1"), PLAN)
    with History(path) as other:
        assert other.run("r1") == a_run("r1")
        assert other.plan("r1") == PLAN
        assert other.pipelines() == ["iris"]


def test_the_events_of_a_run_come_back_in_their_order(history: History) -> None:
    events = [event for event in run(PLAN).events if not isinstance(event, StageOutput)]
    history.begin(a_run("r1"), PLAN)
    history.begin(a_run("r2"), PLAN)
    for event in events:
        history.record("r1", event)
        history.record("r2", RunStarted(at=1.0, run="r2"))
    assert history.events("r1") == events
    assert history.run("r1").state is RunState.SUCCEEDED


def test_the_row_of_a_run_follows_its_events(history: History) -> None:
    history.begin(a_run("r1"), PLAN)
    history.record("r1", RunEnded(at=2000.0, state=RunState.FAILED, reason="train failed"))
    assert history.run("r1") == a_run("r1", state=RunState.FAILED, ended=2000.0, reason="train failed")
    history.record("r1", RunStarted(at=3000.0, run="r1", resumed=True))
    assert history.run("r1") == a_run("r1")


def test_output_is_refused(history: History) -> None:
    history.begin(a_run("r1"), PLAN)
    with pytest.raises(ValueError, match="log files"):
        history.record("r1", StageOutput(at=1.0, stage="train", text="hello\n"))


def test_an_event_of_no_run_and_a_run_of_a_taken_id_are_refused(history: History) -> None:
    with pytest.raises(NotFoundError, match="there is no run r1"):
        history.record("r1", RunStarted(at=1.0, run="r1"))
    history.begin(a_run("r1"), PLAN)
    with pytest.raises(UsageError, match="there is a run r1 already"):
        history.begin(a_run("r1"), PLAN)


def test_runs_newest_first(history: History) -> None:
    for number, pipeline in enumerate(["iris", "wine", "iris"]):
        history.begin(a_run(f"r{number}", pipeline=pipeline, started=float(number)), PLAN)
    assert [record.run for record in history.runs()] == ["r2", "r1", "r0"]
    assert [record.run for record in history.runs("iris")] == ["r2", "r0"]
    assert [record.run for record in history.runs(limit=1)] == ["r2"]
    assert history.runs("unheard") == []


def test_a_run_is_found_by_the_beginning_of_its_id(history: History) -> None:
    for name in ("20260101-a", "20260101-b", "20260102-a", "2026"):
        history.begin(a_run(name), PLAN)
    assert history.run("20260102").run == "20260102-a"
    assert history.run("2026").run == "2026"  # the whole id goes before the beginning of others
    with pytest.raises(NotFoundError, match=r"20260101 is the beginning of several runs") as error:
        history.run("20260101")
    assert error.value.hint == "give more of the run's id"
    for name in ("1999", "", "%", "2026_101"):
        with pytest.raises(NotFoundError, match="there is no run"):
            history.run(name)
    with pytest.raises(NotFoundError):
        history.plan("1999")


def test_releases_newest_first(history: History) -> None:
    def release(name: str, pipeline: str = "iris", target: str = "local") -> Release:
        services = {"serve": {"model": name}}
        return Release(pipeline=pipeline, target=target, run=name, commit="c", at=1.0, services=services)

    for one in (release("r1"), release("r2"), release("r3", target="kubernetes"), release("r4", "wine")):
        history.add_release(one)
    assert history.releases("iris", "local") == [release("r2"), release("r1")]


def test_deleting_a_pipeline_leaves_the_others(history: History, path: Path) -> None:
    for name, pipeline, target in (
        ("r1", "iris", "local"),
        ("r2", "iris", "kubernetes"),
        ("r3", "wine", "local"),
    ):
        history.begin(a_run(name, pipeline=pipeline, target=target), PLAN)
        history.record(name, RunStarted(at=1.0, run=name))
        history.add_release(
            Release(pipeline=pipeline, target=target, run=name, commit="c", at=1.0, services={})
        )
    history.delete_pipeline("iris", "local")
    assert sorted(record.run for record in history.runs()) == ["r2", "r3"]
    assert history.releases("iris", "local") == []
    assert len(history.releases("iris", "kubernetes")) == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_services_that_are_wanted(history: History) -> None:
    history.put_service("iris", "serve", "one")
    history.put_service("iris", "serve", "two")
    history.put_service("iris", "api", "three")
    assert history.services() == [("iris", "api", "three"), ("iris", "serve", "two")]
    history.drop_service("iris", "api")
    history.drop_service("iris", "unheard")
    assert history.services() == [("iris", "serve", "two")]


def test_the_file_is_for_its_owner_only(history: History, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_threads_share_one_history(history: History) -> None:
    history.begin(a_run("r1"), PLAN)
    event = StageStarted(at=1.0, stage="train", attempt=1, handle="h")

    def work() -> None:
        for _ in range(50):
            history.record("r1", event)

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history.events("r1")) == 400


def test_an_event_costs_a_tenth_of_a_millisecond(history: History) -> None:
    history.begin(a_run("r1"), PLAN)
    ended: Event = StageEnded(at=1.0, stage="train", state=StageState.SUCCEEDED, outputs={"m": "d" * 64})
    began = time.process_time()
    for _ in range(1000):
        history.record("r1", ended)
    assert time.process_time() - began < 0.5  # measured: 0.06; room for a slow machine


def test_a_failed_write_leaves_nothing_half_done(history: History) -> None:
    history.begin(a_run("r1"), PLAN)
    with pytest.raises(TypeError):
        history.record("r1", RunEnded(at=1.0, state=RunState.FAILED, reason=object()))  # type: ignore[arg-type]
    assert history.events("r1") == []
    history.record("r1", RunStarted(at=1.0, run="r1"))
    assert len(history.events("r1")) == 1


class TestTrouble:
    def test_a_newer_schema_is_refused_and_left_alone(self, path: Path) -> None:
        History(path).close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
        with pytest.raises(UsageError, match=r"written by a newer version of bodywork \(schema 99"):
            History(path)

    def test_a_file_that_is_no_database(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("nothing that SQLite knows" * 100)
        with pytest.raises(MachineError, match="damaged, or no database") as error:
            History(path)
        assert error.value.hint
        assert f"mv {path}" in error.value.hint

    def test_a_damaged_file(self, path: Path) -> None:
        with History(path) as history:
            for number in range(200):
                history.begin(a_run(f"r{number}"), PLAN)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        with pytest.raises(MachineError, match="damaged"), History(path) as history:
            history.runs()

    def test_a_full_disk(self, history: History) -> None:
        history.begin(a_run("r1"), PLAN)
        connection = history._database._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(MachineError, match="the disk is full") as error:
            for number in range(2, 1000):
                history.begin(a_run(f"r{number}"), PLAN)
        assert error.value.hint == "free some space and try again"
        connection.execute("PRAGMA max_page_count = 100000")
        history.record("r1", RunStarted(at=1.0, run="r1"))

    def test_a_folder_that_cannot_be_written(self, foreign_folder: Path) -> None:
        with pytest.raises(MachineError, match="cannot be written") as error:
            History(foreign_folder / "history.db")
        assert "BODYWORK_HOME" in str(error.value.hint)

    def test_a_file_that_cannot_be_written(self, foreign_folder: Path) -> None:
        with pytest.raises(MachineError, match="cannot be written"):
            History(foreign_folder / "there.db")

    def test_a_system_that_is_read_only(self) -> None:
        with pytest.raises(
            MachineError, match=r"history in /proc/bodywork/history.db cannot be used"
        ) as error:
            History(Path("/proc/bodywork/history.db"))
        assert "BODYWORK_HOME" in str(error.value.hint)

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("")
        with pytest.raises(MachineError, match="cannot be used"):
            History(tmp_path / "home" / "history.db")

    def test_a_folder_in_its_place(self, path: Path) -> None:
        path.mkdir(parents=True)
        with pytest.raises(MachineError, match="cannot be used"):
            History(path)

    def test_a_lock_that_is_never_given_back(self, history: History, path: Path) -> None:
        history._database._connection.execute("PRAGMA busy_timeout = 50")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(MachineError, match="another process has kept it locked") as error:
                history.begin(a_run("r1"), PLAN)
            assert error.value.hint == "wait for the other command, or end it if it hangs"
            assert history.runs() == []  # reading waits for nobody
            other.execute("ROLLBACK")
        history.begin(a_run("r1"), PLAN)
