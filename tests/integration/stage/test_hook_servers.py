"""Real servers and clients, not one line of which knows of us, in the environment of a stage."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .conftest import Environment, Processes, eventually, fetch

pytestmark = [pytest.mark.network, pytest.mark.slow]

WSGI = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.environ['REPLICA']} {os.getpid()}".encode()]
"""
ASGI = """
import os
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
app = FastAPI()
@app.get("/", response_class=PlainTextResponse)
def answer():
    return f"{os.environ['REPLICA']} {os.getpid()}"
"""
FLASK = """
import os
from flask import Flask
app = Flask(__name__)
@app.route("/")
def answer():
    return f"{os.environ['REPLICA']} {os.getpid()}"
"""
STANDARD = """
import os, socketserver
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ['REPLICA']} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
"""
AIOHTTP = """
import os
from aiohttp import web
async def answer(request):
    return web.Response(text=f"{os.environ['REPLICA']} {os.getpid()}")
app = web.Application()
app.add_routes([web.get("/", answer)])
"""
TORNADO = """
import asyncio, os, tornado.web
class Handler(tornado.web.RequestHandler):
    def get(self):
        self.write(f"{os.environ['REPLICA']} {os.getpid()}")
app = tornado.web.Application([("/", Handler)])
async def main():
    app.listen(PORT)
    await asyncio.Event().wait()
asyncio.run(main())
"""

# What each server is: its module, and how it is started. PORT is the declared port.
SERVERS: dict[str, tuple[str, list[str]]] = {
    "flask": (FLASK + 'app.run(host="0.0.0.0", port=PORT)', ["python", "app.py"]),
    "flask-reloader": (FLASK + "app.run(host='0.0.0.0', port=PORT, debug=True)", ["python", "app.py"]),
    "flask-cli": (FLASK, ["flask", "run", "--host", "::", "--port", "PORT"]),
    "uvicorn": (ASGI, ["uvicorn", "app:app", "--loop", "asyncio", "--host", "0.0.0.0", "--port", "PORT"]),
    "uvicorn-uvloop": (ASGI, ["uvicorn", "app:app", "--loop", "uvloop", "--port", "PORT"]),
    "uvicorn-ipv6": (ASGI, ["uvicorn", "app:app", "--loop", "asyncio", "--host", "::", "--port", "PORT"]),
    "uvicorn-run": (ASGI + 'import uvicorn\nuvicorn.run(app, host="", port=PORT)', ["python", "app.py"]),
    "uvicorn-workers": (
        ASGI,
        ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "PORT", "--workers", "2"],
    ),
    "gunicorn": (WSGI, ["gunicorn", "app:app", "--workers", "2", "--bind", "0.0.0.0:PORT"]),
    "gunicorn-threads": (
        WSGI,
        ["gunicorn", "app:app", "-w", "2", "-k", "gthread", "--reuse-port", "-b", "[::]:PORT", "-b", ":PORT"],
    ),
    "gunicorn-uvicorn": (ASGI, ["gunicorn", "app:app", "-k", "uvicorn.workers.UvicornWorker", "-b", ":PORT"]),
    "aiohttp": (AIOHTTP + "web.run_app(app, port=PORT)", ["python", "app.py"]),
    "aiohttp-localhost": (AIOHTTP + "web.run_app(app, host='localhost', port=PORT)", ["python", "app.py"]),
    "tornado": (TORNADO, ["python", "app.py"]),
    "waitress": (WSGI, ["waitress-serve", "--listen=*:PORT", "app:app"]),
    "http.server": (STANDARD + "HTTPServer(('', PORT), Handler).serve_forever()", ["python", "app.py"]),
    "socketserver": (
        STANDARD + "socketserver.ThreadingTCPServer(('127.0.0.1', PORT), Handler).serve_forever()",
        ["python", "app.py"],
    ),
    "spawned": (
        STANDARD
        + """
import multiprocessing
def serve():
    HTTPServer(("0.0.0.0", PORT), Handler).serve_forever()
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=serve)
    child.start()
    child.join()
""",
        ["python", "app.py"],
    ),
}


@pytest.mark.parametrize("server", SERVERS)
def test_two_replicas_of_one_port_each_answer_at_their_own(
    server: str, servers: Environment, processes: Processes, free_port: Callable[[], int]
) -> None:
    module, command = SERVERS[server]
    declared = free_port()
    (processes.folder / "app.py").write_text(module.replace("PORT", str(declared)))
    own = {"first": free_port(), "second": free_port()}
    for replica, port in own.items():
        processes.start(
            [word.replace("PORT", str(declared)) for word in command],
            servers.variables(BODYWORK_HOOK_PORT=f"{declared}:{port}", REPLICA=replica),
        )
    for replica, port in own.items():
        assert eventually(lambda port=port: fetch(port), processes).split()[0] == replica
    with pytest.raises(OSError, match="refused"):
        fetch(declared)
    assert "bodywork" not in processes.output


class Sibling(BaseHTTPRequestHandler):
    """Says which host it was called as."""

    def do_GET(self) -> None:
        body = f"hello {self.headers['Host'].partition(':')[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def sibling() -> Iterator[int]:
    """A service on a loopback address of its own; gives its port."""
    server = ThreadingHTTPServer(("127.9.8.7", 0), Sibling)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


