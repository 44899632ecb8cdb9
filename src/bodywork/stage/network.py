"""What `hook.py` changes in the modules that open sockets. Its rules, all for TCP:

- inside a service's replica (`BODYWORK_HOOK_PORT=<declared>:<own>`) a bind to the declared port, on
  any host, becomes a bind to 127.0.0.1 and the replica's own port; a connection to the declared
  port of localhost goes there too, as it would in a container;
- inside a service's pod (`BODYWORK_HOOK_HOST=0.0.0.0` as well) a bind to the declared port of the loopback
  becomes one at that host, so that the service can be reached from outside; nothing else is changed;
- a name in the hosts file (`BODYWORK_HOSTS_FILE`, lines `name address [declared:listen]`) is a
  sibling service at that address. Where nothing can listen at an address of the service's own, it
  is 127.0.0.1, maybe with the third field; the name is then given an address that only this file
  knows, so that it is told from its siblings and from ourselves, and connections there go to
  127.0.0.1, those to the declared port to the listen port.

The lowest layer that Python has is changed, `_socket`, so that the standard library and gevent's
sockets, resolvers and subclasses need no care. uvloop and aiodns have layers of their own, in C.

Standard library only, Python >= 3.8; imports nothing that is not loaded already.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

LOOPBACK = "127.0.0.1"
SELF = frozenset((LOOPBACK, "localhost", "0.0.0.0", ""))
ONLY_HERE = frozenset((LOOPBACK, "localhost", "::1", "ip6-localhost", "::ffff:" + LOOPBACK))


class Siblings:
    """The services that can be called by name: the hosts file, read again when it has changed."""

    def __init__(self, path: "Optional[str]") -> None:
        self._path = path
        self._seen: "Any" = None
        self._addresses: "Dict[str, str]" = {}
        self._routes: "Dict[str, Tuple[str, Dict[int, int]]]" = {}

    def address(self, host: "Any") -> "Any":
        """The address of a sibling; any other host as it is. Letter case and a final dot do not count."""
        self._read()
        if not isinstance(host, (str, bytes, bytearray)):
            return host
        name = (host if isinstance(host, str) else host.decode("latin-1")).lower()
        return self._addresses.get(name[:-1] if name.endswith(".") else name, host)

    def route(self, host: "Any", port: "Any") -> "Tuple[Any, Any]":
        """Where a connection to a host, by name or address, has to go."""
        host = self.address(host)
        address, ports = self._routes.get(host, (host, {}))
        return address, ports.get(port, port)

    def _read(self) -> None:
        """Take in the file, which is replaced as a whole. None is there as long as there is no service."""
        if self._path is None:
            return
        addresses: "Dict[str, str]" = {}
        routes: "Dict[str, Tuple[str, Dict[int, int]]]" = {}
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            self._addresses, self._routes, self._seen = addresses, routes, None
            return
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen == self._seen:
            return
        self._seen = seen  # one that cannot be read is not tried again
        with open(self._path, encoding="utf-8") as file:
            for fields in map(str.split, file):
                if len(fields) < 2 or fields[0].startswith("#"):
                    continue
                name, address = fields[0].lower(), fields[1]
                ports = {int(one): int(other) for one, other in (field.split(":") for field in fields[2:])}
                if ports or address == LOOPBACK:
                    routes[made_up(name)] = (address, ports)
                    address = made_up(name)
                addresses[name] = address
        self._addresses, self._routes = addresses, routes


def made_up(name: str) -> str:
    """A loopback address that stands for a name; the same in every process of the stage."""
    number = 0
    for letter in name:
        number = (number * 31 + ord(letter)) % 65521
    return "127.200.%d.%d" % (number // 256, number % 256)


class Replica:
    """The port that the module declares and the one that is this replica's own."""

    def __init__(self, ports: "Optional[str]", siblings: Siblings) -> None:
        declared, _, own = (ports or "").partition(":")
        self._declared = int(declared) if ports else None
        self._own = int(own) if ports else 0
        self._siblings = siblings
        self._bound: "List[Tuple[int, int, Any]]" = []

    def listens_at(self, port: "Any") -> bool:
        """Whether a bind to `port` is one of the service itself."""
        return self._declared is not None and port in (self._declared, self._own)

    def place(self, host: "Any" = None) -> "Tuple[Any, int]":
        """Where the service listens. `host` is where it wants to: a name, a number or some of them."""
        return (LOOPBACK, self._own)

    def spot(self, sock: "Any", address: "Any", module: "Any") -> "Any":
        """Where a socket that asks for `address` has to be bound.

        A server may bind several sockets: one for IPv4 and one for IPv6, or one for each of its hosts.
        The first gets the replica's own port, IPv6 in the form that IPv4 reaches. The others must
        not collide with it, and are given a port that nobody knows.
        """
        family = sock.family
        if not self._is_own(sock, address, module):
            return address
        first = self._first(sock.fileno(), (int(family), address[0]))
        if family == module.AF_INET:
            return self.place() if first else (LOOPBACK, 0)
        if not first:
            return ("::1", 0)
        sock.setsockopt(module.IPPROTO_IPV6, module.IPV6_V6ONLY, 0)
        return ("::ffff:" + LOOPBACK, self._own)

    def _is_own(self, sock: "Any", address: "Any", module: "Any") -> bool:
        """Whether this is a bind of the service's own port, for TCP."""
        return (
            isinstance(address, tuple)
            and len(address) >= 2
            and sock.family in (module.AF_INET, module.AF_INET6)
            and sock.type == module.SOCK_STREAM
            and self.listens_at(address[1])
        )

    def _first(self, fd: int, asked: "Any") -> bool:
        """Whether no other socket of the process, one that asked for something else, is bound already."""
        self._bound = [entry for entry in self._bound if inode(entry[0]) == entry[1] and entry[0] != fd]
        first = all(entry[2] == asked for entry in self._bound)
        if first:
            self._bound.append((fd, inode(fd), asked))
        return first

    def goal(self, host: "Any", port: "Any") -> "Tuple[Any, Any]":
        """Where a connection has to go."""
        host = bytes(host) if isinstance(host, bytearray) else host
        if host in SELF and self._declared is not None and port == self._declared:
            return self.place()
        return self._siblings.route(host, port)

    def end(self, sock: "Any", address: "Any", module: "Any") -> "Any":
        """Where a socket that asks for `address` has to be connected to."""
        if isinstance(address, tuple) and len(address) == 2 and sock.family == module.AF_INET:
            return self.goal(*address)
        return address


