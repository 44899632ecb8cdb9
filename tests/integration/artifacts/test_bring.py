"""The init container of a service brings its inputs from a real S3 server, and says what keeps it."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import s3
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore

pytestmark = pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")


def asked(server: s3.Server, into: Path, digests: dict[str, str]) -> dict[str, str]:
    inputs = [
        {"into": str(into / name / "thing"), "key": f"iris/{name}", "digest": digest}
        for name, digest in digests.items()
    ]
    store = f"s3://models?endpoint={server.endpoint}"
    return {"BODYWORK_BRING": json.dumps({"store": store, "inputs": inputs})}


def bring(variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-u", "-m", "bodywork.targets.kubernetes.pods.bring"],
        env={**os.environ, **s3.VARIABLES, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def kept(server: s3.Server, folder: Path) -> dict[str, str]:
    """A file and a folder in the store, with their digests."""
    store = ObjectStore(Address.parse(f"s3://models?endpoint={server.endpoint}"), s3.VARIABLES)
    (folder / "model").write_text("model")
    (folder / "tables" / "deep").mkdir(parents=True)
    (folder / "tables" / "deep" / "rows.csv").write_text("1,2\n")
    return {
        "model": store.put(folder / "model", "iris/model"),
        "tables": store.put(folder / "tables", "iris/tables"),
    }


def test_files_and_folders_are_brought_also_a_second_time(tmp_path: Path) -> None:
    with s3.server(tmp_path, "models") as server:
        variables = asked(server, tmp_path / "inputs", kept(server, tmp_path))
        for _ in range(2):
            done = bring(variables)
            assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "inputs" / "model" / "thing").read_text() == "model"
        assert (tmp_path / "inputs" / "tables" / "thing" / "deep" / "rows.csv").read_text() == "1,2\n"
        assert "bodywork: brought" in done.stdout


def test_what_was_put_in_pieces_is_brought_whole(tmp_path: Path) -> None:
    with s3.server(tmp_path, "models") as server:
        store = ObjectStore(Address.parse(f"s3://models?endpoint={server.endpoint}"), s3.VARIABLES)
        for key, content in {"iris/model": b"1234", "iris/model.2": b"5678", "iris/model.3": b"9"}.items():
            store.put_bytes(content, key)
        digest = f"file:{hashlib.sha256(b'123456789').hexdigest()}"
        told = json.loads(asked(server, tmp_path / "inputs", {"model": digest})["BODYWORK_BRING"])
        done = bring({"BODYWORK_BRING": json.dumps({**told, "piece": 4})})
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "inputs" / "model" / "thing").read_text() == "123456789"


def test_what_cannot_be_had_is_a_sentence(tmp_path: Path) -> None:
    with s3.server(tmp_path, "models") as server:
        digests = kept(server, tmp_path)
        wrong = bring({**asked(server, tmp_path / "inputs", digests), "AWS_SECRET_ACCESS_KEY": "wrong"})
        assert wrong.returncode == 1 and "does not accept the credential" in wrong.stdout
        missing = bring(asked(server, tmp_path / "inputs", {"other": digests["model"]}))
        assert missing.returncode == 1 and "iris/other is not in the store" in missing.stdout
        server.file("models", "iris/model").write_text("evil")
        damaged = bring(asked(server, tmp_path / "inputs", digests))
        assert damaged.returncode == 1 and "is damaged" in damaged.stdout
        assert not (tmp_path / "inputs" / "model" / "thing").exists()
        assert not (wrong.stderr + missing.stderr + damaged.stderr)


def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with s3.server(tmp_path, "models") as server:
        variables = asked(server, tmp_path / "inputs", kept(server, tmp_path))
        server.stop()
        threading.Timer(3.0, server.start).start()
        began = time.monotonic()
        done = bring(variables)
        assert done.returncode == 0, done.stdout
        assert time.monotonic() - began > 2.5
