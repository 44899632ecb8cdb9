"""A service whose pod is to end: clients that keep connections leave of themselves, requests are finished."""

from __future__ import annotations

import http.client
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Environment, Processes, eventually, fetch
from .pod import Pod
from .test_hook_servers import AIOHTTP, ASGI, SERVERS, STANDARD, TORNADO, WSGI

KEPT = STANDARD.replace("    def do_GET", '    protocol_version = "HTTP/1.1"\n    def do_GET')
STREAMS = (
    ASGI
    + """
from fastapi.responses import StreamingResponse
@app.get("/stream")
async def stream():
    async def parts():
        for number in range(3):
            yield f"HTTP/1.1 {number}"
    return StreamingResponse(parts())
"""
)

# All that keep connections, by their module and how they are started. PORT is the declared port.
KEEPERS: dict[str, tuple[str, list[str]]] = {
    "http.server": (
        KEPT + "from http.server import ThreadingHTTPServer\n"
        "ThreadingHTTPServer(('', PORT), Handler).serve_forever()",
        ["python", "app.py"],
    ),
    "uvicorn": (STREAMS, ["uvicorn", "app:app", "--loop", "asyncio", "--http", "h11", "--port", "PORT"]),
    "uvicorn-httptools": (STREAMS, ["uvicorn", "app:app", "--loop", "asyncio", "--port", "PORT"]),
    "uvicorn-uvloop": (STREAMS, ["uvicorn", "app:app", "--loop", "uvloop", "--port", "PORT"]),
    "uvicorn-workers": (STREAMS, ["uvicorn", "app:app", "--port", "PORT", "--workers", "2"]),
    "gunicorn-threads": (WSGI, ["gunicorn", "app:app", "-k", "gthread", "--threads", "2", "-b", ":PORT"]),
    "gunicorn-uvicorn": SERVERS["gunicorn-uvicorn"],
    "aiohttp": (AIOHTTP + "web.run_app(app, port=PORT)", ["python", "app.py"]),
    "tornado": (TORNADO, ["python", "app.py"]),
    "waitress": (WSGI, ["waitress-serve", "--listen=*:PORT", "app:app"]),
}


class Kept:
    """A client that keeps its connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def get(self, path: str = "/") -> tuple[str, str]:
        """What is answered, and what is said of the connection."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.read().decode(), answer.headers.get("connection", "")

    @property
    def open(self) -> bool:
        return self._connection.sock is not None


@pytest.fixture
def client() -> Iterator[Callable[[int], Kept]]:
    made: list[Kept] = []

    def connect(port: int) -> Kept:
        made.append(Kept(port))
        return made[-1]

    yield connect
    for one in made:
        one._connection.close()


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("server", KEEPERS)
def test_an_answer_closes_a_kept_connection(
    server: str,
    servers: Environment,
    processes: Processes,
    free_port: Callable[[], int],
    client: Callable[[int], Kept],
) -> None:
    module, command = KEEPERS[server]
    port, sign = free_port(), processes.folder / "leaving"
    (processes.folder / "app.py").write_text(module.replace("PORT", str(port)))
    processes.start(
        [word.replace("PORT", str(port)) for word in command],
        servers.variables(
            BODYWORK_HOOK_PORT=f"{port}:{port}",
            BODYWORK_HOOK_HOST="0.0.0.0",
            BODYWORK_HOOK_LEAVING=str(sign),
            REPLICA="one",
        ),
    )
    eventually(lambda: fetch(port), processes)
    kept, streaming = client(port), client(port)
    for _ in range(2):
        assert kept.get()[0].startswith("one") and kept.open
    if module is STREAMS:
        assert streaming.get("/stream")[0] == "HTTP/1.1 0HTTP/1.1 1HTTP/1.1 2" and streaming.open
    sign.touch()
    time.sleep(0.2)
    body, said = kept.get()
    assert body.startswith("one") and "close" in said and not kept.open
    if module is STREAMS:
        assert streaming.get("/stream")[0] == "HTTP/1.1 0HTTP/1.1 1HTTP/1.1 2" and not streaming.open
    assert fetch(port).startswith("one")
    assert "bodywork" not in processes.output


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "pod")


