"""What a service says while its pod ends: each answer over HTTP/1 asks its client to close the connection.

Nodes send no new connections to a pod that is to end, but those that clients keep stay where they are.
A client that sends its next request just as the service ends finds the connection closed, and the request is
lost unless the client sends it again. So as soon as the runtime has made the file that
`BODYWORK_HOOK_LEAVING` names, answers have `Connection: close`. The client closes the connection itself once
it has read the answer, and its next one leads to another pod.

Heads of answers are known by how they begin. As in `network.py`, the lowest layer of sockets that Python has
is changed, and uvloop's transports. What goes over TLS, other protocols, and servers that are no Python, are
left alone.

Standard library only, Python >= 3.8; imports nothing that is not built in or loaded already.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

CLOSE = b"Connection: close\r\n"
FINAL = (b"2", b"3", b"4", b"5")
"""The first digits of statuses that end an answer: 100 and 101 do not."""

LOOK = 0.1
"""Seconds between two looks for the file."""


class Leaving:
    """Whether this pod is to end, and which answers are those of its service."""

    def __init__(self, path: str, port: int) -> None:
        self._path = path
        self._port = port
        self._since = False
        self._next = 0.0

    def now(self) -> bool:
        if not self._since:
            moment = time.monotonic()
            if moment >= self._next:
                self._next = moment + LOOK
                self._since = os.path.exists(self._path)
        return self._since

    def place(self, sockname: "Callable[[], Any]", data: "Any") -> int:
        """Where in `data` a header can be put in; 0: it is not the begin of an answer of the service."""
        begin = bytes(memoryview(data)[:64])
        if begin[:7] != b"HTTP/1." or begin[9:10] not in FINAL:
            return 0
        end = begin.find(b"\r\n")
        address = sockname()
        ours = isinstance(address, tuple) and len(address) > 1 and address[1] == self._port
        return end + 2 if end > 0 and ours else 0


def change(module: "Any", complain: "Callable[[Exception], None]") -> None:
    """Make a module's answers close their connections once the pod is to end."""
    path, port = os.environ.get("BODYWORK_HOOK_LEAVING"), os.environ.get("BODYWORK_HOOK_PORT")
    if not path or not port or getattr(module, "_bodywork_leaving", False):
        return
    leaving = Leaving(path, int(port.partition(":")[0]))
    if module.__name__ == "_socket":
        change_socket(module, leaving, complain)
    elif module.__name__ == "uvloop":
        change_uvloop(module, leaving, complain)
    module._bodywork_leaving = True


def change_socket(module: "Any", leaving: Leaving, complain: "Any") -> None:
    """The class that all sockets of Python derive from, and the three ways in which servers write."""
    base = module.socket

    def place(sock: "Any", data: "Any") -> int:
        try:
            return leaving.place(sock.getsockname, data) if leaving.now() else 0
        except Exception as error:
            complain(error)
            return 0

    def send(self: "Any", data: "Any", *flags: "Any") -> "Any":
        at = place(self, data)
        if not at:
            return base.send(self, data, *flags)
        data = bytes(data)
        return without_ours(self, base.send(self, data[:at] + CLOSE + data[at:], *flags), at)

    def sendall(self: "Any", data: "Any", *flags: "Any") -> "Any":
        at = place(self, data)
        if at:
            data = bytes(data)
            data = data[:at] + CLOSE + data[at:]
        return base.sendall(self, data, *flags)

    def sendmsg(self: "Any", buffers: "Any", *more: "Any") -> "Any":
        buffers = list(buffers)
        at = place(self, buffers[0]) if buffers else 0
        if not at:
            return base.sendmsg(self, buffers, *more)
        first = bytes(buffers[0])
        longer = [first[:at] + CLOSE + first[at:], *buffers[1:]]
        return without_ours(self, base.sendmsg(self, longer, *more), at)

    def without_ours(sock: "Any", sent: int, at: int) -> int:
        """How much of what the server wrote has gone; never only a part of what we have put in."""
        while at <= sent < at + len(CLOSE):
            try:
                sent += base.send(sock, CLOSE[sent - at :])
            except BlockingIOError:
                time.sleep(0.001)
        return sent if sent < at else sent - len(CLOSE)

    methods = {one.__name__: dressed(one, getattr(base, one.__name__)) for one in (send, sendall, sendmsg)}
    like = {"__slots__": (), "__module__": base.__module__, "__doc__": base.__doc__}
    module.socket = type(base.__name__, (base,), dict(like, **methods))
    above: "Any" = sys.modules.get("socket")
    if hasattr(above, "socket"):  # imported before we came, and whole
        for name, method in methods.items():
            setattr(above.socket, name, method)


class Transport:
    """A transport of uvloop that puts the header in."""

    def __init__(self, transport: "Any", leaving: Leaving, complain: "Any") -> None:
        self._bodywork_inner = transport
        self._leaving = leaving
        self._complain = complain

    def __getattr__(self, name: str) -> "Any":
        if name == "_bodywork_inner":
            raise AttributeError(name)
        return getattr(self._bodywork_inner, name)

    def write(self, data: "Any") -> None:
        self._bodywork_inner.write(self._changed(data))

    def writelines(self, parts: "Any") -> None:
        parts = list(parts)
        self._bodywork_inner.writelines([*map(self._changed, parts[:1]), *parts[1:]])

    def _changed(self, data: "Any") -> "Any":
        try:
            at = self._leaving.place(self._sockname, data) if self._leaving.now() else 0
        except Exception as error:
            self._complain(error)
            at = 0
        return bytes(data[:at]) + CLOSE + bytes(data[at:]) if at else data

    def _sockname(self) -> "Any":
        return self._bodywork_inner.get_extra_info("sockname")


def change_uvloop(module: "Any", leaving: Leaving, complain: "Any") -> None:
    """uvloop writes in C: protocols are given a transport of ours."""
    loop = module.Loop
    listen, start_tls = loop.create_server, loop.start_tls

    def create_server(self: "Any", factory: "Any", *asked: "Any", **named: "Any") -> "Any":
        def made() -> "Any":
            protocol = factory()
            try:
                told = protocol.connection_made
                protocol.connection_made = lambda transport: told(wrapped(transport))
            except Exception as error:  # a protocol that takes no attributes
                complain(error)
            return protocol

        return listen(self, made, *asked, **named)

    def wrapped(transport: "Any") -> "Any":
        return transport if isinstance(transport, Transport) else Transport(transport, leaving, complain)

    def with_inner(self: "Any", transport: "Any", *asked: "Any", **named: "Any") -> "Any":
        return start_tls(self, getattr(transport, "_bodywork_inner", transport), *asked, **named)

    loop.create_server, loop.start_tls = dressed(create_server, listen), dressed(with_inner, start_tls)


def dressed(function: "Any", original: "Any") -> "Any":
    """`function` with the name and help of what it stands for."""
    for name in ("__name__", "__qualname__", "__doc__"):
        setattr(function, name, getattr(original, name, None))
    return function
