"""TLS and proxies between us and the API server, with real certificates."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bodywork.errors import UnreachableError, UsageError
from bodywork.targets.kubernetes.client.api import Api
from loopback import Asked, Relay, Reply, Server

Connect = Callable[..., Api]


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Signs certificates, as a cluster's own authority does: without the extensions of public ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.openssl("req", "-x509", *EC, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")

    def sign(self, name: str, names: str = "") -> tuple[Path, Path]:
        """(certificate, key)"""
        self.openssl("req", *EC, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / "extensions").write_text(f"subjectAltName={names}\n" if names else "")
        by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions")
        self.openssl("x509", "-req", "-in", f"{name}.csr", *by, "-out", f"{name}.crt")
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def serving(self, name: str, names: str, *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sign(name, names))
        if wants_client:
            context.load_verify_locations(self.folder / "ca.crt")
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def says_who(asked: Asked) -> Reply:
    """The minor version is the length of the name of who asks."""
    subject = dict(pair for part in (asked.peer or {}).get("subject", ()) for pair in part)
    return Reply(body={"major": "1", "minor": str(len(subject.get("commonName", "")))})


async def test_the_authority_of_the_kubeconfig_counts(connect: Connect, authority: Authority) -> None:
    async with Server(says_who, authority.serving("server", "IP:127.0.0.1")) as server:
        trusted = {"certificate-authority-data": authority.data("ca.crt")}
        assert await connect(server.url, cluster=trusted).version() == (1, 0)
        in_file = {"certificate-authority": str(authority.folder / "ca.crt")}
        assert await connect(server.url, cluster=in_file).version() == (1, 0)
        assert await connect(server.url, cluster={"insecure-skip-tls-verify": True}).version() == (1, 0)
        with pytest.raises(UnreachableError, match=r"is not trusted: .*certificate") as caught:
            await connect(server.url, patience=60).version()
        assert "certificate-authority-data" in (caught.value.hint or "")


async def test_the_name_that_the_certificate_has(connect: Connect, authority: Authority) -> None:
    async with Server(says_who, authority.serving("named", "DNS:api.example")) as server:
        cluster = {"certificate-authority-data": authority.data("ca.crt")}
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1") as caught:
            await connect(server.url, cluster=cluster, patience=60).version()
        assert "tls-server-name" in (caught.value.hint or "")
        assert await connect(server.url, cluster={**cluster, "tls-server-name": "api.example"}).version()


async def test_a_client_certificate(connect: Connect, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.sign("somebody")
    cluster = {"certificate-authority-data": authority.data("ca.crt")}
    context = authority.serving("asks", "IP:127.0.0.1", wants_client=True)
    async with Server(says_who, context) as server:
        data = {
            "client-certificate-data": authority.data("somebody.crt"),
            "client-key-data": authority.data("somebody.key"),
        }
        assert await connect(server.url, cluster=cluster, user=data).version() == (1, len("somebody"))
        files = {"client-certificate": str(certificate), "client-key": str(key)}
        assert await connect(server.url, cluster=cluster, user=files).version() == (1, len("somebody"))
        with pytest.raises(UnreachableError):
            await connect(server.url, cluster=cluster, patience=0).version()


async def test_a_plugin_gives_a_certificate(connect: Connect, authority: Authority, tmp_path: Path) -> None:
    """And another one when the first is refused, which takes connections of its own."""
    for name in ("first", "the-second"):
        authority.sign(name)
        pair = [(authority.folder / f"{name}.{end}").read_text() for end in ("crt", "key")]
        status = {"clientCertificateData": pair[0], "clientKeyData": pair[1]}
        said = {"apiVersion": "client.authentication.k8s.io/v1", "status": status}
        (tmp_path / name).write_text(json.dumps(said))
    script = tmp_path / "login"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}\ncat first\nmv the-second first || true\n")
    script.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}

    async def handler(asked: Asked) -> Reply:
        reply = await says_who(asked)
        return reply if reply.body["minor"] == str(len("the-second")) else Reply(status=401, body=b"")

    cluster = {"certificate-authority-data": authority.data("ca.crt")}
    async with Server(handler, authority.serving("both", "IP:127.0.0.1", wants_client=True)) as server:
        assert await connect(server.url, cluster=cluster, user=user).version() == (1, len("the-second"))
        assert len(server.asked) == 2


async def test_a_key_with_a_password_is_refused_and_not_asked_for(
    connect: Connect, authority: Authority
) -> None:
    authority.sign("locked")
    authority.openssl("ec", "-aes128", "-passout", "pass:x", "-in", "locked.key", "-out", "locked2.key")
    user = {
        "client-certificate": str(authority.folder / "locked.crt"),
        "client-key": str(authority.folder / "locked2.key"),
    }
    with pytest.raises(UsageError, match="locked with a password"):
        await connect("https://127.0.0.1:1", user=user).version()


async def test_in_a_pod(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    (tmp_path / "namespace").write_text("iris\n")
    (tmp_path / "ca.crt").write_bytes((authority.folder / "ca.crt").read_bytes())

    async with Server(says_who, authority.serving("pods", "IP:127.0.0.1")) as server:
        environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "HTTPS_PROXY": "http://127.0.0.1:1",
        }
        async with Api.open(environment, account=tmp_path) as api:
            assert (api.default_namespace, api.context) == ("iris", "in-cluster")
            await api.version()
            (tmp_path / "token").write_text("two\n")
            await api.version()
        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer one", "Bearer two"]


async def test_a_proxy(connect: Connect, authority: Authority) -> None:
    context = authority.serving("behind", "DNS:api.example")
    trusted = {"certificate-authority-data": authority.data("ca.crt")}
    async with Server(says_who, context) as server, Relay(server.port, proxy="http") as proxy:
        url, through = "https://api.example:6443", f"http://127.0.0.1:{proxy.port}"
        assert await connect(url, cluster={**trusted, "proxy-url": through}).version()
        assert await connect(url, cluster=trusted, environment={"HTTPS_PROXY": through}).version()
        assert len(proxy.asked) == 2
        assert proxy.asked[0].startswith("CONNECT api.example:6443 ")
        direct = {"HTTPS_PROXY": through, "NO_PROXY": ".example"}
        with pytest.raises(UnreachableError):
            await connect(url, cluster=trusted, environment=direct, patience=0).version()
        assert len(proxy.asked) == 2


async def test_a_proxy_of_socks(connect: Connect, authority: Authority) -> None:
    """The name is left to the proxy: often only it can resolve it."""
    trusted = {"certificate-authority-data": authority.data("ca.crt")}
    context = authority.serving("socks", "DNS:api.example")
    async with Server(says_who, context) as server, Relay(server.port, proxy="socks") as proxy:
        cluster = {**trusted, "proxy-url": f"socks5://127.0.0.1:{proxy.port}"}
        assert await connect("https://api.example:6443", cluster=cluster).version()
        assert proxy.asked == ["api.example:6443"]


async def test_a_proxy_that_refuses(connect: Connect) -> None:
    async def refuses(asked: Asked) -> Reply:
        return Reply(status=407, body=b"")

    async with Server(refuses) as proxy:
        through = f"http://me:hidden@127.0.0.1:{proxy.port}"
        with pytest.raises(UnreachableError) as caught:
            await connect("https://api.example", cluster={"proxy-url": through}, patience=0).version()
        assert f"the proxy 127.0.0.1:{proxy.port} does not lead to the cluster" in caught.value.message
        assert "407" in caught.value.message and "hidden" not in caught.value.message
        assert proxy.asked[0].headers["proxy-authorization"].startswith("Basic ")


async def test_a_server_that_says_nothing_counts_as_away(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bodywork.targets.kubernetes.client.connection.CONNECT", 0.3)
    held: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            with pytest.raises(UnreachableError, match="no connection in time"):
                await connect(f"https://127.0.0.1:{port}", patience=2.0).version()
        finally:
            for writer in held:
                writer.transport.abort()
    assert len(held) >= 2, "asked again"
