"""Runs a notebook as a stage, in a kernel of this very environment.

    python notebook.py NOTEBOOK.ipynb --save EXECUTED.ipynb [args...]

Output appears as the cells print it; the executed notebook is saved after every cell. The exit
code is 0, 1 when a cell fails or the kernel dies, the one of a cell's `sys.exit`, 2 when there is
no notebook or no kernel to run, and 128 + the number of the signal that stopped it. `args` are
`sys.argv[1:]` in the notebook.

Written for jupyter_client from 6 to 8, which nbclient brings: nbclient itself shows no output
before a cell has ended, and starts the kernel in a session of its own, where it outlives a stage
that is killed. Here the kernel stays in the stage's group of processes. Standard library and
jupyter_client only, Python >= 3.8.
"""

import importlib
import importlib.util
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional

POLL = 0.2  # seconds between looks at the kernel's process while it is silent
START = 120.0  # seconds that a kernel may take to answer
SILENCE = 5.0  # seconds after a cell's end in which its last output has to come
INTERRUPT = 5.0  # seconds that a cell has to end itself, when the stage is stopped
SHUTDOWN = 1.5  # seconds that a kernel has to end when asked, and when told
LONGEST_SOCKET = 80  # characters of a folder for Unix sockets, whose paths end at about 104
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(Exception):
    """The notebook ends here, with an exit code and, unless it has been said already, a sentence."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class Stop:
    """Remembers that this process was asked to end."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)

    def _asked(self, number: int, frame: "Any") -> None:
        self.signal = number


class Notebook:
    """The notebook's JSON; `cells` are those to run."""

    def __init__(self, path: str, save: str) -> None:
        self.name = os.path.basename(path)
        self._save = save
        self._masked = masker()
        self._json = read(path)
        cells = [cell for cell in self._json["cells"] if cell.get("cell_type") == "code"]
        self.cells = [cell for cell in cells if source(cell).strip() and "skip-execution" not in tags(cell)]
        for cell in cells:
            cell.update(outputs=[], execution_count=None)

    def save(self) -> None:
        """Replace the saved notebook in one go."""
        fresh = self._save + ".new"
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(self._masked(self._json), file, indent=1, ensure_ascii=False)
            file.write("\n")
        os.replace(fresh, self._save)


def masker() -> "Callable[[Any], Any]":
    """Takes the values of this stage's secrets out of what is to be saved."""
    names = os.environ.get("BODYWORK_SECRETS", "").split(",")
    values = [os.environ[name] for name in names if os.environ.get(name)]
    if not values:
        return lambda document: document
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "masking.py")
    spec = importlib.util.spec_from_file_location("bodywork_masking", path)
    assert spec is not None and spec.loader is not None
    masking = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(masking)
    document: "Callable[[Any], Any]" = masking.Masker(values).document
    return document


def read(path: str) -> "Dict[str, Any]":
    try:
        with open(path, encoding="utf-8") as file:
            found: "Dict[str, Any]" = json.load(file)
    except OSError as error:
        raise NotebookError(2, "cannot be read: %s" % error.strerror) from None
    except ValueError as error:
        raise NotebookError(2, "not a notebook, as it is not JSON: %s" % error) from None
    format_ = found.get("nbformat") if isinstance(found, dict) else None
    if isinstance(format_, int) and format_ != 4:
        sentence = "its notebook format is %d; open it in Jupyter and save it, which gives it format 4"
        raise NotebookError(2, sentence % format_)
    if format_ != 4 or not isinstance(found.get("cells"), list):
        raise NotebookError(2, "not a notebook, as it has no cells")
    return found


def source(cell: "Dict[str, Any]") -> str:
    return "".join(cell.get("source", ""))


def tags(cell: "Dict[str, Any]") -> "Any":
    return cell.get("metadata", {}).get("tags", ())


class Outputs:
    """What the cells print: shown as it comes, and kept as nbformat 4 has it."""

    def __init__(self) -> None:
        self._displays: "Dict[str, List[Dict[str, Any]]]" = {}
        self._clear = False

    def take(self, cell: "Dict[str, Any]", kind: str, content: "Dict[str, Any]") -> None:
        """One message of the kernel about a cell."""
        if kind == "clear_output":
            self._clear = True
        if self._clear and not content.get("wait"):
            cell["outputs"], self._clear = [], False
        if kind in ("stream", "display_data", "execute_result", "error", "update_display_data"):
            show(kind, content)
            self._keep(cell["outputs"], kind, content)

    def _keep(self, outputs: "List[Any]", kind: str, content: "Dict[str, Any]") -> None:
        display = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            for shown in self._displays.get(display, []):
                shown.update(data=content["data"], metadata=content["metadata"])
        elif kind == "stream" and outputs and outputs[-1].get("name") == content["name"]:
            outputs[-1]["text"].append(content["text"])
        else:
            outputs.append(as_output(kind, content))
            if display:
                self._displays.setdefault(display, []).append(outputs[-1])


