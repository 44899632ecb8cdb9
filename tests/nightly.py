"""A project that trains every night and serves what it has trained, as examples/train-and-serve does, and
where it is hosted.

It has that example's shape, and needs no packages: what a night costs is then the product's own. Each
model says for which day and when it was made, so that no two are the same object in a store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import s3
import sshd
from tool import Tool

STORE_SECRET = "of+the/store, 40 characters = not less"

YAML = """
version: "2"
name: {name}
python: "{python}"
workflow: train >> serve
store: {store}
{more}
stages:
  train: {{run: train.py, outputs: {{model: model.txt}}}}
  serve: {{run: serve.py, inputs: {{model: train.model}}, service: {{port: 5000, startup_timeout: 60s}}}}
"""
TRAIN = """
import os, pathlib, time
day = os.environ["BODYWORK_DATE"]
print("trains for", day, flush=True)
{more}
pathlib.Path(os.environ["BODYWORK_OUTPUT_MODEL"]).write_text(day + " " + str(time.time()))
"""
SERVE = """
import http.server, os
model = open(os.environ["BODYWORK_INPUT_MODEL"], "rb").read()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(model)))
        self.end_headers()
        self.wfile.write(model)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""


def project(name: str, store: str, *, python: str, more: str = "", train: str = "") -> Mapping[str, str]:
    """Its files. `more` are more keys of bodywork.yaml, `train` a line of what trains."""
    yaml = YAML.format(name=name, python=python, store=store, more=more)
    return {"bodywork.yaml": yaml, "train.py": TRAIN.format(more=train), "serve.py": SERVE}


@dataclass(frozen=True)
class Host:
    """Where the private repository and the bucket are."""

    ssh: sshd.SshServer
    bucket: s3.Server

    @property
    def secrets(self) -> list[str]:
        return [self.ssh.key.read_text(), STORE_SECRET]

    @property
    def store(self) -> str:
        return f"s3://models/iris?endpoint={self.bucket.endpoint}"

    def keep_secrets(self, tool: Tool) -> None:
        """Only that of the bucket. ssh itself knows the host, and has no key."""
        tool.extra["GIT_SSH_COMMAND"] = self.ssh.configure(key=self.ssh.folder / "none")
        file = tool.home / "store.env"
        file.write_text(f"AWS_ACCESS_KEY_ID={s3.KEY}\nAWS_SECRET_ACCESS_KEY='{STORE_SECRET}'\n")
        tool.good("secret", "set", "bodywork-store", "--from-env-file", str(file))
        file.unlink()

    def models(self) -> dict[str, str]:
        """What runs have trained, by the key of each."""
        return {key: text for key, text in self.bucket.objects("models").items() if "/train/" in key}


@contextmanager
def hosting(folder: Path, address: str) -> Iterator[Host]:
    """Both of them, at an address of this machine that pods reach."""
    (folder / "s3").mkdir()
    with (
        sshd.running(folder / "sshd", address) as ssh,
        s3.server(folder / "s3", "models", secret=STORE_SECRET, address=address) as bucket,
    ):
        ssh.trust()
        yield Host(ssh=ssh, bucket=bucket)
