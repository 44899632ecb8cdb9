"""The runtime of a stage's pod, as a real process on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from .conftest import STAGE, fetch, interpreter
from .pod import Pod

TELL = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), sys.path[:2], sys.prefix, dict(os.environ)]))
"""
WAIT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", time.time(), flush=True), sys.exit(7)))
print("up", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "pod")


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.11", "3.13"])
def test_a_module_runs_as_it_does_on_one_machine(version: str, tmp_path: Path) -> None:
    pod = Pod(tmp_path, python=interpreter(version), version=version)
    pod.change = {
        "args": ["--model", "a b"],
        "outputs": [{"name": "my model", "file": "out/model.bin", "to": {"url": "http://nowhere"}}],
        "secrets": [],
    }
    ended = pod.run(TELL + "sys.exit(3)")
    argv, folder, path, prefix, variables = json.loads(ended.own[0])
    project = str(pod.work / "project")
    assert argv == ["train.py", "--model", "a b"]
    assert (folder, path) == (f"{project}/pipeline", [f"{project}/pipeline", project])
    assert prefix.startswith(str(tmp_path / "cache" / "environments" / ("e" * 32)))
    assert variables["VIRTUAL_ENV"] == prefix and variables["PATH"].startswith(f"{prefix}/bin:")
    assert variables["HOME"] == str(pod.work / "home") and variables["TMPDIR"] == str(pod.work / "tmp")
    assert variables["BODYWORK_OUTPUT_MY_MODEL"] == str(pod.work / "outputs/out/model.bin")
    assert "BODYWORK_LAUNCH" not in variables
    assert ended.code == 3
    assert ended.said["phase"] == "module"
    assert (ended.said["exit_code"], ended.said["signal"]) == (3, None)
    assert (ended.said["reason"], ended.said["retry"]) == ("exited with 3", True)
    assert abs(ended.said["began"] - time.time()) < 60


def test_what_begins_the_time_limit_is_said_before_the_module_prints(pod: Pod) -> None:
    ended = pod.run("print('mine')")
    first, second = ended.output.splitlines()
    assert first.startswith("bodywork: starting pipeline/train.py (packages ready after ")
    assert second == "mine"
    assert (ended.code, ended.said["reason"]) == (0, "")


def test_it_is_no_command_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", str(STAGE / "launch.py")], capture_output=True, env={})
    assert (done.returncode, done.stderr) == (2, b"")
    assert done.stdout.startswith(b"bodywork: BODYWORK_LAUNCH is not set")


def test_a_restarted_container_works_on_the_same_files_again(pod: Pod) -> None:
    module = "import os; print(os.listdir('.')); open('left', 'w').close(); open('train.py', 'w').close()"
    first, second = pod.run(module), pod.start().wait()
    assert first.own == second.own == ["['train.py']"]


def test_variables_of_the_project_file_win(pod: Pod) -> None:
    pod.variables = {"HOME": "/given", "PYTHONPATH": "/given/path", "NO_PROXY": "example.org"}
    pod.change = {"given": ["HOME", "PYTHONPATH"], "hosts": ["serve", "iris--serve"]}
    *_, variables = json.loads(pod.run(TELL).own[0])
    assert (variables["HOME"], variables["PYTHONPATH"]) == ("/given", "/given/path")
    assert variables["TMPDIR"] == str(pod.work / "tmp")
    assert variables["NO_PROXY"] == (
        "example.org,localhost,127.0.0.1,::1,127.0.0.0/8,.svc,.cluster.local,iris--serve,serve"
    )


def test_another_python_than_that_of_the_lock_is_refused(pod: Pod) -> None:
    pod.version = "3.2"
    ended = pod.run("print('ran')")
    assert (ended.code, ended.own) == (97, [])
    assert ended.said["phase"] == "preparing"
    assert ended.said["reason"].startswith("it asks for Python 3.2, but its image has 3.")
    assert not ended.said["retry"]


def test_a_module_that_is_not_in_the_project_is_named(pod: Pod) -> None:
    pod.change = {"run": "pipeline/other.py"}
    ended = pod.run("")
    assert (ended.code, ended.said["reason"]) == (97, "pipeline/other.py is not in the project")


def test_a_project_that_is_there_already_is_left_as_it_is(pod: Pod) -> None:
    (pod.work / "project" / "pipeline").mkdir(parents=True)
    (pod.work / "project" / "pipeline" / "train.py").write_text("print('brought')")
    pod.change = {"source": None}
    assert pod.run().own == ["brought"]


def test_secrets_are_masked_in_all_that_is_printed(pod: Pod) -> None:
    pod.variables = {"TOKEN": "open sesame", "EMPTY": ""}
    pod.change = {"secrets": ["TOKEN", "EMPTY", "ABSENT"]}
    ended = pod.run("""
import os, subprocess, sys
print(os.environ["BODYWORK_SECRETS"], os.environ["TOKEN"])
print("and", os.environ["TOKEN"], file=sys.stderr)
subprocess.run(["sh", "-c", "printf '%s' \\"$TOKEN\\"; sleep 0.1; echo .; kill -9 $PPID"])
""")
    assert ended.own == ["TOKEN,EMPTY,ABSENT ***", "and ***", "***."]
    assert ended.code == 137