def as_output(kind: str, content: "Dict[str, Any]") -> "Dict[str, Any]":
    if kind == "stream":
        return {"output_type": kind, "name": content["name"], "text": [content["text"]]}
    keys = ["ename", "evalue", "traceback"] if kind == "error" else ["data", "metadata"]
    if kind == "execute_result":
        keys.append("execution_count")
    return dict({key: content[key] for key in keys}, output_type=kind)


def show(kind: str, content: "Dict[str, Any]") -> None:
    """Print an output as text."""
    if kind == "stream":
        stream = sys.stderr if content["name"] == "stderr" else sys.stdout
        text = content["text"]
    elif kind == "error":
        stream, text = sys.stderr, "\n".join(content["traceback"]) + "\n"
        text = text if stream.isatty() else COLOURS.sub("", text)
    else:
        data = content.get("data", {})
        stream, text = sys.stdout, "".join(data.get("text/markdown") or data.get("text/plain", ""))
        text += "\n" if text else ""
    stream.write(text)
    stream.flush()


class Kernel:
    """A kernel process in our own group of processes, and the connection to it."""

    def __init__(self, folder: str, stop: Stop) -> None:
        jupyter_client: "Any" = importlib.import_module("jupyter_client")
        self._stop = stop
        file = os.path.join(folder, "kernel.json")
        transport = "ipc" if len(folder) < LONGEST_SOCKET else "tcp"
        ip = os.path.join(folder, "k") if transport == "ipc" else "127.0.0.1"
        key = os.urandom(16).hex().encode()
        jupyter_client.write_connection_file(file, ip=ip, transport=transport, key=key)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", file],
            stdin=subprocess.DEVNULL,
            env=dict(os.environ, JPY_PARENT_PID=str(os.getpid())),
        )
        self._client: "Any" = jupyter_client.BlockingKernelClient(connection_file=file)
        self._client.load_connection_file()
        # A kernel drops what a slow reader has no room for: take in all of it, however much there is.
        self._zmq: "Any" = importlib.import_module("zmq")
        self._client.context.setsockopt(self._zmq.RCVHWM, 0)
        self._client.start_channels(stdin=False, hb=False)

    def wait(self) -> None:
        """Until the kernel answers, and we are sure to hear what it prints."""
        deadline = time.monotonic() + START
        while True:
            self._client.kernel_info()
            if self._message(0.5):
                return
            self.check("before the first cell")
            if time.monotonic() > deadline:
                raise NotebookError(1, "the kernel did not start in %d seconds" % START)

    def execute(self, code: str, silent: bool = False) -> str:
        """Have it run; gives the request's id."""
        request: str = self._client.execute(code, silent=silent, store_history=not silent, allow_stdin=False)
        return request

    def messages(self, request: str) -> "Iterator[Dict[str, Any]]":
        """What the kernel has to say about a request, until that is done or cannot be any more.

        When the stage has to stop, what runs is interrupted. A kernel under a flood of output can
        lose the message of the end; then its reply, and silence, tell.
        """
        deadline = None
        while True:
            message = self._message(POLL)
            if message and message["parent_header"].get("msg_id") == request:
                if message["content"].get("execution_state") == "idle":
                    return
                yield message
            if self._stop.signal and not deadline:
                deadline = time.monotonic() + INTERRUPT
                self._process.send_signal(signal.SIGINT)
            if message is None and self._process.poll() is not None:
                return
            if message is None and not deadline and self._replied():
                deadline = time.monotonic() + SILENCE
            if deadline and time.monotonic() > deadline:
                return

    def _replied(self) -> bool:
        """A reply has come. The channel's own `msg_ready` is a coroutine in jupyter_client 7."""
        events: int = self._client.shell_channel.socket.getsockopt(self._zmq.EVENTS)
        return bool(events & self._zmq.POLLIN)

    def reply(self, request: str, where: str) -> "Dict[str, Any]":
        """The answer to a request that is done."""
        while True:
            self.check(where)
            try:
                message = self._client.get_shell_msg(timeout=POLL)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") == request:
                content: "Dict[str, Any]" = message["content"]
                return content

    def _message(self, timeout: float) -> "Optional[Dict[str, Any]]":
        try:
            message: "Dict[str, Any]" = self._client.get_iopub_msg(timeout=timeout)
            return message
        except queue.Empty:
            return None

    def check(self, where: str) -> None:
        """Raises NotebookError when the kernel has died, or the stage has been asked to end."""
        code = self._process.poll()
        if self._stop.signal:
            raise NotebookError(128 + self._stop.signal, "stopped %s" % where)
        if code is not None:
            raise NotebookError(1, "the kernel %s %s" % (ending(code), where))

    def end(self) -> None:
        """No process is left behind: asked, told, killed."""
        if self._process.poll() is None:
            self._client.shutdown()
        for step in (None, self._process.terminate, self._process.kill):
            if step is not None:
                step()
            try:
                self._process.wait(SHUTDOWN)
                break
            except subprocess.TimeoutExpired:
                continue
        self._client.stop_channels()


