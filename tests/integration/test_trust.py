"""`bodywork git trust` against a real sshd: what is written, when, and that ssh believes it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sshd
from bodywork.app.parts import Parts
from bodywork.app.trust import Standing, trust
from bodywork.errors import BodyworkError, UnreachableError, UsageError

pytestmark = pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd")

MakeParts = Callable[..., Parts]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.SshServer]:
    with sshd.running(tmp_path / "sshd") as made:
        yield made


@pytest.fixture
def parts(tmp_path: Path, server: sshd.SshServer) -> MakeParts:
    """Parts whose ssh has these settings and knows only the test's files."""

    def make(*settings: str, **more: str) -> Parts:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_"))}
        home = {"HOME": str(tmp_path), "BODYWORK_HOME": str(tmp_path / "state")}
        return Parts({**kept, **home, "GIT_SSH_COMMAND": server.configure(*settings), **more})

    return make


def yes(_: Standing) -> bool:
    return True


def no(_: Standing) -> bool:
    return False


def connects(server: sshd.SshServer, host: str = "") -> bool:
    """Whether ssh, as strict as it can be, takes the host for the one that it knows."""
    command = ["ssh", "-F", str(server.folder / "ssh_config"), "-o", "BatchMode=yes"]
    command += ["-o", "StrictHostKeyChecking=yes"]
    command += [host] if host else ["-p", str(server.port), f"{server.user}@127.0.0.1"]
    return subprocess.run([*command, "true"], capture_output=True, timeout=20, check=False).returncode == 0


def refused(kind: type[BodyworkError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint
    return f"{caught.value.message}\n{caught.value.hint}"


def test_after_a_yes_ssh_connects(parts: MakeParts, server: sshd.SshServer) -> None:
    shown: list[Standing] = []
    made = parts()
    assert not connects(server)
    trust(made, server.host, confirm=lambda standing: shown.append(standing) or True)
    assert {key.fingerprint for key in shown[0].wanted} == {sshd.fingerprint(key) for key in server.host_keys}
    assert sorted(key.short for key in shown[0].wanted) == ["ECDSA", "ED25519"]
    assert connects(server)
    assert server.known_hosts.stat().st_mode & 0o777 == 0o600
    assert server.known_hosts.parent.stat().st_mode & 0o777 == 0o700


def test_after_a_no_nothing_is_written(parts: MakeParts, server: sshd.SshServer) -> None:
    said = refused(UsageError, lambda: trust(parts(), server.host, confirm=no))
    assert "nothing was written" in said
    assert not server.known_hosts.exists()


def test_nobody_can_be_asked(parts: MakeParts, server: sshd.SshServer) -> None:
    said = refused(UsageError, lambda: trust(parts(), server.host))
    assert f"bodywork git trust {server.host} --fingerprint SHA256:" in said
    assert sshd.fingerprint(server.host_keys[0]) in said
    assert not server.known_hosts.exists()


def test_a_fingerprint_vouches_for_its_key_alone(parts: MakeParts, server: sshd.SshServer) -> None:
    wanted = sshd.fingerprint(server.host_keys[0])
    standing = trust(parts(), server.host, fingerprints=frozenset({wanted}))
    assert [key.fingerprint for key in standing.wanted] == [wanted]
    assert len(server.known_hosts.read_text().splitlines()) == 1
    assert connects(server)


def test_a_fingerprint_of_another_key(parts: MakeParts, server: sshd.SshServer) -> None:
    other = sshd.fingerprint(server.other)
    said = refused(UsageError, lambda: trust(parts(), server.host, fingerprints=frozenset({other})))
    assert "has no key with that fingerprint" in said
    assert not server.known_hosts.exists()
    said = refused(UsageError, lambda: trust(parts(), server.host, fingerprints=frozenset({"MD5:00:11"})))
    assert "is not a fingerprint of the form SHA256" in said


def test_a_known_host_is_left_alone(parts: MakeParts, server: sshd.SshServer) -> None:
    server.trust()
    before = server.known_hosts.read_bytes()
    assert trust(parts(), server.host, confirm=no).wanted == ()
    wanted = frozenset({sshd.fingerprint(server.host_keys[0])})
    assert trust(parts(), server.host, fingerprints=wanted).wanted == ()
    assert server.known_hosts.read_bytes() == before


def test_a_second_kind_of_key_is_added_by_its_fingerprint(parts: MakeParts, server: sshd.SshServer) -> None:
    for key in server.host_keys:
        trust(parts(), server.host, fingerprints=frozenset({sshd.fingerprint(key)}))
    assert len(server.known_hosts.read_text().splitlines()) == 2


def test_other_hosts_stay_and_a_missing_line_end_is_no_harm(parts: MakeParts, server: sshd.SshServer) -> None:
    other = " ".join(Path(f"{server.other}.pub").read_text().split()[:2])
    server.known_hosts.parent.mkdir()
    server.known_hosts.write_text(f"# mine\nelsewhere.example {other}")
    trust(parts(), server.host, confirm=yes)
    assert server.known_hosts.read_text().startswith(f"# mine\nelsewhere.example {other}\n[127.0.0.1]:")
    assert connects(server)
    server.change_host_keys()
    trust(parts(), server.host, confirm=yes, replace=True)
    assert server.known_hosts.read_text().startswith(f"# mine\nelsewhere.example {other}\n[127.0.0.1]:")
    assert connects(server)


@pytest.mark.parametrize("hashed", ["yes", "no"])
def test_a_changed_key_wants_replace(parts: MakeParts, server: sshd.SshServer, hashed: str) -> None:
    made = parts(f"HashKnownHosts {hashed}")
    trust(made, server.host, confirm=yes)
    assert ("127.0.0.1" in server.known_hosts.read_text()) == (hashed == "no")
    assert connects(server)
    old = [sshd.fingerprint(key) for key in server.host_keys]
    server.known_hosts.chmod(0o640)
    server.change_host_keys()
    before = server.known_hosts.read_bytes()

    said = refused(UsageError, lambda: trust(made, server.host, confirm=yes))
    assert all(one in said for one in (*old, *map(sshd.fingerprint, server.host_keys)))
    assert f"bodywork git trust {server.host} --replace" in said
    new = frozenset({sshd.fingerprint(server.host_keys[0])})
    refused(UsageError, lambda: trust(made, server.host, fingerprints=new))
    refused(UsageError, lambda: trust(made, server.host, confirm=no, replace=True))
    refused(UsageError, lambda: trust(made, server.host, replace=True))
    assert server.known_hosts.read_bytes() == before and not connects(server)

    standing = trust(made, server.host, confirm=yes, replace=True)
    assert sorted(one.key.fingerprint for one in standing.old) == sorted(old)
    assert connects(server)
    assert len(server.known_hosts.read_text().splitlines()) == 2
    assert server.known_hosts.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in server.known_hosts.parent.iterdir()] == ["known_hosts"]


def test_one_key_of_two_has_changed(parts: MakeParts, server: sshd.SshServer) -> None:
    server.trust()
    server.stop()
    sshd.new_key(server.host_keys[1], kind="ecdsa")
    server.start()
    refused(UsageError, lambda: trust(parts(), server.host, confirm=yes))
    new = frozenset({sshd.fingerprint(server.host_keys[1])})
    trust(parts(), server.host, fingerprints=new, replace=True)
    lines = server.known_hosts.read_text().splitlines()
    assert len(lines) == 2  # the one that was right stays
    assert trust(parts(), server.host, confirm=no).wanted == ()


def test_a_line_for_several_names_is_not_touched(parts: MakeParts, server: sshd.SshServer) -> None:
    other = " ".join(Path(f"{server.other}.pub").read_text().split()[:2])
    server.known_hosts.parent.mkdir()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port},elsewhere.example {other}\n")
    said = refused(UsageError, lambda: trust(parts(), server.host, confirm=yes, replace=True))
    assert "line 1" in said and "several names" in said
    assert "elsewhere.example" in server.known_hosts.read_text()


