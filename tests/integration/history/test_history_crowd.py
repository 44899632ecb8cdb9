"""Many processes at once: on a file that is not there yet, and on one that is written all the time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bodywork.history import History
from bodywork.run.events import RunStarted
from bodywork.run.record import encode_plan
from workflows import batch, plan, run_record

CROWD = 20

BEGIN = """
import sys
from pathlib import Path
from bodywork.history import History
from bodywork.run.ledger import RunRecord
from bodywork.run.events import RunEnded, StageStarted
from bodywork.run.record import decode_plan
from bodywork.run.states import RunState

path, name, document = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
print("ready", flush=True)
sys.stdin.read()  # until all are
with History(path) as history:
    history.begin(
        RunRecord(run=name, pipeline=name, target="local", repository="r", ref="main", commit="c" * 40,
                  state=RunState.RUNNING, started=1.0, ended=None, kind="deploy", reason=""),
        decode_plan(document),
    )
    for number in range(50):
        history.record(name, StageStarted(at=float(number), stage="a", attempt=1, handle="h"))
    history.record(name, RunEnded(at=2.0, state=RunState.SUCCEEDED))
"""


def test_twenty_processes_start_on_an_empty_folder_at_once(tmp_path: Path) -> None:
    path, document = tmp_path / "home" / "history.db", encode_plan(plan(batch("a")))
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(path), f"p{number}", document],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(CROWD)
    ]
    for process in crowd:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in crowd:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=120)[1].decode() for process in crowd]
    assert [process.returncode for process in crowd] == [0] * CROWD, said
    with History(path) as history:
        assert len(history.runs()) == CROWD
        assert {len(history.events(record.run)) for record in history.runs()} == {51}
        assert {record.state for record in history.runs()} == {"succeeded"}


KILLED = """
import os, sys
from pathlib import Path
from bodywork.history import History
from bodywork.run.ledger import RunRecord
from bodywork.run.events import StageStarted

history = History(Path(sys.argv[1]))
for number in range(1_000_000):
    history.record("r1", StageStarted(at=float(number), stage="a", attempt=1, handle="h"))
    print(number, flush=True)
"""


def test_what_was_recorded_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with History(path) as history:
        history.begin(run_record("r1"), plan(batch("a")))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(200)]
    process.kill()
    process.wait()
    process.stdout.close()
    last = int(said[-1])
    with History(path) as history:
        assert [event.at for event in history.events("r1")][: last + 1] == [float(n) for n in range(last + 1)]
        history.record("r1", RunStarted(at=0.0, run="r1", resumed=True))