def ending(code: int) -> str:
    if code >= 0:
        return "exited with %d" % code
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL (perhaps as memory ran out)"
    return "was killed by %s" % signal.Signals(-code).name


def run(notebook: Notebook, kernel: Kernel, args: "List[str]") -> None:
    """Run all cells. Raises NotebookError when one ends the notebook."""
    kernel.wait()
    argv = [notebook.name] + args
    silent = kernel.execute("__import__('sys').argv[:] = %r" % argv, silent=True)
    kernel.reply(silent, "before the first cell")
    outputs = Outputs()
    for number, cell in enumerate(notebook.cells, 1):
        print("[cell %d/%d]" % (number, len(notebook.cells)), file=sys.stderr, flush=True)
        try:
            where = "in cell %d of %d" % (number, len(notebook.cells))
            request = kernel.execute(source(cell))
            for message in kernel.messages(request):
                outputs.take(cell, message["header"]["msg_type"], message["content"])
            reply = kernel.reply(request, where)
            cell["execution_count"] = reply.get("execution_count")
        finally:
            notebook.save()
        if reply.get("status") != "ok" and "raises-exception" not in tags(cell):
            raise failure(reply, where)
        if any(payload.get("source") == "ask_exit" for payload in reply.get("payload") or ()):
            return  # quit() or exit()


def failure(reply: "Dict[str, Any]", where: str) -> NotebookError:
    """What a cell's error means for the stage: `sys.exit` works as it does in a module."""
    name, value = reply.get("ename", ""), reply.get("evalue", "")
    if name != "SystemExit":
        return NotebookError(
            1, "%s %s: %s" % (name or "an error", where, value) if value else "%s %s" % (name, where)
        )
    if value in ("", "None", "0", "False"):
        return NotebookError(0)
    try:
        return NotebookError(int(value) & 0xFF, "exit %s %s" % (value, where))
    except ValueError:
        return NotebookError(1, "%s (exit %s)" % (value, where))


def prepare(folder: str) -> None:
    """Nothing of IPython or Jupyter is read from or written to the home folder."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = os.path.join(folder, name.lower())
        os.mkdir(os.environ[name])
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # or old versions of it warn
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or the kernel's debugger warns
    missing = [name for name in ("jupyter_client", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        sentence = "notebooks need %s; add nbclient and ipykernel to the requirements of this stage"
        raise NotebookError(2, sentence % " and ".join(missing))


def main(path: str, save: str, args: "List[str]") -> int:
    """Run one notebook; gives the exit code."""
    stop = Stop()
    folder = tempfile.mkdtemp(prefix="bodywork-")
    try:
        notebook = Notebook(path, save)
        prepare(folder)
        kernel = Kernel(folder, stop)
        try:
            run(notebook, kernel, args)
        finally:
            kernel.end()
    except NotebookError as failed:
        if str(failed):
            print("%s: %s" % (os.path.basename(path), failed), file=sys.stderr, flush=True)
        return failed.code
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    del sys.path[0]  # our own folder, whose names are not for import
    if len(sys.argv) < 4 or sys.argv[2] != "--save":
        sys.exit("usage: python notebook.py NOTEBOOK.ipynb --save EXECUTED.ipynb [args...]")
    sys.exit(main(sys.argv[1], sys.argv[3], sys.argv[4:]))
