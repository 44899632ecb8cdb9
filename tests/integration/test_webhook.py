"""Deliveries to real servers: those that answer, those that do not, and those that lead elsewhere."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from bodywork.webhook import Post, deliver
from hooked import chat, drop_by_drop, never, with_code

DOCUMENT = {"text": "it failed"}


async def test_what_is_sent_arrives_as_json() -> None:
    with chat() as there:
        assert await deliver([Post(url=there.url, document={"text": "größer > 5"})]) == []
    assert there.got == [{"text": "größer > 5"}]


async def test_a_server_in_trouble_is_asked_again() -> None:
    with chat(with_code(500, 503, 429, 200)) as there:
        assert await deliver([Post(url=there.url, document=DOCUMENT)]) == []
    assert there.got == [DOCUMENT] * 4


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (404, "it answered with 404: is the address still the right one?"),
        (400, "it answered with 400: does it take the form that `notify` says (slack, json)?"),
        (302, "it answered with 302, a redirection, which is not followed: give the address that it has now"),
        (308, "it answered with 308, a redirection, which is not followed: give the address that it has now"),
    ],
)
async def test_what_trying_again_does_not_change_is_said_at_once(code: int, why: str) -> None:
    with chat(with_code(code)) as there:
        assert await deliver([Post(url=there.url, document=DOCUMENT)]) == [
            f"the webhook at 127.0.0.1 was not told: {why}"
        ]
    assert there.asked == ["POST /hooks/t0k3n-0f-the-chat"], "once"


async def test_nobody_waits_longer_than_the_bound_and_others_are_told() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    began = time.monotonic()
    with chat(never) as silent, chat(drop_by_drop) as slow, chat() as good, chat(with_code(500)) as ill:
        urls = [silent.url, slow.url, good.url, ill.url, f"http://127.0.0.1:{port}/t0k3n"]
        said = await deliver([Post(url=url, document=DOCUMENT) for url in urls], patience=3.0)
        assert time.monotonic() - began < 15  # two of them would never end
    assert good.got == [DOCUMENT]
    assert said == [
        "the webhook at 127.0.0.1 was not told: it did not take it within 3 s",
        "the webhook at 127.0.0.1 was not told: it did not take it within 3 s",
        "the webhook at 127.0.0.1 was not told: it answered with 500",
        "the webhook at 127.0.0.1 was not told: connection refused",
    ]


@pytest.mark.parametrize(
    "url",
    ["t0k3n", "file:///etc/passwd", "https://", "http://[t0k3n", "http://a b/t0k3n", "http://a:port/t0k3n"],
)
async def test_what_is_no_address_is_said_without_it(url: str) -> None:
    (said,) = await deliver([Post(url=url, document=DOCUMENT)], patience=5.0)
    assert "t0k3n" not in said
    assert "no address" in said or "no host" in said


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    certified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat(certificate=certified) as there:
        post = Post(url=there.url, document=DOCUMENT)
        (said,) = await deliver([post])
        assert said.startswith("the webhook at 127.0.0.1 was not told: its certificate is not accepted (")
        assert said.endswith("a certificate authority of your own is named by SSL_CERT_FILE")
        assert there.got == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certified))
        assert await deliver([post]) == []
    assert there.got == [DOCUMENT]


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A file with a key and a certificate for 127.0.0.1, made by nobody in particular."""
    file = tmp_path / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file.with_suffix(".key"), "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + file.with_suffix(".key").read_text())
    return file
