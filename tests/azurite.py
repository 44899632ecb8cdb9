"""Azure's Blob Storage for tests: Azurite, Microsoft's own emulator, which checks keys and signatures."""

from __future__ import annotations

import base64
import hmac
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import emulators
from bodywork.artifacts.azure import EMULATOR

ACCOUNT, KEY = EMULATOR["AccountName"], EMULATOR["AccountKey"]
VARIABLES = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
WRONG = base64.b64encode(b"wrong").decode()


class Server:
    """Blob Storage of the emulator's one account, on a free port."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address, self._port = address, emulators.free_port(address)
        self.endpoint = f"http://{address}:{self._port}/{ACCOUNT}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        place = ["--blobHost", self._address, "--blobPort", str(self._port), "--location", self._folder]
        command = [emulators.AZURITE, *place, "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
        self._process = emulators.start(command, self._address, self._port, self._folder / "log")

    def stop(self) -> None:
        if self._process:
            self._process.terminate()  # it writes down what it has
            self._process.wait()
            self._process = None

    def make(self, container: str) -> None:
        """Make a container, by a request as Azure's reference gives it under "Authorize with Shared Key"."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        lines = [f"{name}:{value}" for name, value in headers.items()]
        resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
        text = "\n".join(["PUT", *[""] * 11, *lines, resource])
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
        request = urllib.request.Request(
            f"{self.endpoint}/{container}?restype=container",
            headers={**headers, "Authorization": f"SharedKey {ACCOUNT}:{signature}"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=emulators.PATIENCE).close()


@contextmanager
def server(folder: Path, *containers: str, address: str = "127.0.0.1") -> Iterator[Server]:
    """A running server with these containers, which keeps what it has in a new folder in `folder`."""
    place = folder / f"azurite-{secrets.token_hex(4)}"
    place.mkdir()
    running = Server(place, address)
    running.start()
    try:
        for container in containers:
            running.make(container)
        yield running
    finally:
        running.stop()