def serving(pod: Pod, port: int, *, slow: float = 0.0, drain: float = 1.0) -> None:
    module = KEPT.replace(
        "    def do_GET(self):", f"    def do_GET(self):\n        import time; time.sleep({slow})"
    )
    module += (
        "from http.server import ThreadingHTTPServer\n"
        f"server = ThreadingHTTPServer(('', {port}), Handler)\n"
        "print('up', flush=True)\nserver.serve_forever()"
    )
    pod.project({"pipeline/train.py": module})
    pod.change = {"drain": drain, "port": port}
    pod.variables = {"REPLICA": "one"}


def test_a_client_that_keeps_asking_loses_nothing(
    pod: Pod, free_port: Callable[[], int], client: Callable[[int], Kept]
) -> None:
    port = free_port()
    serving(pod, port, drain=3.0)
    running = pod.start()
    running.until("up")
    kept = client(port)
    assert kept.get() == kept.get() and kept.open
    asked = time.monotonic()
    running.send(signal.SIGTERM)
    time.sleep(0.3)
    assert "close" in kept.get()[1]
    assert not kept.open
    running.wait()
    assert 2.9 < time.monotonic() - asked < 20


def test_a_request_under_way_is_finished_by_a_server_that_ends_at_once(
    pod: Pod, free_port: Callable[[], int], client: Callable[[int], Kept]
) -> None:
    port = free_port()
    serving(pod, port, slow=3.0, drain=0.5)
    running = pod.start()
    running.until("up")
    kept, answers = client(port), []
    asking = threading.Thread(target=lambda: answers.append(kept.get()))
    asked = time.monotonic()
    asking.start()
    time.sleep(0.5)
    running.send(signal.SIGTERM)
    asking.join()
    assert answers[0][0].startswith("one")
    running.wait()
    assert 3 <= time.monotonic() - asked < 20


def test_who_asks_twice_means_it(
    pod: Pod, free_port: Callable[[], int], client: Callable[[int], Kept]
) -> None:
    port = free_port()
    serving(pod, port, drain=20.0)
    running = pod.start()
    running.until("up")
    client(port).get()
    running.send(signal.SIGTERM)
    time.sleep(0.3)
    asked = time.monotonic()
    running.send(signal.SIGTERM)
    running.wait()
    assert time.monotonic() - asked < 15


def test_other_sockets_are_left_alone(
    bare: Environment, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """A connection to somewhere else, another port, interim answers, parts of bodies."""
    port, sign = free_port(), tmp_path / "leaving"
    sign.touch()
    code = f"""
import socket
def pair(port):
    server = socket.create_server(("127.0.0.1", port))
    client = socket.create_connection(server.getsockname())
    return server.accept()[0], client
ours, client = pair({port})
other, foreign = pair(0)
for sock, peer in ((ours, client), (client, ours), (other, foreign)):
    for text in (b"HTTP/1.1 200 OK\\r\\nA: b\\r\\n\\r\\nx", b"HTTP/1.1 101 Go\\r\\n\\r\\n", b"HTTP/1.1 2"):
        sock.sendall(text)
        first = peer.recv(100)
        assert sock.send(memoryview(text)) == len(text)
        second = peer.recv(100)
        assert sock.sendmsg([bytearray(text), b"y"]) == len(text) + 1
        assert first == second and peer.recv(100) == first + b"y"
        print(first)
"""
    done = bare.run(
        "-c",
        code,
        BODYWORK_HOOK_PORT=f"{port}:{port}",
        BODYWORK_HOOK_HOST="0.0.0.0",
        BODYWORK_HOOK_LEAVING=str(sign),
    )
    plain = [b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nx", b"HTTP/1.1 101 Go\r\n\r\n", b"HTTP/1.1 2"]
    ours = [b"HTTP/1.1 200 OK\r\nConnection: close\r\nA: b\r\n\r\nx", *plain[1:]]
    assert done.stdout.splitlines() == [str(one) for one in [*ours, *plain, *plain]], done.stderr


def test_python_itself_is_still_whole(bare: Environment, tmp_path: Path) -> None:
    variables = {"BODYWORK_HOOK_PORT": "5000:5000", "BODYWORK_HOOK_HOST": "0.0.0.0"}
    code = "import ssl, socket, asyncio, pickle; print(socket.socket.send.__name__, socket.SocketType)"
    done = bare.run("-c", code, **variables, BODYWORK_HOOK_LEAVING=str(tmp_path / "leaving"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("send ") and sys.version_info
