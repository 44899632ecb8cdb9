"""The hook in plain interpreters: what sockets and names do, and what stays as it was."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import STAGE, Environment, interpreter, make

ADDRESSES = """
import socket
def bound(family, host, port, **options):
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "v6only" in options:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, options["v6only"])
    sock.bind((host, port))
    sock.listen()
    return sock
v4, v6 = socket.AF_INET, socket.AF_INET6
"""


def printed(environment: Environment, code: str, **variables: str) -> list[str]:
    """The lines that `code` prints; it must say nothing else and end well."""
    done = environment.run("-c", code, **variables)
    assert (done.stderr, done.returncode) == ("", 0), done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "", "localhost", "127.0.0.3"])
def test_a_bind_to_the_declared_port_goes_to_the_own_one(
    host: str, bare: Environment, free_port: Callable[[], int]
) -> None:
    own = free_port()
    code = ADDRESSES + f"print(bound(v4, {host!r}, 5000).getsockname())"
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"5000:{own}") == [f"('127.0.0.1', {own})"]


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("host", ["::", "::1"])
def test_an_ipv6_bind_is_reached_through_ipv4(
    host: str, only: int, bare: Environment, free_port: Callable[[], int]
) -> None:
    code = f"""{ADDRESSES}
server = bound(v6, {host!r}, 5000, v6only={only})
client = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
server.accept()[0].sendall(b"x")
print(client.recv(1))
"""
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"5000:{free_port()}") == ["b'x'"]


@pytest.mark.parametrize(
    "binds",
    [
        "(v4, '0.0.0.0'), (v6, '::')",
        "(v6, '::'), (v4, '0.0.0.0')",
        "(v6, '::1'), (v4, '127.0.0.1')",
        "(v4, '127.0.0.1'), (v4, '127.0.0.2'), (v6, '::1')",
    ],
)
def test_the_sockets_of_one_server_do_not_collide(
    binds: str, bare: Environment, free_port: Callable[[], int]
) -> None:
    """One of them is at the own port, as the others need not be reached."""
    own = free_port()
    code = f"""{ADDRESSES}
only = {{v4: {{}}, v6: {{"v6only": 1}}}}
servers = [bound(family, host, 5000, **only[family]) for family, host in [{binds}]]
print([server.getsockname()[1] == {own} for server in servers].count(True))
socket.create_connection(("127.0.0.1", {own}))
"""
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"5000:{own}") == ["1"]


def test_a_port_can_be_tried_and_bound_again(bare: Environment, free_port: Callable[[], int]) -> None:
    own = free_port()
    code = f"""{ADDRESSES}
for family, host in [(v4, "0.0.0.0"), (v6, "::"), (v4, "127.0.0.1")]:
    with bound(family, host, 5000) as server:
        print(server.getsockname()[:2])
"""
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"5000:{own}") == [
        f"('127.0.0.1', {own})",
        f"('::ffff:127.0.0.1', {own})",
        f"('127.0.0.1', {own})",
    ]


def test_a_port_bound_twice_is_an_error_as_ever(bare: Environment, free_port: Callable[[], int]) -> None:
    done = bare.run(
        "-c",
        ADDRESSES + "a = bound(v4, '', 5000); b = bound(v4, '', 5000)",
        BODYWORK_HOOK_PORT=f"5000:{free_port()}",
    )
    assert done.stderr.splitlines()[-1].endswith("Address already in use")


def test_workers_share_a_port_as_ever(bare: Environment, free_port: Callable[[], int]) -> None:
    code = """
import socket
servers = [socket.create_server(("", 5000), reuse_port=True) for _ in range(3)]
print({server.getsockname() for server in servers})
"""
    own = free_port()
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"5000:{own}") == [f"{{('127.0.0.1', {own})}}"]


def test_other_ports_and_kinds_of_sockets_are_left_alone(
    bare: Environment, free_port: Callable[[], int], tmp_path: Path
) -> None:
    other, own = free_port(), free_port()
    code = f"""{ADDRESSES}
print(bound(v4, "127.0.0.2", {other}).getsockname())
udp = socket.socket(v4, socket.SOCK_DGRAM)
udp.bind(("127.0.0.2", {own}))
print(udp.getsockname())
unix = socket.socket(socket.AF_UNIX)
unix.bind({str(tmp_path / "s")!r})
print(unix.getsockname() == {str(tmp_path / "s")!r})
"""
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"{own}:{free_port()}") == [
        f"('127.0.0.2', {other})",
        f"('127.0.0.2', {own})",
        "True",
    ]


def test_names_of_siblings_resolve(bare: Environment, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# a remark\nstage-4 127.9.8.7\nProject--Stage-4 127.9.8.8\n\nnonsense\n")
    code = """