def test_a_revoked_key_is_not_trusted(parts: MakeParts, server: sshd.SshServer) -> None:
    key = " ".join(Path(f"{server.host_keys[0]}.pub").read_text().split()[:2])
    server.known_hosts.parent.mkdir()
    server.known_hosts.write_text(f"@revoked * {key}\n")
    said = refused(UsageError, lambda: trust(parts(), server.host, confirm=yes))
    assert "was revoked" in said and "line 1" in said


def test_the_names_of_ssh_hold(parts: MakeParts, server: sshd.SshServer) -> None:
    """An alias with a port of its own, a HostKeyAlias, and the address of a repository."""
    made = parts()
    assert trust(made, "flowers", confirm=yes).host.name == f"[127.0.0.1]:{server.port}"
    assert connects(server, f"{server.user}@flowers")
    assert trust(made, f"ssh://git@127.0.0.1:{server.port}/team/flowers", confirm=no).wanted == ()
    assert trust(made, "git@flowers:team/iris.git", confirm=no).wanted == ()
    renamed = parts("HostKeyAlias the-one")
    assert trust(renamed, server.host, confirm=yes).host.name == "the-one"
    assert connects(server)


def test_a_host_behind_another(parts: MakeParts, server: sshd.SshServer) -> None:
    made = parts("ProxyJump gate.example")
    assert "gate.example" in refused(UsageError, lambda: trust(made, server.host, confirm=yes))


def test_hosts_that_offer_nothing(parts: MakeParts, server: sshd.SshServer) -> None:
    made = parts()
    server.stop()
    assert "offers no key" in refused(UnreachableError, lambda: trust(made, server.host, confirm=yes))
    said = refused(UnreachableError, lambda: trust(made, "nowhere.invalid", confirm=yes))
    assert "nowhere.invalid" in said
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        assert host in refused(UnreachableError, lambda: trust(made, host, confirm=yes))


@pytest.mark.parametrize("text", ["", "https://git.example/a", "-oProxyCommand=touch", "a b", "host:99999"])
def test_what_is_no_host(parts: MakeParts, text: str) -> None:
    refused(UsageError, lambda: trust(parts(), text, confirm=yes))
