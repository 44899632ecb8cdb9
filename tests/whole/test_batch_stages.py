"""Batch stages as they are found in the wild: good ones, bad ones, and those that behave badly."""

from __future__ import annotations

import signal
import time

import pytest

from bodywork.process import identity
from tool import Repository, Tool, wait_for

HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'


def one_stage(module: str, settings: str = "") -> dict[str, str]:
    return {"bodywork.yaml": f"{HEAD}stages:\n  one:\n    run: one.py\n{settings}", "one.py": module}


def test_a_stage_runs_with_its_arguments_and_its_output_is_kept(tool: Tool, repository: Repository) -> None:
    files = one_stage(
        "import sys, os\nprint('got', sys.argv[1:], os.environ['LEVEL'])\nprint('oops', file=sys.stderr)\n",
        "    args: [--model, linear]\n    env: {LEVEL: high}\n",
    )
    commit = repository.commit(files)
    answer = tool.good("deploy", str(repository.path))
    assert "one | got ['--model', 'linear'] high" in answer.out
    logs = tool.good("logs", "demo", "one")
    assert logs.out == "got ['--model', 'linear'] high\noops\n"
    status = tool.good("status", "demo", "--output", "json").json
    assert status["commit"] == commit
    assert status["state"] == "succeeded"
    assert [stage["state"] for stage in status["stages"]] == ["succeeded"]


def test_steps_run_in_order_and_their_stages_at_the_same_time(tool: Tool, repository: Repository) -> None:
    meet = (
        "import os, sys, time\n"
        "mine, other = sys.argv[1:]\n"
        "open(mine, 'w').close()\n"
        "end = time.time() + 20\n"
        "while not os.path.exists(other) and time.time() < end: time.sleep(0.01)\n"
        "sys.exit(0 if os.path.exists(other) else 5)\n"
    )
    a, b = tool.home / "a", tool.home / "b"
    last = f"import os, sys\nsys.exit(0 if os.path.exists({str(a)!r}) else 6)\n"
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: left, right >> last\nstages:\n"
            f"  left: {{run: meet.py, args: [{a}, {b}]}}\n"
            f"  right: {{run: meet.py, args: [{b}, {a}]}}\n"
            "  last: {run: last.py}\n",
            "meet.py": meet,
            "last.py": last,
        }
    )
    tool.good("deploy", str(repository.path))


def test_a_failing_stage_fails_the_run_and_its_siblings_finish(tool: Tool, repository: Repository) -> None:
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: bad, slow >> never\non_failure: tell\nstages:\n"
            "  bad: {run: bad.py}\n  slow: {run: slow.py}\n  never: {run: slow.py}\n  tell: {run: tell.py}\n",
            "bad.py": "raise SystemExit(3)\n",
            "slow.py": "import time; time.sleep(1); print('finished')\n",
            "tell.py": "import os, json\n"
            "print('told', json.loads(os.environ['BODYWORK_FAILURE'])['stage'])\n",
        }
    )
    answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "slow | finished" in answer.out
    assert "tell | told bad" in answer.out
    assert "bad" in answer.err and "exited with 3" in answer.err and "bodywork resume demo" in answer.err
    stages = {s["name"]: s["state"] for s in tool.good("status", "demo", "-o", "json").json["stages"]}
    assert stages == {"bad": "failed", "slow": "succeeded", "never": "skipped", "tell": "succeeded"}


def test_retries_until_it_succeeds(tool: Tool, repository: Repository) -> None:
    count = tool.home / "count"
    module = (
        f"import os, sys\npath = {str(count)!r}\n"
        "n = len(open(path).read()) if os.path.exists(path) else 0\n"
        "open(path, 'a').write('x')\nprint('try', n)\nsys.exit(0 if n == 1 else 1)\n"
    )
    repository.commit(one_stage(module, "    batch: {retries: 2}\n"))
    answer = tool.good("deploy", str(repository.path))
    assert count.read_text() == "xx"
    assert "attempt 2" in answer.out
    assert tool.good("logs", "demo", "one").out == "try 0\n-- another attempt --\ntry 1\n"


def test_a_timeout_ends_a_stage_that_ignores_term_and_its_children(
    tool: Tool, repository: Repository
) -> None:
    module = (
        "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '300'])\nprint('up', flush=True)\ntime.sleep(300)\n"
    )
    repository.commit(one_stage(module, "    batch: {timeout: 1s}\n"))
    begin = time.monotonic()
    answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "did not end within 1" in answer.err
    assert time.monotonic() - begin < 60
    assert not tool.processes()