import socket
for name in ("stage-4", "STAGE-4.", b"stage-4", "project--stage-4"):
    print(socket.getaddrinfo(name, 5000, type=socket.SOCK_STREAM)[0][4], socket.gethostbyname_ex(name)[2])
print(socket.gethostbyname("127.0.0.1"), socket.getaddrinfo(host=None, port=1)[0][4][1])
"""
    assert printed(bare, code, BODYWORK_HOSTS_FILE=str(hosts)) == [
        *["('127.9.8.7', 5000) ['127.9.8.7']"] * 3,
        "('127.9.8.8', 5000) ['127.9.8.8']",
        "127.0.0.1 1",
    ]


@pytest.mark.parametrize("name", ["tage-4", "x.stage-4", "stage-4.x", "stage_4"])
def test_only_whole_names_are_siblings(name: str, bare: Environment, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("stage-4 127.9.8.7\n")
    code = f"""
import socket
try:
    print(socket.gethostbyname({name!r}) == "127.9.8.7")
except OSError:
    print(False)
"""
    assert printed(bare, code, BODYWORK_HOSTS_FILE=str(tmp_path / "hosts")) == ["False"]


def test_services_that_come_and_go_are_seen(bare: Environment, tmp_path: Path) -> None:
    code = f"""
import os, socket
def look():
    try:
        print(socket.gethostbyname("new.invalid"))
    except OSError:
        print("nobody")
look()
open({str(tmp_path / "h")!r}, "w").write("new.invalid 127.1.1.1")
os.replace({str(tmp_path / "h")!r}, {str(tmp_path / "hosts")!r})
look()
open({str(tmp_path / "h")!r}, "w").write("new.invalid 127.1.1.2")
os.replace({str(tmp_path / "h")!r}, {str(tmp_path / "hosts")!r})
look()
os.unlink({str(tmp_path / "hosts")!r})
look()
"""
    seen = printed(bare, code, BODYWORK_HOSTS_FILE=str(tmp_path / "hosts"))
    assert seen == ["nobody", "127.1.1.1", "127.1.1.2", "nobody"]


def test_two_siblings_of_one_port_can_be_told_apart_by_name(
    bare: Environment, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """Where only 127.0.0.1 is up: the third field."""
    one, two = free_port(), free_port()
    (tmp_path / "hosts").write_text(f"one 127.0.0.1 5000:{one}\ntwo 127.0.0.1 5000:{two}\n")
    code = f"""
import socket
servers = [socket.create_server(("127.0.0.1", port)) for port in ({one}, {two})]
for host in ("one", "two", socket.gethostbyname("one"), socket.gethostbyname("two")):
    print(socket.create_connection((host, 5000)).getpeername()[1])
"""
    seen = printed(bare, code, BODYWORK_HOSTS_FILE=str(tmp_path / "hosts"))
    assert seen == [str(one), str(two), str(one), str(two)]


def test_a_sibling_at_our_own_port_is_not_ourselves(
    bare: Environment, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """Where only 127.0.0.1 is up, the first of several has the declared port itself."""
    declared, own = free_port(), free_port()
    (tmp_path / "hosts").write_text("first 127.0.0.1\n")
    code = f"""
