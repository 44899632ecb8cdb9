"""When is a connection between two requests? Told from any pieces of an exchange, and never too early."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bodywork.targets.local.exchange import Exchange

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

REQUESTS = st.sampled_from(
    [
        GET,
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /",
        b"PUT /p HTTP/1.1\r\ncontent-length:0\r\n\r\n",
        b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"DELETE /p HTTP/1.1\r\nX: y\r\n\r\n",
    ]
)
RESPONSES = st.sampled_from(
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\nohh",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    ]
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % len(data) for cut in cuts} - {0})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def exchanged(request: bytes, response: bytes) -> Exchange:
    exchange = Exchange()
    exchange.sent(request)
    exchange.answered(response)
    return exchange


@given(st.lists(st.tuples(REQUESTS, RESPONSES), min_size=1, max_size=4), st.lists(st.integers(0, 200)))
def test_it_is_over_exactly_when_the_last_byte_has_come(
    exchanges: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    exchange = Exchange()
    for number, (request, response) in enumerate(exchanges):
        # The first piece of a request holds at least its method, as TCP gives it in practice.
        for place, piece in enumerate(pieces(request, [cut for cut in cuts if cut % len(request) > 8])):
            assert exchange.sent(piece) is (number > 0 and place == 0)
            assert not exchange.over
        for piece in pieces(response, cuts)[:-1]:
            exchange.answered(piece)
            assert not exchange.over
        exchange.answered(pieces(response, cuts)[-1])
        assert exchange.over


def test_nothing_yet() -> None:
    exchange = Exchange()
    assert exchange.untouched
    assert not exchange.over


def test_an_answer_to_head_has_no_body() -> None:
    assert exchanged(b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").over


def test_what_ends_by_closing_is_not_over_before() -> None:
    assert not exchanged(GET, b"HTTP/1.1 200 OK\r\n\r\nhi").over
    assert not exchanged(GET, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi").over
    assert not exchanged(GET, b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi").over
    assert not exchanged(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", OK).over
    assert not exchanged(b"GET / HTTP/1.0\r\n\r\n", OK).over


def test_a_response_before_the_whole_request_is_not_the_end() -> None:
    assert not exchanged(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", OK).over


def test_pipelined_requests_make_it_opaque() -> None:
    exchange = exchanged(GET + GET, OK)
    assert not exchange.over
    assert not exchange.sent(GET)
    assert exchange.opaque
    exchange.answered(OK)
    assert not exchange.over


def test_a_request_in_the_middle_of_an_answer_makes_it_opaque() -> None:
    exchange = exchanged(GET, OK[:-1])
    assert not exchange.sent(GET)
    exchange.answered(OK[-1:])
    exchange.answered(OK)
    assert not exchange.over


def test_interim_responses_are_passed_over() -> None:
    exchange = Exchange()
    exchange.sent(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    exchange.answered(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not exchange.over
    assert not exchange.sent(b"GET ")
    assert not exchange.over
    exchange.answered(OK)
    assert exchange.over


def test_websockets_are_never_over() -> None:
    exchange = exchanged(GET, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    assert not exchange.over
    exchange.sent(b"GET / HTTP/1.1\r\n\r\n")
    exchange.answered(OK)
    assert not exchange.over


@given(st.binary(min_size=1), st.binary())
def test_other_protocols_are_left_alone(sent: bytes, answered: bytes) -> None:
    exchange = exchanged(b"\x16" + sent, answered)
    assert exchange.opaque
    assert not exchange.over
    assert not exchange.untouched


def test_a_head_that_is_too_long_is_left_alone() -> None:
    assert not exchanged(b"GET / HTTP/1.1\r\nCookie: " + b"x" * 40_000 + b"\r\n\r\n", OK).over