@pytest.mark.parametrize("own_session", [False, True])
def test_children_that_outlive_a_stage_are_ended_with_it(
    tool: Tool, repository: Repository, own_session: bool
) -> None:
    module = (
        "import subprocess\n"
        f"subprocess.Popen(['sleep', '300'], start_new_session={own_session})\nprint('done')\n"
    )
    repository.commit(one_stage(module))
    tool.good("deploy", str(repository.path))
    assert not tool.processes()


def test_a_crowd_of_children_is_ended_with_its_stage(tool: Tool, repository: Repository) -> None:
    module = "import subprocess\nfor n in range(40):\n"
    module += "    subprocess.Popen(['sleep', '300'], start_new_session=bool(n % 2))\n"
    repository.commit(one_stage(module))
    tool.good("deploy", str(repository.path))
    assert not tool.processes()


def test_a_stage_that_is_killed_says_so(tool: Tool, repository: Repository) -> None:
    repository.commit(one_stage("import os; os.kill(os.getpid(), 9)\n"))
    answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "was killed by SIGKILL" in answer.err


def test_binary_output_and_long_lines_are_kept_as_they_are(tool: Tool, repository: Repository) -> None:
    module = (
        "import sys\nout = sys.stdout.buffer\nout.write(b'\\xff\\x00\\n')\n"
        "out.write(b'x' * 10_000_000 + b'\\nend')\n"
    )
    repository.commit(one_stage(module))
    answer = tool.good("deploy", str(repository.path))
    assert "end" in answer.out
    logs = tool.good("logs", "demo", "one").out
    assert logs.count("x") == 10_000_000
    assert logs.endswith("end\n")


def test_a_hundred_megabytes_of_output_neither_block_nor_fill_the_memory(
    tool: Tool, repository: Repository
) -> None:
    module = "line = 'y' * 99 + '\\n'\nfor _ in range(100):\n    print(line * 10_000, end='')\n"
    repository.commit(one_stage(module))
    answer = tool.good("deploy", str(repository.path), timeout=240)
    assert answer.out.count("y" * 99) == 1_000_000


def test_outputs_reach_the_stages_that_read_them(tool: Tool, repository: Repository) -> None:
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: make >> use\nstages:\n"
            "  make: {run: make.py, outputs: {model: model.json}}\n"
            "  use: {run: use.py, inputs: {weights: make.model}}\n",
            "make.py": "import os; open(os.environ['BODYWORK_OUTPUT_MODEL'], 'w').write('[1, 2]')\n",
            "use.py": "import os; p = os.environ['BODYWORK_INPUT_WEIGHTS']; print(p[-10:], open(p).read())\n",
        }
    )
    answer = tool.good("deploy", str(repository.path))
    assert "use | model.json [1, 2]" in answer.out
    again = tool.good("deploy", str(repository.path), "--only", "use")
    assert "use | model.json [1, 2]" in again.out
    assert "make |" not in again.out


def test_a_declared_output_that_was_not_written_fails_the_stage(tool: Tool, repository: Repository) -> None:
    repository.commit(one_stage("print('forgot')\n", "    outputs: {model: model.bin}\n"))
    answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "did not write its output model" in answer.err
    assert "$BODYWORK_OUTPUT_MODEL" in answer.err


def test_a_stage_sees_a_small_environment(tool: Tool, repository: Repository) -> None:
    tool.extra = {"MY_TOKEN": "s3cr3t", "WANTED": "yes", "LC_ALL": "C.UTF-8"}
    repository.commit(one_stage("import os\nfor name in sorted(os.environ): print(name)\n"))
    names = tool.good("deploy", str(repository.path), "--pass-env", "WANTED").out
    assert "MY_TOKEN" not in names
    assert "| WANTED" in names and "| LC_ALL" in names and "| BODYWORK_RUN" in names


def test_the_module_runs_in_its_own_folder_with_the_root_importable(
    tool: Tool, repository: Repository
) -> None:
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}stages:\n  one: {{run: deep/down/one.py}}\n",
            "deep/down/one.py": "import os, shared\nprint(os.path.basename(os.getcwd()), shared.NAME)\n",
            "shared.py": "NAME = 'root'\n",
        }
    )
    assert "one | down root" in tool.good("deploy", str(repository.path)).out


def test_uncommitted_work_is_deployed_as_a_snapshot(tool: Tool, repository: Repository) -> None:
    repository.commit(one_stage("print('committed')\n"))
    repository.write({"one.py": "print('changed')\n"})
    answer = tool.good("deploy", ".", cwd=repository.path)
    assert "uncommitted work (1 changed file) is taken as snapshot commit" in answer.err
    assert "one | changed" in answer.out
    assert repository.git("status", "--porcelain") == "M one.py"
    commit = tool.good("status", "demo", "-o", "json").json["commit"]
    assert repository.git("rev-parse", "HEAD") != commit