import socket
me = socket.create_server(("", {declared}))
print(*(socket.create_connection((host, {declared})).getpeername()[1] for host in ("first", "localhost")))
"""
    with socket.create_server(("127.0.0.1", declared)):
        seen = printed(
            bare,
            code,
            BODYWORK_HOOK_PORT=f"{declared}:{own}",
            BODYWORK_HOSTS_FILE=str(tmp_path / "hosts"),
        )
    assert seen == [f"{declared} {own}"]


def test_a_process_that_opens_no_socket_imports_nothing_for_it(bare: Environment, tmp_path: Path) -> None:
    code = "import sys; print(*sys.modules)"
    (without,) = printed(bare, code, BODYWORK_HOOK="")
    (with_it,) = printed(bare, code, BODYWORK_HOOK_PORT="5000:6000", BODYWORK_HOSTS_FILE=str(tmp_path))
    assert with_it == without
    assert "socket" not in with_it.split()


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_python_keeps_its_ways(version: str, tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Introspection, reloading, pickling and subclassing work as without the hook."""
    environment = make(tmp_path / "venv", interpreter(version))
    (tmp_path / "hosts").write_text("stage-4 127.9.8.7\n")
    code = """
import importlib, importlib.util, inspect, pickle, runpy, sys
assert importlib.util.find_spec("_socket").name == "_socket"
import socket, _socket, ssl, select, asyncio
assert "bodywork" not in repr((_socket.__spec__, _socket.__loader__, socket.__spec__, socket.socket.__mro__))
assert not [name for name in sys.modules if "bodywork" in name]
assert inspect.getsource(socket.socket).startswith("class socket(_socket.socket):")
assert pickle.loads(pickle.dumps(socket.gethostbyname)) is socket.gethostbyname
assert pickle.loads(pickle.dumps(socket.socket)) is socket.socket
assert isinstance(socket.socket(), _socket.SocketType)
for module in (_socket, socket, _socket, socket):
    importlib.reload(module)
    assert socket.gethostbyname("stage-4") == "127.9.8.7"
class Own(socket.socket):
    def bind(self, address):
        super().bind(address)
server = Own()
server.bind(("", 5000))
server.listen()
one, other = socket.socketpair()
client = ssl.create_default_context().wrap_socket(
    socket.socket(), server_hostname="stage-4", do_handshake_on_connect=False)
client.connect(("localhost", 5000))
print(server.getsockname() == client.getpeername())
"""
    for flags in (["-I"], ["-E", "-s"], ["-W", "error"], ["-O"]):
        done = environment.run(
            *flags,
            "-c",
            code,
            BODYWORK_HOOK_PORT=f"5000:{free_port()}",
            BODYWORK_HOSTS_FILE=str(tmp_path / "hosts"),
            PYTHONPATH="/nowhere",
        )
        assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_sockets_imported_before_the_hook_are_changed_too(
    tmp_path: Path, bare: Environment, free_port: Callable[[], int]
) -> None:
    (site,) = bare.folder.glob("lib/python*/site-packages")
    early = site / "a-first.pth"
    early.write_text("import socket\n")
    (tmp_path / "hosts").write_text("stage-4 127.9.8.7\n")
    own = free_port()
    code = ADDRESSES + "print(bound(v4, '', 5000).getsockname()[1], socket.gethostbyname('stage-4'))"
    try:
        seen = printed(
            bare, code, BODYWORK_HOOK_PORT=f"5000:{own}", BODYWORK_HOSTS_FILE=str(tmp_path / "hosts")
        )
    finally:
        early.unlink()
    assert seen == [f"{own} 127.9.8.7"]


@pytest.mark.parametrize(
    "variables",
    [
        {"BODYWORK_HOOK_PORT": "nonsense"},
        {"BODYWORK_HOOK_PORT": "5000:"},
        {"BODYWORK_HOSTS_FILE": "/proc/self/mem"},
    ],
    ids=["no port", "no own port", "unreadable hosts"],
)
def test_a_broken_hook_says_one_line_and_lets_the_stage_run(
    variables: dict[str, str], bare: Environment
) -> None:
    code = "import socket; print({socket.gethostbyname('127.0.0.1') for _ in range(9)})"
    done = bare.run("-c", code, **variables)
    assert (done.stdout, done.returncode) == ("{'127.0.0.1'}\n", 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith("bodywork: ")


def test_a_hook_without_its_other_half_lets_the_stage_run(bare: Environment, tmp_path: Path) -> None:
    shutil.copy(STAGE / "hook.py", tmp_path)
    done = bare.run(
        "-c",
        "import socket; print(socket.gethostbyname('127.0.0.1'))",
        BODYWORK_HOOK=str(tmp_path / "hook.py"),
        BODYWORK_HOOK_PORT="5000:6000",
    )
    assert (done.stdout, done.returncode) == ("127.0.0.1\n", 0)
    assert len(done.stderr.splitlines()) == 1


def test_children_have_it_too(bare: Environment, free_port: Callable[[], int]) -> None:
    own = free_port()
    code = """
import subprocess, sys
child = "import socket; print(socket.create_server(('', 5000)).getsockname()[1])"
subprocess.run([sys.executable, "-c", child])
"""
    assert printed(bare, code, BODYWORK_HOOK_PORT=f"5000:{own}") == [str(own)]


def test_nothing_changes_outside_a_stage(bare: Environment) -> None:
    done = bare.run("-X", "dev", "-c", "import sys; print(len(sys.meta_path))", BODYWORK_HOOK="")
    plain = bare.run("-I", "-S", "-c", "import sys; print(len(sys.meta_path))")
    assert done.stderr == ""
    assert int(done.stdout) - int(plain.stdout) <= 1  # uv's own finder
