"""Fixtures: the tool with a home of its own, a Git repository, the examples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from places import Cluster, in_cluster
from tool import DATE, Repository, Tool, wait_for

HERE = Path(__file__).resolve().parent
NO_CLUSTER = "no cluster: KUBECONFIG is not set"

# How long an example takes tells of the machine, not of the code; CI takes the same examples each time.
settings.register_profile(
    "any-machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in tests/cluster, and others with the mark, are not run without a cluster."""
    for item in items:
        if "cluster" in item.path.relative_to(HERE).parts:
            item.add_marker("cluster")
        if item.get_closest_marker("cluster") and not os.environ.get("KUBECONFIG"):
            item.add_marker(pytest.mark.skip(reason=NO_CLUSTER))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Let native tracebacks, too, begin at the test, and not in pytest."""
    if call.excinfo is not None:
        call.excinfo.traceback = call.excinfo.traceback.cut(path=item.path)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say how many, in one line; which ones they are stands above it."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_CLUSTER in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.line(f"{count} Kubernetes tests were not run: {NO_CLUSTER}", yellow=True)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Environments and mirrors of all tests of a session, over all its processes."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = root / "bodywork-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def tool(tmp_path: Path, shared_cache: Path) -> Iterator[Tool]:
    """The tool; at the end of the test its agent is stopped, and nothing of it may run any more."""
    home = tmp_path / "home"
    home.mkdir()
    made = Tool(home=home, cache=shared_cache)
    yield made
    made("agent", "stop")
    left = wait_for(lambda: not made.processes() or None, seconds=10)
    assert left


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "project"
    path.mkdir()
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    return made


@pytest.fixture
def cluster(tool: Tool) -> Iterator[Cluster]:
    """The tool, with a namespace of its own on the cluster of KUBECONFIG."""
    with in_cluster(tool) as made:
        yield made


EXAMPLES = HERE.parent / "examples"


@pytest.fixture
def example(repository: Repository) -> Callable[[str], Repository]:
    """Makes the repository one of the examples, in its root."""

    def copy(name: str, *, date: str = DATE) -> Repository:
        root = EXAMPLES / name
        files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        repository.commit(files, date=date)
        return repository

    return copy