def test_ctrl_c_cancels_and_resume_goes_on(tool: Tool, repository: Repository) -> None:
    flag = tool.home / "flag"
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: first >> second\nstages:\n"
            "  first: {run: first.py}\n  second: {run: second.py}\n",
            "first.py": "print('first ran')\n",
            "second.py": f"import os, time\nprint('in second', flush=True)\n"
            f"time.sleep(0 if os.path.exists({str(flag)!r}) else 300)\n",
        }
    )
    child = tool.start("deploy", str(repository.path))
    assert child.stdout is not None
    for line in child.stdout:
        if "in second" in line:
            break
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert "bodywork resume demo" in err
    assert tool.good("runs", "demo", "-o", "json").json[0]["state"] == "cancelled"
    assert not tool.processes()
    flag.touch()
    answer = tool.good("resume", "demo")
    assert "first |" not in answer.out and "second | in second" in answer.out
    assert [run["state"] for run in tool.good("runs", "demo", "-o", "json").json] == ["succeeded"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.2])
def test_a_command_that_is_told_to_end_says_so_at_any_time(
    tool: Tool, repository: Repository, number: signal.Signals, seconds: float
) -> None:
    repository.commit(one_stage("import time\ntime.sleep(300)\n"))
    child = tool.start("deploy", str(repository.path))
    time.sleep(seconds)
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    # While Python starts, the signal itself ends it; a shell calls SIGINT 130, too.
    assert child.returncode in (130, -number, -signal.SIGINT), err
    assert "Traceback" not in err
    wait_for(lambda: not tool.processes())


def test_the_end_of_the_terminal_is_nothing_to_a_run_under_nohup(tool: Tool, repository: Repository) -> None:
    repository.commit(one_stage("import time\nprint('up', flush=True)\ntime.sleep(1)\n"))
    child = tool.start(
        "deploy", str(repository.path), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    assert child.stdout is not None
    for line in child.stdout:
        if "| up" in line:
            break
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=30)
    assert child.returncode == 0


def test_after_kill_9_the_run_is_interrupted_and_resume_ends_what_was_left(
    tool: Tool, repository: Repository
) -> None:
    flag, starts = tool.home / "flag", tool.home / "starts"
    repository.commit(
        one_stage(
            f"import os, time\nopen({str(starts)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
            f"time.sleep(0 if os.path.exists({str(flag)!r}) else 300)\n"
        )
    )
    child = tool.start("deploy", str(repository.path))
    wait_for(lambda: starts.exists() and starts.read_text().endswith("\n"))
    wait_for(lambda: tool("status", "demo", "-o", "json").json["stages"][0]["state"] == "running")
    child.kill()
    child.communicate()
    assert tool.good("runs", "demo", "-o", "json").json[0]["state"] == "interrupted"
    flag.touch()
    tool.good("resume", "demo")
    first = int(starts.read_text().split()[0])
    assert identity(first) is None
    assert tool.good("status", "demo", "-o", "json").json["state"] == "succeeded"


def test_what_left_the_session_of_a_stage_ends_with_a_killed_command(
    tool: Tool, repository: Repository
) -> None:
    module = "import subprocess, time\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\n"
    repository.commit(one_stage(f"{module}print('up', flush=True)\ntime.sleep(300)\n"))
    child = tool.start("deploy", str(repository.path))
    assert child.stdout is not None
    for line in child.stdout:
        if "| up" in line:
            break
    child.kill()
    child.communicate()
    wait_for(lambda: not tool.processes())


def test_a_second_deploy_of_a_pipeline_is_refused_by_name(tool: Tool, repository: Repository) -> None:
    repository.commit(one_stage("import time; print('up', flush=True); time.sleep(300)\n"))
    child = tool.start("deploy", str(repository.path))
    assert child.stdout is not None
    for line in child.stdout:
        if "| up" in line:
            break
    run = tool.good("runs", "-o", "json").json[0]["run"]
    refused = tool("deploy", str(repository.path))
    assert refused.code == 2
    assert f"pipeline demo is busy: run {run} (process {child.pid}) is in progress" in refused.err
    assert f"run {run} of demo is cancelled" in tool.good("stop", "demo").out
    child.communicate(timeout=30)
    assert child.returncode == 130


def test_delete_leaves_nothing_of_a_pipeline(tool: Tool, repository: Repository) -> None:
    repository.commit(one_stage("print('hello')\n"))
    tool.good("deploy", str(repository.path))
    assert tool("delete", "demo").code == 2
    tool.good("delete", "demo", "--yes")
    missing = tool("status", "demo")
    assert missing.code == 2 and "there is no pipeline demo" in missing.err
    runs = tool.home / "state" / "runs"
    assert not runs.exists() or not list(runs.iterdir())