CLIENTS = {
    "requests": "import requests; print(requests.get(URL).text)",
    "urllib": "import urllib.request; print(urllib.request.urlopen(URL).read().decode())",
    "http.client": """
import http.client
connection = http.client.HTTPConnection(HOST, PORT)
connection.request("GET", "/")
print(connection.getresponse().read().decode())
""",
    "httpx": "import httpx; print(httpx.get(URL).text)",
    "httpx-async": """
import asyncio, httpx
async def main():
    async with httpx.AsyncClient() as client:
        print((await client.get(URL)).text)
asyncio.run(main())
""",
    "httpx-uvloop": """
import asyncio, httpx, uvloop
async def main():
    async with httpx.AsyncClient() as client:
        print((await client.get(URL)).text)
uvloop.install()
asyncio.run(main())
""",
    "aiohttp": """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(URL) as answer:
        print(await answer.text())
asyncio.run(main())
""",
    "aiohttp-threads": """
import aiohttp, asyncio
async def main():
    connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
    async with aiohttp.ClientSession(connector=connector) as session, session.get(URL) as answer:
        print(await answer.text())
asyncio.run(main())
""",
    "aiohttp-uvloop": """
import aiohttp, asyncio, uvloop
async def main():
    connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
    async with aiohttp.ClientSession(connector=connector) as session, session.get(URL) as answer:
        print(await answer.text())
uvloop.install()
asyncio.run(main())
""",
    "tornado": """
import asyncio
from tornado.httpclient import AsyncHTTPClient
async def main():
    print((await AsyncHTTPClient().fetch(URL)).body.decode())
asyncio.run(main())
""",
    "asyncio": """
import asyncio
async def main():
    reader, writer = await asyncio.open_connection(HOST, PORT)
    writer.write(REQUEST)
    print((await reader.read()).decode().splitlines()[-1])
    writer.close()
asyncio.run(main())
""",
    "uvloop": """
import asyncio, uvloop
async def main():
    reader, writer = await asyncio.open_connection(HOST, PORT)
    writer.write(REQUEST)
    print((await reader.read()).decode().splitlines()[-1])
    writer.close()
uvloop.install()
asyncio.run(main())
""",
    "create_connection": """
import socket
with socket.create_connection((HOST, PORT)) as sock:
    sock.sendall(REQUEST)
    print(sock.makefile().read().splitlines()[-1])
""",
    "connect": """
import socket
with socket.socket() as sock:
    sock.connect((HOST, PORT))
    sock.sendall(REQUEST)
    print(sock.makefile().read().splitlines()[-1])
""",
    "connect_ex": """
import socket
with socket.socket() as sock:
    assert sock.connect_ex((HOST.encode(), PORT)) == 0
    sock.sendall(REQUEST)
    print(sock.makefile().read().splitlines()[-1])
""",
    "gethostbyname": """
import socket
with socket.socket() as sock:
    sock.connect((socket.gethostbyname(HOST), PORT))
    sock.sendall(REQUEST)
    print(sock.makefile().read().splitlines()[-1])
""",
}


@pytest.mark.parametrize("moved", [False, True], ids=["address", "port"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_reaches_a_sibling_by_its_name(
    client: str, moved: bool, sibling: int, servers: Environment, tmp_path: Path
) -> None:
    declared = 80 if moved else sibling
    hosts = tmp_path / "hosts"
    hosts.write_text(f"other 127.0.0.2\nstage-4 127.9.8.7 {f'80:{sibling}' if moved else ''}\n")
    request = b"GET / HTTP/1.0\r\nHost: stage-4:80\r\n\r\n"
    head = f"URL='http://stage-4:{declared}/'; HOST='stage-4'; PORT={declared}; REQUEST={request!r}\n"
    # A proxy that nobody answers at: siblings must not be asked for through it.
    done = servers.run(
        "-c",
        head + CLIENTS[client],
        BODYWORK_HOSTS_FILE=str(hosts),
        http_proxy="http://127.0.0.1:9",
        no_proxy="stage-4",
        NO_PROXY="stage-4",
    )
    assert (done.stdout, done.stderr) == ("hello stage-4\n", "")


def test_a_request_goes_from_one_service_to_the_other(
    servers: Environment, processes: Processes, free_port: Callable[[], int], tmp_path: Path, sibling: int
) -> None:
    """A server that is a client too: both rules at work in one process."""
    declared, own = free_port(), free_port()
    (tmp_path / "hosts").write_text(f"Stage-4 127.9.8.7\nme 127.0.0.1 {declared}:{own}\n")
    (tmp_path / "app.py").write_text(f"""
import requests
from flask import Flask
app = Flask(__name__)
@app.route("/self")
def self():
    return "I"
@app.route("/")
def answer():
    return [requests.get(url).text for url in (
        "http://stage-4.:{sibling}", "http://localhost:{declared}/self", "http://me:{declared}/self")]
app.run(host="0.0.0.0", port={declared})
""")
    processes.start(
        ["python", "app.py"],
        servers.variables(
            BODYWORK_HOOK_PORT=f"{declared}:{own}", BODYWORK_HOSTS_FILE=str(tmp_path / "hosts")
        ),
    )
    assert json.loads(eventually(lambda: fetch(own), processes)) == ["hello stage-4", "I", "I"]