def test_a_signal_that_ended_the_module_is_told(pod: Pod) -> None:
    ended = pod.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (ended.code, ended.said["exit_code"], ended.said["signal"]) == (137, 137, 9)
    assert "was killed" in ended.said["reason"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on_and_the_exit_code_is_kept(number: signal.Signals, pod: Pod) -> None:
    pod.project({"pipeline/train.py": WAIT.replace("SIGTERM", number.name)})
    running = pod.start()
    running.until("up")
    running.send(number)
    ended = running.wait()
    assert ended.code == 7
    assert "asked to end" in ended.output


def test_a_module_has_the_signals_of_a_fresh_process(pod: Pod) -> None:
    ended = pod.run("""
import signal
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
import subprocess; print(subprocess.run(["sh", "-c", "yes | head -n 1"], capture_output=True).returncode)
""")
    assert ended.own == ["set() True", "0"]


def test_a_service_goes_on_for_a_while_after_it_was_asked_to_end(pod: Pod) -> None:
    pod.project({"pipeline/train.py": WAIT})
    pod.change = {"drain": 1.0}
    running = pod.start()
    running.until("up")
    asked = time.time()
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert 0.9 < float(ended.own[-1].split()[-1]) - asked < 5
    assert ended.code == 7


def test_a_service_that_binds_the_loopback_is_reached_from_outside(
    pod: Pod, free_port: Callable[[], int]
) -> None:
    port = free_port()
    pod.project(
        {
            "pipeline/train.py": f"""
from http.server import HTTPServer, BaseHTTPRequestHandler
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"ok")
server = HTTPServer(("127.0.0.1", {port}), Handler)
print("up", flush=True)
server.serve_forever()
"""
        }
    )
    pod.change = {"port": port}
    running = pod.start()
    running.until("up")
    assert fetch(port, "127.0.0.2") == "ok"
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_a_module_that_nobody_else_ends_is_ended(pod: Pod) -> None:
    pod.change = {"timeout": -14.5}  # the backstop comes 15 s after that
    ended = pod.run(WAIT.replace("sys.exit(7)", "sys.exit(0)"))
    assert (ended.code, ended.said["reason"]) == (143, "did not end within -14.5 s")


@pytest.mark.parametrize("code", ["143", "97"])
def test_preparing_ends_when_it_is_asked_to_or_takes_too_long(code: str, pod: Pod) -> None:
    pod.project({"pipeline/train.py": ""})
    os.mkfifo(pod.folder / "lock")  # reading it takes for ever
    lock = {**pod.order["lock"], "empty": False, "file": str(pod.folder / "lock")}
    pod.change = {"lock": lock, "prepare_timeout": 60.0 if code == "143" else 1.0}
    running = pod.start()
    deadline = time.monotonic() + 20
    while not list(pod.folder.glob("cache/environments/*.tmp/env/bin/python")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if code == "143":
        running.send(signal.SIGTERM)
    ended = running.wait()
    assert str(ended.code) == code
    reason = {"143": "was stopped while preparing", "97": "its packages and inputs were not ready in time"}
    assert (ended.said["phase"], ended.said["reason"]) == ("preparing", reason[code])
    assert ended.said["retry"]
    assert not list(pod.folder.glob("cache/environments/*.tmp"))


def test_what_the_module_leaves_behind_ends_with_it(pod: Pod) -> None:
    ended = pod.run("""
import subprocess
print(subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL).pid)
""")
    deadline = time.monotonic() + 5
    while Path(f"/proc/{ended.own[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_takes_in_orphans_and_ends_them_as_process_1(pod: Pod) -> None:
    pod.before = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*pod.before, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces of processes here")
    began = time.monotonic()
    ended = pod.run("""
import os, subprocess, time
print("parent", os.getppid())
subprocess.run(["sh", "-c", "sleep 0.2 & setsid sleep 1000 & exit 0"])
time.sleep(0.6)
states = subprocess.run(["ps", "-eo", "stat,args"], capture_output=True, text=True).stdout.splitlines()
print([line for line in states if line.startswith("Z")])
""")
    assert ended.own == ["parent 1", "[]"]
    assert (ended.code, time.monotonic() - began < 30) == (0, True)


def test_peak_memory_and_time_are_measured(pod: Pod) -> None:
    # A pod's runtime has a small parent; that of the tests may have needed more memory than the module does.
    small = replace(pod, before=("sh", "-c", '"$@"; exit $?', "sh"))
    ended = small.run("data = bytearray(200_000_000); sum(range(3_000_000))")
    assert 200e6 < ended.said["peak_memory"] < 400e6
    assert 0.02 < ended.said["cpu_seconds"] < 10