class PodReplica(Replica):
    """A replica that has a pod to itself: the port is free, but `host` is where others reach it."""

    def __init__(self, ports: "Optional[str]", siblings: Siblings, host: str) -> None:
        super().__init__(ports, siblings)
        self._host = host

    def place(self, host: "Any" = None) -> "Tuple[Any, int]":
        hosts = [host] if isinstance(host, str) else list(host or ())
        here = bool(hosts) and all(one in ONLY_HERE for one in hosts)
        return (self._host if here else host, self._own)

    def spot(self, sock: "Any", address: "Any", module: "Any") -> "Any":
        """IPv6 takes in IPv4, when it comes first; what comes second must not collide with that."""
        if not self._is_own(sock, address, module) or address[0] not in ONLY_HERE:
            return address
        first = self._first(sock.fileno(), (int(sock.family), address[0]))
        if sock.family == module.AF_INET:
            return (self._host, self._own) if first else (LOOPBACK, 0)
        if not first:
            return address
        sock.setsockopt(module.IPPROTO_IPV6, module.IPV6_V6ONLY, 0)
        return ("::", self._own)

    def goal(self, host: "Any", port: "Any") -> "Tuple[Any, Any]":
        return self._siblings.route(host, port)


def inode(fd: int) -> int:
    """Tells whether a descriptor is still the same socket. -1: it is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return -1


def careful(complain: "Callable[[Exception], None]", decide: "Callable[..., Any]", *asked: "Any") -> "Any":
    """What `decide` says, or None when it fails: what was asked for is done then."""
    try:
        return decide(*asked)
    except Exception as error:
        complain(error)
        return None


def change(module: "Any", complain: "Callable[[Exception], None]") -> None:
    """Make a module know the ports and names of this stage; twice is as good as once."""
    if getattr(module, "_bodywork", False):
        return
    siblings = Siblings(os.environ.get("BODYWORK_HOSTS_FILE"))
    ports, host = os.environ.get("BODYWORK_HOOK_PORT"), os.environ.get("BODYWORK_HOOK_HOST")
    replica = PodReplica(ports, siblings, host) if ports and host else Replica(ports, siblings)
    {"_socket": change_socket, "uvloop": change_uvloop, "aiodns": change_aiodns}[module.__name__](
        module, siblings, replica, complain
    )
    module._bodywork = True


def change_socket(module: "Any", siblings: Siblings, replica: Replica, complain: "Any") -> None:
    """The class that all sockets of Python derive from, and the functions that look names up."""
    base = module.socket

    def bind(self: "Any", address: "Any") -> "Any":
        spot = careful(complain, replica.spot, self, address, module)
        return base.bind(self, address if spot is None else spot)

    def connect(self: "Any", address: "Any") -> "Any":
        end = careful(complain, replica.end, self, address, module)
        return base.connect(self, address if end is None else end)

    def connect_ex(self: "Any", address: "Any") -> "Any":
        end = careful(complain, replica.end, self, address, module)
        return base.connect_ex(self, address if end is None else end)

    methods = {one.__name__: dressed(one, getattr(base, one.__name__)) for one in (bind, connect, connect_ex)}
    like = {"__slots__": (), "__module__": base.__module__, "__doc__": base.__doc__}
    module.socket = type(base.__name__, (base,), dict(like, **methods))
    functions = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")
    for name in functions:
        setattr(module, name, by_name(getattr(module, name), siblings, complain))
    above: "Any" = sys.modules.get("socket")
    if hasattr(above, "socket"):  # imported before we came, and whole
        for name, method in methods.items():
            setattr(above.socket, name, method)
        for name in functions[1:]:
            setattr(above, name, getattr(module, name))


def by_name(original: "Any", siblings: Siblings, complain: "Any", place: int = 0) -> "Any":
    """A function whose argument at `place`, called `host`, is a host, made to know the siblings."""

    def lookup(*asked: "Any", **named: "Any") -> "Any":
        if len(asked) > place:
            address = careful(complain, siblings.address, asked[place])
            asked = asked if address is None else (*asked[:place], address, *asked[place + 1 :])
        elif named.get("host") is not None:
            address = careful(complain, siblings.address, named["host"])
            named["host"] = named["host"] if address is None else address
        return original(*asked, **named)

    return dressed(lookup, original)


def change_uvloop(module: "Any", siblings: Siblings, replica: Replica, complain: "Any") -> None:
    """uvloop binds, resolves and connects in C, but its Loop is a Python class."""
    loop = module.Loop
    listen, dial = loop.create_server, loop.create_connection

    def create_server(
        self: "Any", factory: "Any", host: "Any" = None, port: "Any" = None, **more: "Any"
    ) -> "Any":
        if more.get("sock") is None and replica.listens_at(port):
            host, port = replica.place(host)
        return listen(self, factory, host, port, **more)

    def create_connection(
        self: "Any", factory: "Any", host: "Any" = None, port: "Any" = None, **more: "Any"
    ) -> "Any":
        goal = careful(complain, replica.goal, host, port) or (host, port)
        if goal[0] != host and more.get("ssl") and more.get("server_hostname") is None:
            more["server_hostname"] = host
        return dial(self, factory, *goal, **more)

    loop.create_server = dressed(create_server, listen)
    loop.create_connection = dressed(create_connection, dial)
    loop.getaddrinfo = by_name(loop.getaddrinfo, siblings, complain, 1)


def change_aiodns(module: "Any", siblings: Siblings, replica: Replica, complain: "Any") -> None:
    """The resolver that aiohttp prefers when it is there; numbers it gives back as they are."""
    resolver = module.DNSResolver
    for name in ("getaddrinfo", "gethostbyname"):
        if hasattr(resolver, name):
            setattr(resolver, name, by_name(getattr(resolver, name), siblings, complain, 1))


def dressed(function: "Any", original: "Any") -> "Any":
    """`function` with the name, module and help of what it stands for; pickles as that does."""
    function.__name__ = original.__name__
    function.__qualname__ = getattr(original, "__qualname__", original.__name__)
    function.__module__ = getattr(original, "__module__", None) or "_socket"
    function.__doc__ = original.__doc__
    return function
