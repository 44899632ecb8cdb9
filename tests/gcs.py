"""Google's Cloud Storage for tests: fake-gcs-server, behind a front that does what it lacks.

The client writes by Google's XML API, of which fake-gcs-server only has reading, listing, deleting
and signed uploads. The front turns the other writes into those of the JSON API, knows buckets that
are not there, and checks credentials: tokens and signed URLs, against the service account's public
key, as Google's documentation gives the rules.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import secrets
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

import emulators

EMAIL = "trainer@team.iam.gserviceaccount.com"
SIGNED_HOST = "storage.googleapis.com"  # the client library signs for it, whatever the endpoint is
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # of SHA-256, RFC 8017, 9.2


@dataclass
class Account:
    """A service account: its key as Google gives it out, and how its signatures are checked."""

    key: str
    modulus: int

    @classmethod
    def made(cls, email: str = EMAIL) -> Account:
        private = _openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        modulus = _openssl("rsa", "-noout", "-modulus", told=private).partition("=")[2]
        said = {"type": "service_account", "private_key": private, "private_key_id": "1"}
        return cls(
            key=json.dumps({**said, "client_email": email, "client_id": "1"}), modulus=int(modulus, 16)
        )

    def signed(self, text: bytes, signature: bytes) -> bool:
        size = (self.modulus.bit_length() + 7) // 8
        opened = pow(int.from_bytes(signature, "big"), 65537, self.modulus).to_bytes(size, "big")
        return opened.endswith(b"\xff\x00" + DIGEST_INFO + hashlib.sha256(text).digest())


def _openssl(*arguments: str, told: str = "") -> str:
    return subprocess.run(
        ["openssl", *arguments], input=told, capture_output=True, text=True, check=True
    ).stdout


@dataclass
class Server:
    """One that knows `account` alone. `behind` is the fake-gcs-server itself."""

    account: Account
    behind: str
    endpoint: str = ""
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def make(self, bucket: str) -> None:
        body = json.dumps({"name": bucket}).encode()
        headers = {"Content-Type": "application/json"}
        self.ask("POST", "/storage/v1/b", body, headers)

    def has(self, bucket: str) -> bool:
        return self.ask("GET", f"/storage/v1/b/{bucket}")[0] == 200

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        request = urllib.request.Request(self.behind + path, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=emulators.PATIENCE) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def let_in(self, method: str, path: str, headers: dict[str, str]) -> bool:
        if "X-Goog-Signature" in path:
            return self._signed(method, path)
        head, _, signature = headers.get("authorization", "").removeprefix("Bearer ").rpartition(".")
        if not head:
            return False
        claims = json.loads(_decoded(head.partition(".")[2]))
        return claims["iss"] == EMAIL and self.account.signed(head.encode(), _decoded(signature))

    def _signed(self, method: str, path: str) -> bool:
        parts = urlsplit(path)
        said = dict(parse_qsl(parts.query))
        signature = bytes.fromhex(said.pop("X-Goog-Signature"))
        query = "&".join(
            sorted(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in said.items())
        )
        asked = f"{method}\n{parts.path}\n{query}\nhost:{SIGNED_HOST}\n\nhost\nUNSIGNED-PAYLOAD"
        scope = said["X-Goog-Credential"].partition("/")[2]
        text = "\n".join(
            ["GOOG4-RSA-SHA256", said["X-Goog-Date"], scope, hashlib.sha256(asked.encode()).hexdigest()]
        )
        begun = datetime.strptime(said["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        fresh = datetime.now(UTC) < begun + timedelta(seconds=int(said["X-Goog-Expires"]))
        return fresh and self.account.signed(text.encode(), signature)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Front(http.server.BaseHTTPRequestHandler):
    """What a request becomes on its way to fake-gcs-server."""

    protocol_version = "HTTP/1.1"
    server: Listening

    def do_GET(self) -> None:
        ours, parts = self.server.gcs, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        if not ours.let_in(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}):
            self.answer(403 if "X-Goog-Signature" in query else 401, error("AuthenticationRequired"))
        elif not ours.has(bucket):
            self.answer(404, error("NoSuchBucket"))
        elif self.command in ("PUT", "POST") and "X-Goog-Signature" not in query:
            self.write(bucket, key, query, body)
        else:
            self.answer(*ours.ask(self.command, self.path, body or None))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def write(self, bucket: str, key: str, query: dict[str, list[str]], body: bytes) -> None:
        parts = self.server.gcs.parts
        if "uploads" in query:
            upload = secrets.token_hex(8)
            parts[upload] = {}
            self.answer(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
        elif "partNumber" in query:
            parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
            self.answer(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        elif "uploadId" in query:
            whole = b"".join(part for _, part in sorted(parts.pop(query["uploadId"][0]).items()))
            self.keep(bucket, key, whole, b"<R><ETag>1</ETag></R>")
        else:
            self.keep(bucket, key, body, b"")

    def keep(self, bucket: str, key: str, content: bytes, said: bytes) -> None:
        condition = self.headers.get("x-goog-if-generation-match")
        more = f"&ifGenerationMatch={condition}" if condition else ""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}{more}"
        status, answered, _ = self.server.gcs.ask("POST", path, content)
        self.answer(status, said if status == 200 else answered, {"ETag": '"1"'})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        kept = {key: value for key, value in (headers or {}).items() if key.lower() not in HOP}
        if self.command != "HEAD" or "Content-Length" not in kept:
            kept["Content-Length"] = str(len(body))
        for name, value in kept.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


HOP = ("transfer-encoding", "connection", "date", "server")


class Listening(http.server.ThreadingHTTPServer):
    gcs: Server


def error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


@contextmanager
def server(folder: Path, *buckets: str) -> Iterator[Server]:
    """A running server with these buckets; it writes its log below `folder`."""
    place, port = folder / f"gcs-{secrets.token_hex(4)}", emulators.free_port("127.0.0.1")
    place.mkdir()
    host = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    command = [emulators.FAKE_GCS, *host, "-backend", "memory", "-log-level", "error"]
    process = emulators.start(command, "127.0.0.1", port, place / "log")
    try:
        with Listening(("127.0.0.1", 0), Front) as front:
            running = Server(Account.made(), f"http://127.0.0.1:{port}")
            running.endpoint, front.gcs = f"http://127.0.0.1:{front.server_port}", running
            threading.Thread(target=front.serve_forever, daemon=True).start()
            for bucket in buckets:
                running.make(bucket)
            yield running
            front.shutdown()
    finally:
        process.kill()
        process.wait()
