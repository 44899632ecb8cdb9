"""Where one HTTP/1 request with its response ends, told from as few bytes as possible.

The proxy passes bytes on without reading them. Only to move a kept-alive connection to another
replica must it know that nothing is under way: the request has been sent whole and its response
has come whole. Whatever does not prove that (another protocol, pipelined requests, a response
that ends by closing, trailers) makes the connection `opaque`, and an opaque connection is never
moved. Message lengths are those of RFC 9112, section 6.3.
"""

from __future__ import annotations

METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ")
HEAD_LIMIT = 16 * 1024
END_OF_CHUNKS = b"\r\n0\r\n\r\n"


class Message:
    """What is kept of a request or a response: its head, how many bytes it had, and its last ones."""

    __slots__ = ("body", "head", "size", "tail")

    def __init__(self) -> None:
        self.head = b""
        self.body = 0  # where the body begins; 0: the head has not come whole
        self.size = 0
        self.tail = b""

    def add(self, data: bytes) -> None:
        if not self.body and len(self.head) < HEAD_LIMIT:
            self.head += data[:HEAD_LIMIT]
            self.body = self.head.find(b"\r\n\r\n") + 4
            if self.body == 3:
                self.body = 0
        self.size += len(data)
        self.tail = data[-7:] if len(data) >= 7 else (self.tail + data)[-7:]

    @property
    def start(self) -> bytes:
        """The first line."""
        return self.head[: self.head.find(b"\r\n")]

    def field(self, name: bytes) -> bytes | None:
        """The value of a field of the head, in lower case; `name` must be so too."""
        fields = self.head[: self.body].lower()
        at = fields.find(b"\r\n" + name + b":")
        if at < 0:
            return None
        return fields[at + len(name) + 3 : fields.find(b"\r\n", at + 2)].strip()

    def whole(self, *, unless_told: int | None) -> bool:
        """Whether all of it has come, and nothing after it.

        `unless_told` is the length of a body that the head says nothing of; None: up to the end
        of the connection.
        """
        if not self.body:
            return False
        if self.field(b"transfer-encoding") is not None:
            return self.tail.endswith(END_OF_CHUNKS) or (
                self.tail.endswith(END_OF_CHUNKS[2:]) and self.size == self.body + 5
            )
        length = self.field(b"content-length")
        if length is None:
            return unless_told is not None and self.size == self.body + unless_told
        return length.isdigit() and self.size == self.body + int(length)


class Exchange:
    """What has gone over a connection since its last request began."""

    __slots__ = ("opaque", "request", "response")

    def __init__(self) -> None:
        self.opaque = False
        self.request = Message()
        self.response = Message()

    @property
    def untouched(self) -> bool:
        """Nothing has been sent by either side."""
        return not (self.request.size or self.response.size or self.opaque)

    def sent(self, data: bytes) -> bool:
        """Take note of what the client sends; True: a new request begins and nothing is under way."""
        if self.opaque:
            return False
        fresh = False
        if self.response.size and not self.informed:
            # The server has spoken: only a new request may follow, and only after a whole response.
            fresh = data.startswith(METHODS) and self.over
            if not fresh:
                self._give_up()
                return False
            self.request, self.response = Message(), Message()
        elif not self.request.size and not data.startswith(METHODS):
            self._give_up()
            return False
        self.request.add(data)
        return fresh

    def answered(self, data: bytes) -> None:
        """Take note of what the server sends."""
        if self.opaque:
            return
        if self.informed:
            self.response = Message()
        self.response.add(data)

    @property
    def informed(self) -> bool:
        """All that the server has said is an interim response, such as 100 Continue."""
        response = self.response
        return (
            response.body > 0
            and response.size == response.body
            and response.head[:5] == b"HTTP/"
            and response.head[8:10] == b" 1"
            and response.head[9:12] != b"101"
        )

    @property
    def over(self) -> bool:
        """The request has been answered, and the connection waits for another one."""
        request, response = self.request, self.response
        if self.opaque or not response.body or response.head[:7] != b"HTTP/1.":
            return False
        status = response.head[9:12]
        if status < b"200" or not request.whole(unless_told=0) or not self._stays_open():
            return False
        if status in (b"204", b"304") or request.head.startswith(b"HEAD "):
            return response.size == response.body
        return response.whole(unless_told=None)

    def _stays_open(self) -> bool:
        said = self.response.field(b"connection") or b""
        if b"close" in said or b"close" in (self.request.field(b"connection") or b""):
            return False
        old = self.response.head.startswith(b"HTTP/1.0") or self.request.start.endswith(b"HTTP/1.0")
        return not old or b"keep-alive" in said

    def _give_up(self) -> None:
        self.opaque = True
        self.request, self.response = Message(), Message()
