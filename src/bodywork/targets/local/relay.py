"""One connection of a client, and the connection to a replica behind it.

The two are passed through byte by byte, with back-pressure and half-closing in both directions. The
replica's side can be exchanged between two requests without the client noticing (`leave`), which
is how kept-alive clients move to a new release, and survive a replica that died while idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from bodywork.targets.local.backend import Backend
from bodywork.targets.local.exchange import Exchange
from bodywork.targets.local.pace import Pace

SETTLE = 0.05
LINGER = 30.0


class Switchboard(Protocol):
    """What a connection needs of its proxy: see there."""

    pace: Pace
    closing: bool
    fronts: set[Front]

    async def reach(self, front: Front) -> Back | None: ...


class Back(asyncio.Protocol):
    """The side of the replica."""

    __slots__ = ("eof", "front", "transport")

    def __init__(self, front: Front) -> None:
        self.front: Front | None = front
        self.transport = cast(asyncio.Transport, None)
        self.eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()  # until the front knows of it

    def data_received(self, data: bytes) -> None:
        if self.front is not None:
            self.front.answered(data)

    def eof_received(self) -> bool:
        self.eof = True
        return self.front is not None and self.front.server_closed()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.front is not None:
            self.front.server_lost(exc)

    def let_go(self, *, abort: bool = False) -> None:
        """Close it; what happens to it no longer concerns the client."""
        self.front = None
        if abort:
            self.transport.abort()
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        if self.front is not None:
            self.front.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.front is not None:
            self.front.transport.resume_reading()


class Front(asyncio.Protocol):
    """The side of the client; owns the whole."""

    __slots__ = (
        "_attempts", "_choked", "_connecting", "_eof", "_pending", "_timer", "back", "backend", "exchange",
        "proxy", "transport",
    )  # fmt: skip

    def __init__(self, proxy: Switchboard) -> None:
        self.proxy = proxy
        self.transport = cast(asyncio.Transport, None)
        self.exchange = Exchange()
        self.backend: Backend | None = None
        self.back: Back | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._pending = b""
        self._eof = False
        self._choked = False
        self._attempts = 0
        self._timer: asyncio.TimerHandle | None = None

    # What the client does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.proxy.fronts.add(self)
        self._connect()

    def data_received(self, data: bytes) -> None:
        fresh = self.exchange.sent(data)
        if fresh and self.back is not None and self.backend is not None and self.backend.draining:
            self._part()
        if self.back is None:
            self._pending += data
            self._connect()
        else:
            self.back.transport.write(data)

    def eof_received(self) -> bool:
        self._eof = True
        if self.back is None or self.back.eof:
            return False
        if self.back.transport.can_write_eof():
            self.back.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.proxy.fronts.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._part(abort=exc is not None)

    def pause_writing(self) -> None:
        self._choked = True
        if self.back is not None:
            self.back.transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        if self.back is not None:
            self.back.transport.resume_reading()

    # What the replica does

    def answered(self, data: bytes) -> None:
        self.exchange.answered(data)
        self.transport.write(data)
        if self.backend is not None and self.backend.draining:
            self._after(SETTLE, self.leave)

    def server_closed(self) -> bool:
        """The replica will send no more; True keeps its connection open for what the client still sends."""
        if self._can_part():
            self._park()
            return False
        if self._again():
            return False
        if self._eof or not self.transport.can_write_eof():
            self.transport.close()
            return False
        self.transport.write_eof()
        self._after(LINGER, self.transport.close)
        return True

    def server_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._can_part():
            self._park()
        elif exc is not None and self._again():
            return
        elif exc is not None:
            self._part()
            self.transport.abort()
        else:
            self._part()
            self.transport.close()

    # Changing the replica

    def leave(self) -> None:
        """Go from a replica that drains as soon as nothing is under way with it."""
        if self.back is None or self.transport.is_closing():
            return
        if self.exchange.untouched and not self._eof:
            self._part()
            self._connect()
        elif self._can_part():
            self._park()

    def cut(self) -> None:
        """Close for good, whatever is under way."""
        self.transport.close()
        self._part()

    def _can_part(self) -> bool:
        return not self._eof and self.exchange.over

    def _park(self) -> None:
        """Keep the client without a replica until its next request."""
        self._part()
        if self.proxy.closing:
            self.transport.close()
        else:
            self._after(self.proxy.pace.parked, self._forget)

    def _forget(self) -> None:
        if self.back is None and self._connecting is None:
            self.transport.close()

    def _again(self) -> bool:
        """Take another replica where one hung up before a byte went over the connection."""
        if not self.exchange.untouched or self._eof or self._attempts >= 3:
            return False
        self._attempts += 1
        self._part()
        self._connect()
        return True

    def _part(self, *, abort: bool = False) -> None:
        """Close the connection to the replica, if there is one."""
        back, backend = self.back, self.backend
        self.back = self.backend = None
        if back is not None:
            back.let_go(abort=abort)
        if backend is not None:
            backend.drop(self)

    def _connect(self) -> None:
        if self.transport.is_closing():
            return
        if self.proxy.closing:
            self.transport.close()
            return
        self.transport.pause_reading()
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connected())

    async def _connected(self) -> None:
        """Reach a ready replica, and only then read on from the client."""
        back = await self.proxy.reach(self)
        self._connecting = None
        self.back = back
        if back is None or self.transport.is_closing():
            self.transport.close()
            self._part()
            return
        if not self._choked:
            back.transport.resume_reading()
        if self._pending:
            back.transport.write(self._pending)
            self._pending = b""
        self.transport.resume_reading()

    def _after(self, seconds: float, call: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)
