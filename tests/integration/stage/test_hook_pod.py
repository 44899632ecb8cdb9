"""The hook in a service's pod: what was bound for this machine only can be reached from outside."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Environment, Processes, eventually, fetch
from .test_hook import ADDRESSES, printed
from .test_hook_servers import AIOHTTP, ASGI, FLASK, STANDARD, WSGI

# Listens only where something is bound to all addresses of IPv4, or to this one.
OUTSIDE = "127.0.0.2"


def pod(port: int) -> dict[str, str]:
    return {"BODYWORK_HOOK_PORT": f"{port}:{port}", "BODYWORK_HOOK_HOST": "0.0.0.0"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_bind_to_the_loopback_is_one_to_all_addresses(
    host: str, bare: Environment, free_port: Callable[[], int]
) -> None:
    port = free_port()
    code = ADDRESSES + f"print(bound(v4, {host!r}, {port}).getsockname())"
    assert printed(bare, code, **pod(port)) == [f"('0.0.0.0', {port})"]


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.3"])
def test_any_other_bind_is_left_alone(host: str, bare: Environment, free_port: Callable[[], int]) -> None:
    port, other = free_port(), free_port()
    code = ADDRESSES + f"print(bound(v4, {host!r}, {port}).getsockname()[0])"
    assert printed(bare, code, **pod(port)) == [host]
    code = ADDRESSES + f"print(bound(v4, '127.0.0.1', {other}).getsockname()[0])"
    assert printed(bare, code, **pod(port)) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "binds",
    [
        "(v6, '::1'), (v4, '127.0.0.1')",
        "(v4, '127.0.0.1'), (v6, '::1')",
        "(v6, '::1')",
        "(v4, '127.0.0.1'), (v4, 'localhost')",
    ],
)
def test_the_sockets_of_one_server_do_not_collide(
    binds: str, bare: Environment, free_port: Callable[[], int]
) -> None:
    port = free_port()
    code = f"""{ADDRESSES}
options = {{v4: {{}}, v6: {{"v6only": 1}}}}
servers = [bound(family, host, {port}, **options[family]) for family, host in [{binds}]]
client = socket.create_connection(("{OUTSIDE}", {port}))
servers[0].accept()[0].sendall(b"x")
print(client.recv(1))
"""
    assert printed(bare, code, **pod(port)) == ["b'x'"]


LISTEN = "HTTPServer(({!r}, PORT), Handler).serve_forever()"
SERVERS: dict[str, tuple[str, list[str]]] = {
    "flask": (FLASK + "app.run(port=PORT)", ["python", "app.py"]),
    "uvicorn": (ASGI, ["uvicorn", "app:app", "--loop", "asyncio", "--port", "PORT"]),
    "uvicorn-uvloop": (ASGI, ["uvicorn", "app:app", "--loop", "uvloop", "--port", "PORT"]),
    "uvicorn-localhost": (ASGI, ["uvicorn", "app:app", "--host", "localhost", "--port", "PORT"]),
    "gunicorn": (WSGI, ["gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:PORT"]),
    "aiohttp": (AIOHTTP + "web.run_app(app, host='localhost', port=PORT)", ["python", "app.py"]),
    "http.server": (
        STANDARD + "HTTPServer(('localhost', PORT), Handler).serve_forever()",
        ["python", "app.py"],
    ),
    "outside": (STANDARD + "HTTPServer(('', PORT), Handler).serve_forever()", ["python", "app.py"]),
}


@pytest.mark.network
@pytest.mark.parametrize("server", SERVERS)
def test_servers_of_this_machine_only_answer_from_outside(
    server: str, servers: Environment, processes: Processes, free_port: Callable[[], int]
) -> None:
    module, command = SERVERS[server]
    port = free_port()
    (processes.folder / "app.py").write_text(module.replace("PORT", str(port)))
    words = [word.replace("PORT", str(port)) for word in command]
    processes.start(words, servers.variables(**pod(port), REPLICA="one"))
    for host in (OUTSIDE, "127.0.0.1"):
        assert eventually(lambda host=host: fetch(port, host), processes).split()[0] == "one"
    assert "bodywork" not in processes.output
