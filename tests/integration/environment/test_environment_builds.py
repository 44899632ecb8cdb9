"""Environments: complete or not there, built once, never changed, and theirs wherever they lie."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bodywork.environment import Environments, Lock
from bodywork.errors import MachineError, NotFoundError, ResolutionError
from bodywork.process import alive, run
from bodywork.spec.model import Requirements
from integration.environment.local_index import OURS, Index, Make, python

JUNE = datetime(2022, 6, 1, tzinfo=UTC)
SECONDS = 60.0

BUILD = """
import asyncio, os, sys
from pathlib import Path
from bodywork.environment import Environments

made = Environments(locks=Path(sys.argv[1]), cache=Path(sys.argv[2]))
print(asyncio.run(made.build(made.load(sys.argv[3]))).path)
"""


async def locked(made: Environments, folder: Path, *lines: str, as_of: datetime | None = None) -> Lock:
    return await made.lock(Requirements(packages=lines), python=OURS, folder=folder, as_of=as_of)


def folders(tmp_path: Path) -> list[str]:
    """What lies among the environments, half-made ones included."""
    return sorted(path.name for path in (tmp_path / "cache" / "environments").glob("[!.]*"))


def wait_for(path: Path, pattern: str) -> Path:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := next(iter(path.glob(pattern)), None):
            return found
        time.sleep(0.005)
    raise AssertionError(f"{pattern} did not appear in {path}")


def command(lock: Lock, tmp_path: Path, **variables: str) -> subprocess.Popen[str]:
    """Another process that builds the lock."""
    arguments = [str(tmp_path / "locks"), str(tmp_path / "cache"), lock.digest]
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


async def test_modules_commands_and_bytecode_are_there(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    made = local()
    lock = await locked(made, project, "tiny")
    said: list[str] = []

    environment = await made.build(lock, progress=said.append)

    assert python(environment, "import tiny; print(tiny.__cached__)").stdout.strip().endswith(".pyc")
    assert list(environment.path.glob("lib/*/site-packages/__pycache__/tiny.*.pyc"))
    assert run([str(environment.path / "bin" / "tiny")]).stdout == "1.0\n"
    assert any(line.startswith("Installed") for line in said)
    assert made.built(lock.digest)
    assert made.find(lock.digest) == environment


async def test_a_second_build_does_nothing(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    lock = await locked(local(), project, "tiny")
    first = await local().build(lock)
    made = first.path / "pyvenv.cfg"
    before = made.stat().st_mtime_ns
    index.stop()

    second = await local(PATH="").build(lock, progress=lambda line: pytest.fail(line))

    assert second == first
    assert made.stat().st_mtime_ns == before


async def test_nothing_is_written_into_an_environment_by_using_it(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    made = local()
    environment = await made.build(await locked(made, project, "tiny"))
    before = sorted(environment.path.rglob("*"))

    python(environment, "import tiny")

    assert sorted(environment.path.rglob("*")) == before


async def test_no_packages_at_all_make_an_environment_too(local: Make, index: Index, project: Path):
    index.stop()
    made = local(offline=True)

    environment = await made.build(await locked(made, project))

    assert python(environment, "import sys; print(sys.prefix != sys.base_prefix)").stdout == "True\n"


async def test_ten_who_build_at_once_build_once(local: Make, index: Index, project: Path, tmp_path: Path):
    index.add("tiny", "1.0")
    lock = await locked(local(), project, "tiny")
    builders = [local() for _ in range(5)]
    said: list[str] = []

    built = await asyncio.gather(*(one.build(lock, progress=said.append) for one in builders * 2))

    assert len({environment.path for environment in built}) == 1
    assert folders(tmp_path) == [lock.digest[:32]]
    assert len([line for line in said if line.startswith("Installed")]) == 1


async def test_processes_that_build_at_once_build_once(
    local: Make, index: Index, project: Path, tmp_path: Path
):
    index.add("tiny", "1.0")
    lock = await locked(local(), project, "tiny")
    settings = {"UV_DEFAULT_INDEX": index.url, "UV_CACHE_DIR": str(tmp_path / "uv-cache")}

    children = [command(lock, tmp_path, **settings) for _ in range(4)]
    answers = [await asyncio.to_thread(child.communicate, timeout=SECONDS) for child in children]

    assert {answer for answer, _ in answers} == {f"{local().find(lock.digest).path}\n"}
    assert folders(tmp_path) == [lock.digest[:32]]


async def test_a_killed_build_leaves_nothing_that_the_next_one_minds(
    local: Make, index: Index, project: Path, tmp_path: Path
):
    """Killed while uv waits for a wheel that the index does not deliver yet."""
    index.add("tiny", "1.0")
    lock = await locked(local(), project, "tiny")
    index.hold()
    fresh = {"UV_DEFAULT_INDEX": index.url, "UV_CACHE_DIR": str(tmp_path / "empty-uv-cache")}
    child = command(lock, tmp_path, **fresh)
    owner = await asyncio.to_thread(wait_for, tmp_path / "cache" / "environments", "*.tmp/uv.process")
    await asyncio.to_thread(index.asked.wait, SECONDS)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = owner.read_text()
    index.release()

    environment = await local().build(lock)

    assert python(environment, "import tiny; print(tiny.VERSION)").stdout == "1.0\n"
    assert folders(tmp_path) == [lock.digest[:32]]
    assert not alive(left)


async def test_a_cancelled_build_leaves_nothing(local: Make, index: Index, project: Path, tmp_path: Path):
    index.add("tiny", "1.0")
    lock = await locked(local(), project, "tiny")
    index.hold()
    building = asyncio.create_task(local(UV_CACHE_DIR=str(tmp_path / "empty-uv-cache")).build(lock))
    await asyncio.to_thread(index.asked.wait, SECONDS)

    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    index.release()

    assert folders(tmp_path) == []
    assert python(await local().build(lock), "import tiny; print(tiny.VERSION)").stdout == "1.0\n"


async def test_an_environment_whose_python_is_gone_is_built_anew(local: Make, project: Path):
    made = local()
    lock = await locked(made, project)
    environment = await made.build(lock)
    environment.python.unlink()
    environment.python.symlink_to("/nonexistent/python")

    assert not made.built(lock.digest)
    with pytest.raises(NotFoundError, match="is not built"):
        made.find(lock.digest)
    assert python(await made.build(lock), "print(1)").stdout == "1\n"


async def test_a_wheel_that_was_changed_after_it_was_locked_is_refused(
    local: Make, index: Index, project: Path, tmp_path: Path
):
    index.add("tiny", "1.0")
    lock = await locked(local(), project, "tiny")
    index.add("tiny", "1.0", files={"more.py": "X = 1\n"})

    with pytest.raises(ResolutionError, match="the index gives another file than the one that was locked"):
        await local(UV_CACHE_DIR=str(tmp_path / "empty-uv-cache")).build(lock)

    assert folders(tmp_path) == []


async def test_a_second_environment_has_the_bytecode_of_the_first(
    local: Make, index: Index, project: Path, tmp_path: Path
):
    index.add("tiny", "1.0")
    index.add("other", "1.0")
    made = local()
    first = await made.build(await locked(made, project, "tiny"))
    second = await made.build(await locked(made, project, "tiny", "other"))

    kept = [next(one.path.glob("lib/*/site-packages/__pycache__/tiny.*.pyc")) for one in (first, second)]
    assert kept[0].samefile(kept[1])
    assert list(second.path.glob("lib/*/site-packages/__pycache__/other.*.pyc"))


async def test_the_same_release_with_other_content_has_its_own_bytecode(
    local: Make, index: Index, project: Path, tmp_path: Path
):
    index.add("tiny", "1.0")
    made = local()
    await made.build(await locked(made, project, "tiny"))
    index.add("tiny", "1.0", files={"tiny.py": "VERSION = 'patched'\n"})

    other = local(UV_CACHE_DIR=str(tmp_path / "empty-uv-cache"))
    environment = await other.build(await locked(other, project, "tiny", as_of=JUNE))

    assert python(environment, "import tiny; print(tiny.VERSION)").stdout == "patched\n"


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root mounts a small disk")
async def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    local: Make, index: Index, project: Path, tmp_path: Path
):
    index.add("tiny", "1.0", files={"tiny_data.bin": "x" * 4_000_000})
    lock = await locked(local(), project, "tiny")
    small = tmp_path / "small"
    small.mkdir()
    if run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], check=False).code != 0:
        pytest.skip("no disk can be mounted here")
    try:
        made = Environments(
            locks=tmp_path / "locks",
            cache=small,
            environment={
                **os.environ,
                "UV_DEFAULT_INDEX": index.url,
                "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
            },
        )
        with pytest.raises(MachineError, match="the disk is full"):
            await made.build(lock)
        assert list((small / "environments").glob("[!.]*")) == []
    finally:
        run(["umount", str(small)])


async def test_the_hook_runs_inside_of_a_stage_only(local: Make, project: Path, tmp_path: Path):
    made = local()
    environment = await made.build(await locked(made, project))
    hook = tmp_path / "hook.py"
    hook.write_text("import builtins\nbuiltins.hooked = (__name__, __file__)\n")
    code = "import builtins; print(getattr(builtins, 'hooked', None))"

    assert python(environment, code).stdout == "None\n"
    assert python(environment, code, BODYWORK_HOOK=str(hook)).stdout == f"('bodywork_hook', '{hook}')\n"
    assert list((tmp_path / "__pycache__").glob("hook.*.pyc"))


async def test_a_hook_that_fails_does_not_stop_the_stage(local: Make, project: Path, tmp_path: Path):
    made = local()
    environment = await made.build(await locked(made, project))
    hook = tmp_path / "hook.py"
    hook.write_text("raise RuntimeError('broken')\n")

    assert python(environment, "print('on')", BODYWORK_HOOK=str(hook)).stdout == "on\n"
    assert python(environment, "print('on')", BODYWORK_HOOK=str(tmp_path / "nothing.py")).stdout == "on\n"


@pytest.mark.network
async def test_servers_start_from_where_the_environment_lies(environments: Make, project: Path):
    made = environments()
    lock = await locked(made, project, "flask==2.1.2", "gunicorn==20.1.0", "setuptools<60", as_of=JUNE)

    environment = await made.build(lock)

    bin_ = environment.path / "bin"
    assert "Werkzeug 2.1.2" in run([str(bin_ / "flask"), "--version"]).stdout
    assert "20.1.0" in run([str(bin_ / "gunicorn"), "--version"]).stdout


@pytest.mark.network
async def test_an_old_source_distribution_that_uses_pkg_resources_works(environments: Make, project: Path):
    """docopt has no wheel; pkg_resources comes with the setuptools of that time."""
    made = environments()
    lock = await made.lock(
        Requirements(packages=("docopt==0.6.2",)), python=OURS, folder=project, as_of=JUNE, setuptools=True
    )

    environment = await made.build(lock)

    code = "import docopt, pkg_resources; print(pkg_resources.get_distribution('docopt').version)"
    assert python(environment, code).stdout == "0.6.2\n"


@pytest.mark.network
async def test_a_source_distribution_that_cannot_be_built_shows_its_last_lines(
    environments: Make, project: Path
):
    made = environments()
    (project / "lib").mkdir()
    (project / "lib" / "setup.py").write_text("raise SystemExit('a compiler is missing')\n")

    with pytest.raises(ResolutionError) as caught:
        await made.lock(Requirements(packages=("./lib",)), python=OURS, folder=project, as_of=JUNE)

    assert "a compiler is missing" in caught.value.message
    assert caught.value.hint
