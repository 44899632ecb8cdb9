"""Definitions and documents survive their way through JSON; addresses and hosts files are as promised."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bodywork.targets.local.address import candidates
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.hosts import Host, hosts_path, write_hosts
from bodywork.targets.local.logfile import Tail, rotate
from bodywork.targets.local.protocol import LONGEST_PATH, ReplicaStatus, ServiceStatus, socket_path
from bodywork.targets.local.record import ReleaseRecord, ReplicaRecord, ServiceRecord


def definition(**changes: Any) -> Definition:
    given: dict[str, Any] = {
        "pipeline": "iris",
        "stage": "serve",
        "release": "r1",
        "commit": "c" * 40,
        "fingerprint": "f",
        "inputs": MappingProxyType({"model": "sha256:1"}),
        "parts": {"files": "1"},
        "command": ("python", "serve.py"),
        "folder": "/f",
        "variables": {"A": "ü"},
        "secrets": (("KEY", "/s/key"),),
        "port": 5000,
        "health": "/health",
        "host_names": ("serve", "iris--serve"),
        "hook": "/hook.py",
    }
    return Definition(**(given | changes))


def test_a_definition_survives_its_text() -> None:
    assert Definition.decode(definition().encode()) == definition(inputs={"model": "sha256:1"})
    assert Definition.decode(definition().encode()).encode() == definition().encode()


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert Definition.of({**definition().data(), "later": 1}) == definition(inputs={"model": "sha256:1"})


def test_a_record_survives_its_text() -> None:
    replica = ReplicaRecord(number=1, identity="1:2", port=3, host="127.0.0.1", answers=3, folder="/x")
    release = ReleaseRecord(definition=definition(inputs={}), replicas=(replica,))
    for record in (
        ServiceRecord(address="127.64.0.1", current=release, candidate=None, leaving=(release,)),
        ServiceRecord(address=None, current=None, candidate=release),
    ):
        assert ServiceRecord.decode(record.encode()) == record


def test_a_document_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form 9"):
        ServiceRecord.decode('{"form": 9}')


def test_a_status_survives_the_socket() -> None:
    replica = ReplicaStatus(number=1, pid=2, state="ready", restarts=0, address="127.0.0.1:3", reason="")
    status = ServiceStatus(
        definition=definition(inputs={}),
        url="http://x",
        ready=1,
        replicas=(replica,),
        state="ready",
        reason="",
    )
    assert ServiceStatus.of(status.data()) == status


def test_addresses_are_loopback_stable_and_differ() -> None:
    first = list(itertools.islice(candidates(Path("/h"), "iris", "serve"), 5))
    assert first == list(itertools.islice(candidates(Path("/h"), "iris", "serve"), 5))
    assert len(set(first)) == 5
    for address in first:
        a, b, _, d = (int(part) for part in address.split("."))
        assert a == 127 and 64 <= b < 128 and 0 < d < 255
    others = [next(candidates(Path("/h"), "iris", f"s{number}")) for number in range(200)]
    assert len(set(others)) == 200


def test_the_hosts_file_has_a_port_only_where_it_is_another(tmp_path: Path) -> None:
    path = hosts_path(tmp_path, "iris")
    here = Host(name="serve", address="127.64.0.1", declared=5000, port=5000)
    moved = Host(name="a", address="127.0.0.1", declared=5000, port=41000)
    write_hosts(path, [here, moved])
    assert path.read_text() == "a 127.0.0.1 5000:41000\nserve 127.64.0.1\n"
    write_hosts(path, [])
    write_hosts(path, [])
    assert not path.exists()


def test_logs_are_put_aside_and_the_oldest_dropped(tmp_path: Path) -> None:
    path = tmp_path / "replica-1.log"
    for number in range(6):
        with path.open("a") as file:
            file.write(str(number) * 20)
        assert rotate(path, size=10, keep=3)
    assert path.read_text() == ""
    kept = [path.with_name(f"replica-1.log.{number}").read_text()[0] for number in (1, 2, 3)]
    assert kept == ["5", "4", "3"]
    assert not path.with_name("replica-1.log.4").exists()
    assert not rotate(path, size=10, keep=3)


def test_a_tail_gives_whole_lines_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    tail = Tail(path)
    with path.open("ab") as file:
        file.write(b"one\ntw")
        file.flush()
        assert tail.read() == "one\n"
        file.write(b"o\n\xff")
        file.flush()
        assert tail.read() == "two\n"
        assert tail.read(last=True) == "\ufffd\n"
    path.write_text("x\n")  # rotated
    assert tail.read() == "x\n"


def test_a_tail_of_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    assert tail.read() == ""
    (tmp_path / "log").write_text("a\n")
    assert tail.read() == "a\n"


def test_the_socket_has_a_short_path_in_a_folder_of_ours(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    near = socket_path(Path(tmp_path / "h"))
    far = socket_path(tmp_path / ("x" * 150))
    assert near == tmp_path / "h" / "agent" / "agent.sock"
    assert far.parent.parent == tmp_path and len(str(far)) <= LONGEST_PATH + 20
    assert far.parent.stat().st_mode & 0o777 == 0o700
    assert socket_path(tmp_path / ("y" * 150)) != far
