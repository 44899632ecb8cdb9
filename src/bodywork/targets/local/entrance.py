"""Where a service takes its connections: its address, the proxy there, and for a while an older one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bodywork.targets.local.address import claim
from bodywork.targets.local.backend import Backend
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.hosts import Host
from bodywork.targets.local.premises import Premises
from bodywork.targets.local.proxy import Proxy


class Entrance:
    """`address` is remembered from one agent to the next. `proxy` None: nothing is listened to."""

    def __init__(
        self, premises: Premises, pipeline: str, stage: str, unreachable: Callable[[Backend], object]
    ) -> None:
        self.address: str | None = None
        self.proxy: Proxy | None = None
        self._old: list[Proxy] = []
        self._premises = premises
        self._pipeline = pipeline
        self._stage = stage
        self._unreachable = unreachable

    @property
    def url(self) -> str:
        """Answers from this machine; empty while nothing is listened to."""
        return f"http://{self.proxy.place.host}:{self.proxy.place.port}" if self.proxy is not None else ""

    def open(self, definition: Definition) -> Proxy:
        """A proxy at the definition's port. Raises MachineError when this machine does not let us."""
        place = claim(
            self._premises.home, self._pipeline, self._stage, definition.port, remembered=self.address
        )
        self.address = place.host
        proxy = Proxy(place, self._premises.pace, self._unreachable)
        self._premises.do(proxy.open())
        if self.proxy is None:
            self.proxy = proxy
        return proxy

    def move(self, proxy: Proxy) -> None:
        """Make `proxy` the one. Connections at the old port go on, and get the same replicas."""
        if self.proxy is not None and self.proxy is not proxy:
            self.proxy.stop_accepting()
            self._old.append(self.proxy)
        self.proxy = proxy

    def shut(self, proxy: Proxy) -> None:
        """Close a proxy that came to nothing."""
        proxy.close()
        if self.proxy is proxy:
            self.proxy = None

    def serve(self, backends: Iterable[Backend]) -> None:
        """Give connections to these from now on."""
        ready = list(backends)
        for proxy in self._all:
            proxy.serve(ready)

    def stop_listening(self) -> None:
        """Take no more connections, and end those that are there between two requests."""
        for proxy in self._all:
            proxy.stop_listening()

    def close_old(self) -> None:
        """The release of the old port has gone."""
        for proxy in self._old:
            proxy.close()
        self._old = []

    def close(self) -> None:
        """Close everything."""
        for proxy in self._all:
            proxy.close()
        self.proxy, self._old = None, []

    def publish(self, definition: Definition | None, proxy: Proxy | None) -> None:
        """Make the names of a definition known to the pipeline's stages; None: there is no such service."""
        hosts: tuple[Host, ...] = ()
        proxy = proxy or self.proxy
        if definition is not None and proxy is not None:
            place = proxy.place
            hosts = tuple(
                Host(name=name, address=place.host, declared=definition.port, port=place.port)
                for name in definition.host_names
            )
        self._premises.publish(self._pipeline, self._stage, hosts)

    @property
    def _all(self) -> list[Proxy]:
        return [*([self.proxy] if self.proxy is not None else []), *self._old]
