"""Projects that name a store: a folder, or a bucket of a real S3 server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import azurite
import emulators
import gcs
import s3
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from tool import Repository, Tool, wait_for

needs_s3 = pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")

MAKE = "import os\nopen(os.environ['BODYWORK_OUTPUT_MODEL'], 'w').write('model 1')\nprint('trained')\n"
USE = "import os\nprint('read', open(os.environ['BODYWORK_INPUT_MODEL']).read())\n"


def project(store: str, *, make: str = MAKE, settings: str = "", name: str = "demo") -> dict[str, str]:
    head = f'version: "2"\nname: {name}\npython: "3.11"\n' + (f"store: {store}\n" if store else "")
    stages = (
        "workflow: make >> use\nstages:\n  make:\n    run: make.py\n    outputs: {model: model.txt}\n"
        f"{settings}  use: {{run: use.py, inputs: {{model: make.model}}}}\n"
    )
    return {"bodywork.yaml": head + stages, "make.py": make, "use.py": USE}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[s3.Server]:
    folder = tmp_path / "s3"
    folder.mkdir()
    with s3.server(folder, "models") as running:
        yield running


@pytest.fixture
def keyed(tool: Tool) -> Tool:
    tool.extra.update(s3.VARIABLES)
    return tool


def address(server: s3.Server, bucket: str = "models") -> str:
    return f"s3://{bucket}/iris?endpoint={server.endpoint}"


def objects(server: s3.Server) -> list[Path]:
    """What is kept in the bucket, but for the mark of who keeps it."""
    found = (path for path in (server.root / "models").rglob("*") if path.is_file())
    return sorted(path for path in found if path.name != "owner")


def deploy(tool: Tool, repository: Repository, *more: str) -> str:
    return str(tool.good("deploy", str(repository.path), "--output", "json", *more).json["run"])


def test_a_folder_of_the_users_holds_artifacts_by_content(
    tool: Tool, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(project(f"file://{tmp_path}/models"))
    first, second = deploy(tool, repository), deploy(tool, repository)
    kept = [path for path in (tmp_path / "models").rglob("*") if path.is_file()]
    assert [path.read_text() for path in kept] == ["model 1"]
    assert not (tool.home / "state" / "artifacts").exists()
    table = tool.good("artifacts", "demo").out.splitlines()
    assert [line.split()[0] for line in table] == [second, first]
    assert "make.model  7 B" in " ".join(table[0].split(" ")).replace("       ", " ") or "7 B" in table[0]
    assert f"read by use, {first}/use" in table[0]
    documents = tool.good("artifacts", "demo", "--limit", "1", "--output", "json").json
    assert [(d["stage"], d["output"], d["size"], d["gone"]) for d in documents] == [
        ("make", "model", 7, False)
    ]


@needs_s3
def test_two_runs_of_two_pipelines_put_the_same_content_into_a_bucket_once(
    keyed: Tool, repository: Repository, server: s3.Server
) -> None:
    repository.commit(project(address(server)))
    run = deploy(keyed, repository)
    repository.commit(project(address(server), name="other"))
    deploy(keyed, repository)
    assert [path.read_text() for path in objects(server)] == ["model 1"]
    assert "_local" in str(objects(server)[0])
    got = keyed.good("artifacts", "get", run[:-2], "make.model", cwd=repository.path).out.strip()
    assert Path(got) == repository.path / "model.txt" and Path(got).read_text() == "model 1"
    again = keyed("artifacts", "get", run, "make.model", cwd=repository.path)
    assert again.code == 2 and "is there already" in again.err and "--force" in again.err
    Path(got).write_text("something else")
    keyed.good("artifacts", "get", run, "make.model", "--to", got, "--force")
    assert Path(got).read_text() == "model 1"
    wrong = keyed("artifacts", "get", run, "make.modle")
    assert wrong.code == 2 and "did you mean make.model?" in wrong.err


@needs_s3
def test_a_credential_in_a_secret_is_taken_before_that_of_the_machine(
    tool: Tool, repository: Repository, server: s3.Server
) -> None:
    tool.extra.update(AWS_ACCESS_KEY_ID="nobody", AWS_SECRET_ACCESS_KEY="wrong")
    for key, value in s3.VARIABLES.items():
        assert tool.told("secret", "set", "bodywork-store", key, text=value).code == 0
    repository.commit(project(address(server)))
    deploy(tool, repository)
    assert len(objects(server)) == 1


@needs_s3
def test_what_is_wrong_with_a_store_is_said_before_anything_runs(
    tool: Tool, repository: Repository, server: s3.Server
) -> None:
    repository.commit(project(address(server)))
    for variables, words in (
        ({"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "x"}, "does not accept the credential"),
        ({"AWS_PROFILE": "nowhere"}, "there is no AWS profile nowhere"),
    ):
        tool.extra = variables
        planned, refused = (tool(command, str(repository.path)) for command in ("plan", "deploy"))
        assert planned.code == 0 and words in planned.err
        assert refused.code == 2 and words in refused.err and "trained" not in refused.out
    tool.extra = dict(s3.VARIABLES)
    repository.commit(project(address(server, "missing")))
    refused = tool("deploy", str(repository.path))
    assert refused.code == 2 and "has no bucket missing" in refused.err
    repository.commit(project(address(server)))
    server.stop()
    planned, refused = (tool(command, str(repository.path)) for command in ("plan", "deploy"))
    assert planned.code == 0 and "cannot be reached" in planned.err
    assert refused.code == 4 and f"cannot be reached at {server.endpoint}" in refused.err
    assert tool("runs").out == ""


def test_without_the_client_library_the_sentence_names_the_extra(
    tool: Tool, repository: Repository, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden" / "obstore"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden')\n")
    tool.extra["PYTHONPATH"] = str(hidden.parent)
    repository.commit(project("s3://models/iris"))
    answer = tool("deploy", str(repository.path))
    assert answer.code == 2
    assert "need the package obstore" in answer.err and "pip install 'bodywork[stores]'" in answer.err


@needs_s3
def test_a_damaged_object_is_refused_and_made_anew(
    keyed: Tool, repository: Repository, server: s3.Server
) -> None:
    repository.commit(project(address(server)))
    run = deploy(keyed, repository)
    objects(server)[0].write_text("evil! 1")
    refused = keyed("artifacts", "get", run, "make.model")
    assert refused.code == 1 or refused.code == 2
    assert "is damaged" in refused.err
    assert not (keyed.home / "model.txt").exists()
    deploy(keyed, repository)
    keyed.good("artifacts", "get", run, "make.model")
    assert (keyed.home / "model.txt").read_text() == "model 1"


@needs_s3
def test_a_store_that_goes_away_in_the_middle_is_waited_for(
    keyed: Tool, repository: Repository, server: s3.Server, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\n"
    limit = "    batch: {timeout: 10s}\n"  # of the module, not of the store
    repository.commit(project(address(server), make=wait + MAKE, settings=limit))
    with keyed.start("deploy", str(repository.path)) as child:
        wait_for(lambda: keyed("status", "demo").out.count("running"), seconds=60)
        server.stop()
        threading.Timer(12.0, server.start).start()
        go.touch()
        out, err = child.communicate(timeout=90)
    assert child.returncode == 0, out + err
    assert "its outputs are put into the store" in out and "read model 1" in out
    assert out.count("make started") == 1


@needs_s3
def test_outputs_that_the_store_refuses_are_kept_and_put_there_by_resume(
    keyed: Tool, repository: Repository, server: s3.Server, tmp_path: Path
) -> None:
    """As when a credential expires while a model is trained."""
    credentials = keyed.home / ".aws" / "credentials"
    credentials.parent.mkdir()
    good = f"[default]\naws_access_key_id = {s3.KEY}\naws_secret_access_key = {s3.SECRET}\n"
    credentials.write_text(good)
    keyed.extra.clear()
    bad = good.replace(s3.KEY, "gone", 1)
    spoil = f"from pathlib import Path\nPath({str(credentials)!r}).write_text({bad!r})\n"
    repository.commit(project(address(server), make=MAKE + spoil))
    failed = keyed("deploy", str(repository.path))
    assert failed.code == 1, failed.err
    assert "its output model could not be kept" in failed.out + failed.err
    assert "`bodywork resume`" in failed.out + failed.err
    assert objects(server) == []
    credentials.write_text(good)
    resumed = keyed.good("resume", "demo")
    assert "trained" not in resumed.out and "read model 1" in resumed.out
    assert [path.read_text() for path in objects(server)] == ["model 1"]
    assert keyed.good("logs", "demo", "make").out.count("trained") == 1


@needs_s3
def test_a_project_that_names_another_store_finds_what_it_had_made_before(
    keyed: Tool, repository: Repository, server: s3.Server
) -> None:
    repository.commit(project(""))
    deploy(keyed, repository)
    repository.commit(project(address(server)))
    keyed.good("deploy", str(repository.path), "--only", "use")
    assert objects(server) == []


@needs_s3
def test_a_folder_of_many_files_and_a_big_file_come_back_whole(
    keyed: Tool, repository: Repository, server: s3.Server
) -> None:
    make = (
        "import os\nfolder = os.environ['BODYWORK_OUTPUT_MODEL']\nos.makedirs(folder + '/deep')\n"
        "for n in range(50): open(f'{folder}/deep/{n}', 'w').write(str(n))\n"
        "open(folder + '/big', 'wb').write(os.urandom(1 << 20) * 40)\n"
    )
    use = (
        "import os\nm = os.environ['BODYWORK_INPUT_MODEL']\n"
        "print(len(os.listdir(m + '/deep')), os.path.getsize(m + '/big'))\n"
    )
    repository.commit({**project(address(server), make=make), "use.py": use})
    assert f"use | 50 {40 << 20}" in keyed.good("deploy", str(repository.path)).out


@needs_s3
def test_a_command_that_is_killed_while_it_sends_has_lost_nothing(
    keyed: Tool, repository: Repository, server: s3.Server
) -> None:
    repository.commit(project(address(server), make="import time\ntime.sleep(3)\n" + MAKE))
    with keyed.start("deploy", str(repository.path)) as child:
        wait_for(lambda: "running" in keyed("status", "demo").out, seconds=60)
        server.stop()
        wait_for(lambda: list((keyed.home / "state" / "runs").glob("*/unsent/make")), seconds=30)
        child.kill()
        child.communicate()
    server.start()
    resumed = keyed.good("resume", "demo")
    assert "trained" not in resumed.out and "read model 1" in resumed.out
    assert not list((keyed.home / "state" / "runs").glob("*/unsent/*"))


def test_an_output_may_be_a_link_to_what_was_made_elsewhere(tool: Tool, repository: Repository) -> None:
    make = (
        "import os\nopen('made.txt', 'w').write('elsewhere')\n"
        "out = os.environ['BODYWORK_OUTPUT_MODEL']\n"
        "os.symlink(os.path.relpath('made.txt', os.path.dirname(out)), out)\n"
    )
    repository.commit(project("", make=make))
    assert "use | read elsewhere" in tool.good("deploy", str(repository.path)).out


@pytest.mark.slow
@pytest.mark.parametrize(
    "cloud",
    [
        pytest.param("az", marks=emulators.needs(emulators.AZURITE)),
        pytest.param("gs", marks=emulators.needs(emulators.FAKE_GCS)),
    ],
)
def test_the_other_clouds_as_their_own_tools_are_told_of_them(
    tool: Tool, repository: Repository, tmp_path: Path, cloud: str
) -> None:
    """A run, another one, what the first has made, and what prune leaves."""
    with azure(tmp_path) if cloud == "az" else google(tmp_path) as variables:
        tool.extra.update(variables)
        repository.commit(project(f"{cloud}://models/iris"))
        first = deploy(tool, repository)
        repository.commit(project(f"{cloud}://models/iris", make=MAKE.replace("model 1", "model 2")))
        last = deploy(tool, repository)
        tool.good("artifacts", "get", first, "make.model", "--to", str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_text() == "model 1"
        store = ObjectStore(Address.parse(f"{cloud}://models/iris"), variables)
        assert sum(not one.key.endswith("owner") for one in store.list()) == 2
        tool.good("prune", "demo", "--keep", "1", "--yes")
        assert sum(not one.key.endswith("owner") for one in store.list()) == 1
        documents = tool.good("artifacts", "demo", "--output", "json").json
        assert {one["run"] for one in documents} == {last}


@contextmanager
def azure(folder: Path) -> Iterator[dict[str, str]]:
    with azurite.server(folder, "models") as running:
        said = f"AccountName={azurite.ACCOUNT};AccountKey={azurite.KEY};BlobEndpoint={running.endpoint}"
        yield {"AZURE_STORAGE_CONNECTION_STRING": said}


@contextmanager
def google(folder: Path) -> Iterator[dict[str, str]]:
    with gcs.server(folder, "models") as running:
        (folder / "key.json").write_text(running.account.key)
        yield {
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "key.json"),
            "STORAGE_EMULATOR_HOST": running.endpoint,
        }
