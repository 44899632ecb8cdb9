"""Notebooks run as stages, in real kernels of 2022 and of today."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from .conftest import PATIENCE, STAGE, Environment, Processes, interpreter, make

pytestmark = [pytest.mark.network, pytest.mark.slow]

RUNNER = str(STAGE / "notebook.py")
SILENCE = 5  # seconds that the runner waits for a cell's last output
Cells = Sequence[str]


@pytest.fixture(scope="session", params=["2022", "today"])
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that can run notebooks."""
    packages = ["nbclient", "ipykernel"]
    if request.param == "2022":
        packages += ["--exclude-newer", "2022-06-01"]
    python = interpreter("3.9" if request.param == "2022" else "3.12")
    return make(tmp_path_factory.mktemp("kernels") / "venv", python, packages)


def write(path: Path, *cells: str, minor: int = 5, tags: Sequence[str] = ()) -> Path:
    """A notebook of code cells, the last of which has tags, with a text cell before them."""
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "text"]}
    code = [
        {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
        for cell in cells
    ]
    code[-1]["metadata"] = {"tags": list(tags)}
    path.write_text(
        json.dumps({"cells": [text, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": minor})
    )
    return path


def run(kernels: Environment, notebook: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    saved = str(notebook.with_name("executed.ipynb"))
    return kernels.run(RUNNER, notebook.name, "--save", saved, *args, cwd=notebook.parent, **more)


def executed(notebook: Path) -> list[dict[str, object]]:
    """The code cells of the executed notebook."""
    saved = json.loads(notebook.with_name("executed.ipynb").read_text())
    return [cell for cell in saved["cells"] if cell["cell_type"] == "code"]


def test_a_notebook_runs_as_a_module_would(kernels: Environment, tmp_path: Path) -> None:
    """Its folder, variables, arguments and imports are those of the stage; its home stays clean."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / "beside.py").write_text("VALUE = 42\n")
    notebook = write(
        work / "report.ipynb",
        "import os, sys\nprint(os.environ['BODYWORK_RUN'], sys.argv)\nprint('oh', file=sys.stderr)",
        "import beside\nbeside.VALUE",
        "%matplotlib?\nos.system('echo from a child') and None",
        "open('written', 'w').write('x') and None",
        "   ",
    )
    done = run(kernels, notebook, "--deep", "a b", BODYWORK_RUN="r1", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("r1 ['report.ipynb', '--deep', 'a b']\n42\n")
    assert "from a child\n" in done.stdout
    assert done.stderr == "[cell 1/4]\noh\n[cell 2/4]\n[cell 3/4]\n[cell 4/4]\n"
    assert list(home.iterdir()) == []
    assert sorted(path.name for path in work.iterdir() if path.is_file()) == [
        *["beside.py", "executed.ipynb", "report.ipynb", "written"],
    ]
    first, second = executed(notebook)[:2]
    assert first["outputs"] == [
        {"output_type": "stream", "name": "stdout", "text": ["r1 ['report.ipynb', '--deep', 'a b']\n"]},
        {"output_type": "stream", "name": "stderr", "text": ["oh\n"]},
    ]
    assert second["execution_count"] == 2
    assert json.loads(notebook.read_text())["cells"][1]["outputs"] == []  # the project's file is left alone


def test_displays_are_shown_and_kept(kernels: Environment, tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "n.ipynb",
        "from IPython.display import HTML, clear_output, display\n"
        "shown = display('first', display_id='one')\nHTML('<b>x</b>')",
        "from IPython.display import Markdown\nshown.update('second')\nMarkdown('# Table')",
        "print('gone')\nclear_output()\nprint('stays')",
        minor=0,
    )
    done = run(kernels, notebook)
    assert done.stdout == ("'first'\n<IPython.core.display.HTML object>\n'second'\n# Table\ngone\nstays\n")
    first, _, third = executed(notebook)
    assert [output["data"] for output in first["outputs"]] == [  # type: ignore[attr-defined]
        {"text/plain": "'second'"},
        {"text/html": "<b>x</b>", "text/plain": "<IPython.core.display.HTML object>"},
    ]
    assert third["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["stays\n"]}]


def test_a_failing_cell_ends_the_notebook(kernels: Environment, tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "n.ipynb", "1", "def f():\n    raise ValueError('so\\nthere')\nf()", "print(3)"
    )
    done = run(kernels, notebook)
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert "Traceback" in done.stderr and "\x1b" not in done.stderr
    assert done.stderr.endswith("n.ipynb: ValueError in cell 2 of 3: so\nthere\n")
    assert [cell["execution_count"] for cell in executed(notebook)] == [1, 2, None]


def test_a_cell_may_be_tagged_to_fail_or_to_be_passed_over(kernels: Environment, tmp_path: Path) -> None:
    assert run(kernels, write(tmp_path / "n.ipynb", "1/0", tags=["raises-exception"])).returncode == 0
    assert run(kernels, write(tmp_path / "n.ipynb", "1/0", tags=["skip-execution"])).returncode == 0


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("raise SystemExit('no data today')", 1),
        ("quit()", 0),
        ("import os; os._exit(5)", 1),
        ("import os; os.kill(os.getpid(), 9)", 1),
    ],
)
def test_exit_codes_are_those_of_a_module(cell: str, code: int, kernels: Environment, tmp_path: Path) -> None:
    done = run(kernels, write(tmp_path / "n.ipynb", cell, "print('more')"))
    assert (done.returncode, done.stdout) == (code, "")
    said = {
        "no data today": "n.ipynb: no data today (exit in cell 1 of 2)",
        "_exit": "n.ipynb: the kernel exited with 5 in cell 1 of 2",
        "kill": "n.ipynb: the kernel was killed by SIGKILL (perhaps as memory ran out) in cell 1 of 2",
    }
    for part, sentence in said.items():
        assert part not in cell or done.stderr.splitlines()[-1] == sentence


def wait_for(condition: Callable[[], object], processes: Processes) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, processes.output
        time.sleep(0.02)


def test_a_cell_may_be_silent_for_long(kernels: Environment, tmp_path: Path) -> None:
    """As a model's training often is, before it prints its score."""
    notebook = write(tmp_path / "n.ipynb", f"import time\ntime.sleep({SILENCE + 2})\nprint('score')", "1")
    done = run(kernels, notebook)
    assert (done.returncode, done.stdout) == (0, "score\n1\n")
    assert done.stderr == "[cell 1/2]\n[cell 2/2]\n"


@pytest.mark.parametrize("whom", ["runner", "group"])
def test_a_notebook_that_is_stopped_leaves_no_process(
    whom: str, kernels: Environment, processes: Processes, tmp_path: Path
) -> None:
    """Its output appears while it runs, and what there is of it is kept."""
    notebook = write(
        tmp_path / "n.ipynb",
        "import time\ntry:\n    print('working')\n    time.sleep(600)\nfinally:\n    print('tidied up')",
    )
    command = [kernels.python, RUNNER, "n.ipynb", "--save", "executed.ipynb"]
    child = processes.start(command, kernels.variables(TMPDIR=str(tmp_path)))
    wait_for(lambda: "working" in processes.output, processes)
    family = psutil.Process(child.pid).children(recursive=True)
    assert [os.getpgid(process.pid) for process in family] == [child.pid] * len(family)
    begun = time.monotonic()
    (os.kill if whom == "runner" else os.killpg)(child.pid, signal.SIGTERM)
    assert child.wait(PATIENCE) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 10  # before the stage would be killed
    wait_for(lambda: not any(process.is_running() for process in family), processes)
    assert processes.output.endswith("n.ipynb: stopped in cell 1 of 1\n")
    assert "working" in str(executed(notebook))
    assert ("tidied up" in processes.output) == (whom == "runner"), processes.output
    assert not list(tmp_path.glob("bodywork-*"))


def test_a_kernel_ends_when_its_runner_is_killed(
    kernels: Environment, processes: Processes, tmp_path: Path
) -> None:
    write(tmp_path / "n.ipynb", "import time\nprint('working')\ntime.sleep(600)")
    command = [kernels.python, RUNNER, "n.ipynb", "--save", "executed.ipynb"]
    child = processes.start(command, kernels.variables(TMPDIR=str(tmp_path)))
    wait_for(lambda: "working" in processes.output, processes)
    family = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    wait_for(lambda: not any(alive(process) for process in family), processes)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_flood_of_output_gets_through(kernels: Environment, tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "n.ipynb",
        "for number in range(20_000):\n    print(number, flush=number % 10 == 0)",
        "print('x' * 10_000_000)",
    )
    done = run(kernels, notebook)
    lines = done.stdout.splitlines()
    assert lines[:-1] == [str(number) for number in range(20_000)]
    assert len(lines[-1]) == 10_000_000


def test_a_long_folder_for_temporary_files_will_do(kernels: Environment, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    assert run(kernels, write(tmp_path / "n.ipynb", "1"), TMPDIR=str(folder)).stdout == "1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not a notebook, as it is not JSON: Expecting"),
        ("[]", "not a notebook, as it has no cells"),
        ('{"nbformat": 4}', "not a notebook, as it has no cells"),
        (
            '{"nbformat": 3, "worksheets": []}',
            "its notebook format is 3; open it in Jupyter and save it, which gives it format 4",
        ),
    ],
)
def test_what_is_no_notebook_is_refused(text: str, sentence: str, bare: Environment, tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text(text)
    done = run(bare, tmp_path / "n.ipynb")
    assert done.returncode == 2
    assert done.stderr.startswith(f"n.ipynb: {sentence}")
    assert len(done.stderr.splitlines()) == 1


def test_no_file_and_no_kernel_are_said(bare: Environment, tmp_path: Path) -> None:
    assert run(bare, tmp_path / "n.ipynb").stderr == ("n.ipynb: cannot be read: No such file or directory\n")
    done = run(bare, write(tmp_path / "n.ipynb", "1"))
    assert (done.returncode, done.stderr) == (
        2,
        "n.ipynb: notebooks need jupyter_client and ipykernel;"
        " add nbclient and ipykernel to the requirements of this stage\n",
    )


def test_the_saved_notebook_holds_no_value_of_a_secret(kernels: Environment, tmp_path: Path) -> None:
    """Neither in one piece, nor in pieces that come one by one, nor escaped as JSON has it."""
    value = 'hunter2"\\x'
    notebook = write(
        tmp_path / "train.ipynb",
        "import os, time\ntoken = os.environ['TOKEN']\nprint('is', token[:4], end='', flush=True)\n"
        "time.sleep(1)\nprint(token[4:], flush=True)\nprint('done')",
        "{token: token}",
        "raise ValueError(token)",
    )
    run(kernels, notebook, TOKEN=value, BODYWORK_SECRETS="TOKEN")
    saved = notebook.with_name("executed.ipynb").read_text()
    assert "hunter2" not in saved and saved.count("***") >= 4
    assert executed(notebook)[0]["outputs"][0]["text"] == ["is ***\ndone\n"]  # type: ignore[index]
