"""A package index on loopback, and environments in a folder of the test."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from bodywork.environment import Environments
from integration.environment.local_index import Index, Make, Quiet


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    answers = type("Answers", (Quiet,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(answers, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    made = Index(folder, server)
    answers.index = made
    yield made
    made.stop()


@pytest.fixture
def environments(tmp_path: Path) -> Make:
    """Environments in folders of this test, with the machine's package index and uv's usual cache."""

    def make(*, offline: bool = False, downloads: bool = False, **variables: str) -> Environments:
        return Environments(
            locks=tmp_path / "locks",
            cache=tmp_path / "cache",
            offline=offline,
            downloads=downloads,
            environment={**os.environ, **variables},
        )

    return make


@pytest.fixture
def local(environments: Make, index: Index, tmp_path: Path) -> Make:
    """The same, but all packages come from `index`, and uv's cache is empty at first."""
    cache = str(tmp_path / "uv-cache")
    return partial(environments, UV_DEFAULT_INDEX=index.url, UV_CACHE_DIR=cache, UV_HTTP_RETRIES="0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
